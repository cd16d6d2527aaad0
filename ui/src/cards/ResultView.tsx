import { Download } from 'lucide-react'
import { useDeferredValue, useMemo, useState, type ReactNode } from 'react'
import type { Call } from '../stream/state'
import { CopyButton } from '../ui/CopyButton'
import { IconButton } from '../ui/Button'
import { saveFile } from '../ui/saveFile'
import { visible } from '../ui/visible'
import { bytes } from '../words/format'
import { en } from '../words/en'
import { textOf } from './resultText'
import css from './ToolCard.module.css'

const SHOWN_CHARACTERS = 50_000
const MOST_MATCHES = 500

/** The result of a call: searchable, to copy and to download. Long ones are shown in part. */
export function ResultView({ call }: { call: Call }) {
  const [query, setQuery] = useState('')
  const wanted = useDeferredValue(query)
  const text = textOf(call)
  const shown = useMemo(() => visible(text.slice(0, SHOWN_CHARACTERS)), [text])
  const { parts, matches } = useMemo(() => mark(shown, wanted), [shown, wanted])
  if (text === '') return <p className={css.empty}>{en.cards.results.empty}</p>
  return (
    <div className={css.result}>
      <div className={css.bar}>
        <span>{wanted ? en.cards.results.matches(matches) : en.cards.results.lines(text.split('\n').length)}</span>
        <input
          type="search"
          placeholder={en.cards.results.search}
          aria-label={en.cards.results.search}
          value={query}
          onChange={(event) => setQuery(event.target.value)}
        />
        <CopyButton text={text} label={en.cards.results.copy} />
        <IconButton label={en.cards.results.download} onClick={() => saveFile(`${call.tool}.txt`, text)}>
          <Download size={14} aria-hidden />
        </IconButton>
      </div>
      <pre tabIndex={0} role="group" aria-label={en.cards.results.result} data-failed={call.status === 'error'}>
        {parts}
      </pre>
      {text.length > SHOWN_CHARACTERS && (
        <p className={css.cut}>{en.cards.results.cut(bytes(SHOWN_CHARACTERS), bytes(text.length))}</p>
      )}
    </div>
  )
}

function mark(text: string, query: string): { parts: ReactNode[]; matches: number } {
  if (query.trim() === '') return { parts: [text], matches: 0 }
  const [haystack, needle] = [text.toLowerCase(), query.toLowerCase()]
  const parts: ReactNode[] = []
  let from = 0
  let matches = 0
  for (let at = haystack.indexOf(needle); at >= 0 && matches < MOST_MATCHES; at = haystack.indexOf(needle, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + needle.length)}</mark>)
    from = at + needle.length
    matches++
  }
  return { parts: [...parts, text.slice(from)], matches }
}
