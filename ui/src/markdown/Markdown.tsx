import type { Token } from 'marked'
import { memo, useMemo, useState } from 'react'
import { Block } from './Block'
import { nothingParsed, parseMarkdown } from './blocks'
import css from './Markdown.module.css'

/**
 * Model text. It is data: no raw HTML, no remote images, no links but http(s) and mailto.
 * `open` text still grows; what is settled of it is neither parsed nor rendered again.
 */
const Markdown = memo(function Markdown({ text, open = false }: { text: string; open?: boolean }) {
  const { settled, tail } = useParsed(text, open)
  return (
    <div className={css.markdown}>
      {[...settled, ...tail].map((token, index) => (
        <MemoBlock key={index} token={token} />
      ))}
      {open && <span className={css.caret} aria-hidden />}
    </div>
  )
})

export default Markdown

const MemoBlock = memo(function MemoBlock({ token }: { token: Token }) {
  return <Block token={token} />
})

/** Parse with a memory of what is settled. Parsing again gives the same result, so rendering twice is harmless. */
function useParsed(text: string, open: boolean) {
  const [parser] = useState(createParser)
  return useMemo(() => parser(text, open), [open, parser, text])
}

function createParser() {
  let before = nothingParsed
  return (text: string, open: boolean) => {
    before = parseMarkdown(before, text, open)
    return before
  }
}
