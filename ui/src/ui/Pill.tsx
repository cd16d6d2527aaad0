import type { LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import css from './Pill.module.css'

export type Tone = 'idle' | 'ok' | 'wait' | 'danger' | 'odd' | 'note'

interface Props {
  tone?: Tone
  icon?: LucideIcon
  spinning?: boolean
  children: ReactNode
}

/** A state: icon, word and colour together. */
export function Pill({ tone = 'idle', icon: Icon, spinning = false, children }: Props) {
  return (
    <span className={css.pill} data-tone={tone}>
      {Icon && <Icon size={13} className={spinning ? css.spin : undefined} aria-hidden />}
      {children}
    </span>
  )
}
