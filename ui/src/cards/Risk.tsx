import { en } from '../words/en'
import css from './Risk.module.css'

/** The level of risk as bars and a word; the reason stands beside it. */
export function Risk({ level, reason }: { level: string; reason?: string | null | undefined }) {
  return (
    <span className={css.risk} data-level={level} title={reason ?? undefined}>
      <i aria-hidden />
      <i aria-hidden />
      <i aria-hidden />
      {level === 'destructive' ? en.cards.destructive : en.cards.risk(level)}
      {reason && <small>{reason}</small>}
    </span>
  )
}
