import { ArrowUp, Square } from 'lucide-react'
import { useEffect, useRef, type KeyboardEvent } from 'react'
import { Button } from '../ui/Button'
import { useShortcuts } from '../ui/shortcuts'
import { en } from '../words/en'
import css from './Composer.module.css'

export type Sending = 'plain' | 'next' | 'interrupt'

interface Props {
  text: string
  onText: (text: string) => void
  busy: boolean
  /** How many changes a message would withdraw. */
  waiting: number
  editing: boolean
  onCancelEdit: () => void
  onSend: (how: Sending) => void
  onStop: () => void
}

/** Where a person writes. Enter sends, Shift Enter breaks the line. */
export function Composer(props: Props) {
  const { text, onText, busy, waiting, editing } = props
  const field = useRef<HTMLTextAreaElement>(null)
  useShortcuts({ '/': () => field.current?.focus() })
  useEffect(() => {
    if (editing) field.current?.focus()
  }, [editing])

  const send = (how: Sending) => {
    if (text.trim() !== '') props.onSend(how)
  }
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    send(busy ? 'next' : 'plain')
  }

  return (
    <form
      className={css.composer}
      data-waiting={waiting > 0}
      onSubmit={(event) => {
        event.preventDefault()
        send('plain')
      }}
    >
      {editing && (
        <p className={css.editing}>
          {en.chat.editing}
          <Button kind="link" onClick={props.onCancelEdit}>
            {en.chat.cancelEdit}
          </Button>
        </p>
      )}
      <textarea
        ref={field}
        rows={1}
        value={text}
        placeholder={waiting > 0 ? en.chat.placeholderWaiting : en.chat.placeholder}
        aria-label={en.chat.message}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={press}
      />
      <div className={css.buttons}>
        {busy && text.trim() !== '' && (
          <>
            <Button onClick={() => send('interrupt')}>{en.chat.interrupt}</Button>
            <Button onClick={() => send('next')}>{en.chat.sendNext}</Button>
          </>
        )}
        {busy ? (
          <button type="button" className={css.round} aria-label={en.chat.stop} title={en.chat.stopKey} onClick={props.onStop}>
            <Square size={14} fill="currentColor" aria-hidden />
          </button>
        ) : (
          <button type="submit" className={css.round} aria-label={en.chat.send} title={en.chat.send} disabled={text.trim() === ''}>
            <ArrowUp size={18} aria-hidden />
          </button>
        )}
      </div>
    </form>
  )
}
