import { ChevronDown, ChevronUp, X } from 'lucide-react'
import { useEffect, useRef, type KeyboardEvent } from 'react'
import { IconButton } from '../ui/Button'
import { en } from '../words/en'
import css from './FindBar.module.css'

interface Props {
  query: string
  onQuery: (query: string) => void
  /** Which of the matches is shown, from 0 on; and how many there are. */
  at: number
  matches: number
  /** Older messages are still being read. */
  reading: boolean
  onStep: (by: 1 | -1) => void
  onClose: () => void
}

/** Search in the conversation. Enter goes to the next match, Shift Enter to the one before. */
export function FindBar({ query, onQuery, at, matches, reading, onStep, onClose }: Props) {
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    field.current?.focus()
  }, [])
  const press = (event: KeyboardEvent) => {
    if (event.key === 'Enter') onStep(event.shiftKey ? -1 : 1)
    else if (event.key === 'Escape') onClose()
    else return
    event.preventDefault()
  }
  return (
    <div className={css.bar} role="search">
      <input
        ref={field}
        type="search"
        value={query}
        maxLength={200}
        aria-label={en.chat.find.label}
        placeholder={en.chat.find.label}
        onChange={(event) => onQuery(event.target.value)}
        onKeyDown={press}
      />
      <span role="status">{query.trim() === '' ? '' : en.chat.find.matches(at + 1, matches, reading)}</span>
      <IconButton label={en.chat.find.previous} disabled={matches === 0} onClick={() => onStep(-1)}>
        <ChevronUp size={16} aria-hidden />
      </IconButton>
      <IconButton label={en.chat.find.next} disabled={matches === 0} onClick={() => onStep(1)}>
        <ChevronDown size={16} aria-hidden />
      </IconButton>
      <IconButton label={en.common.close} onClick={onClose}>
        <X size={16} aria-hidden />
      </IconButton>
    </div>
  )
}
