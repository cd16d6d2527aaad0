import { TimeLeft } from '../cards/TimeLeft'
import type { Call } from '../stream/state'
import { visible } from '../ui/visible'
import { en } from '../words/en'
import css from './Chat.module.css'

/** Above the composer while changes wait: how many, which, how long; leads to the first. */
export function WaitingBar({ changes }: { changes: Call[] }) {
  const [first] = changes
  if (!first?.approval) return null
  const review = () => {
    const card = document.querySelector<HTMLElement>(`[id="call-${first.id}"]`)
    card?.scrollIntoView({ block: 'center' })
    card?.focus()
  }
  return (
    <button type="button" className={css.waiting} onClick={review}>
      <b>{en.chat.waitingBar(changes.length)}</b>
      <span>{visible(first.approval.preview?.summary ?? first.title)}</span>
      <TimeLeft until={first.approval.expiresAt} />
      <i>{en.chat.review}</i>
    </button>
  )
}
