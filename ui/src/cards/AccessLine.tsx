import { ShieldAlert, ShieldCheck } from 'lucide-react'
import type { Preview } from '../stream/preview'
import { visible } from '../ui/visible'
import { en } from '../words/en'
import css from './ApprovalCard.module.css'

/** Whether the API server would accept the change from the account that runs it. */
export function AccessLine({ allowed }: { allowed: Preview['allowed'] }) {
  if (!allowed) return null
  return (
    <p className={css.access} data-allowed={allowed.allowed}>
      {allowed.allowed ? <ShieldCheck size={16} aria-hidden /> : <ShieldAlert size={16} aria-hidden />}
      <span>{allowed.allowed ? en.cards.accepted : en.cards.refused(visible(allowed.reason))}</span>
    </p>
  )
}
