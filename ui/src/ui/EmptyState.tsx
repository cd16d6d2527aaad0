import type { LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import css from './State.module.css'

/** What an empty page says: what is missing, what brings it here, and the next step. */
export function EmptyState({ icon: Icon, title, children }: { icon?: LucideIcon; title: string; children?: ReactNode }) {
  return (
    <div className={css.state}>
      {Icon && <Icon size={24} aria-hidden />}
      <h2>{title}</h2>
      {children && <div className={css.text}>{children}</div>}
    </div>
  )
}
