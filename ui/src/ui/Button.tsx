import { LoaderCircle } from 'lucide-react'
import type { ButtonHTMLAttributes, ReactNode } from 'react'
import css from './Button.module.css'

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: 'primary' | 'danger' | 'plain' | 'link'
  busy?: boolean
  /** The key that does the same, shown inside the button. */
  hint?: string | undefined
  children: ReactNode
}

export function Button({ kind = 'plain', busy = false, hint, children, type = 'button', disabled, ...rest }: Props) {
  return (
    <button {...rest} type={type} className={css.button} data-kind={kind} disabled={disabled || busy} aria-busy={busy}>
      {busy && <LoaderCircle size={15} className={css.spin} aria-hidden />}
      {children}
      {hint && <kbd aria-hidden>{hint}</kbd>}
    </button>
  )
}

interface IconProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** What the button does: its accessible name and its tooltip. */
  label: string
  children: ReactNode
}

export function IconButton({ label, children, type = 'button', ...rest }: IconProps) {
  return (
    <button {...rest} type={type} className={css.icon} aria-label={label} title={label}>
      {children}
    </button>
  )
}
