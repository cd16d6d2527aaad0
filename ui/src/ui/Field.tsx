import { cloneElement, useId, type ReactElement, type ReactNode } from 'react'
import css from './Field.module.css'

interface ControlProps {
  id?: string
  className?: string | undefined
  'aria-describedby'?: string
  'aria-invalid'?: boolean
}

interface Props {
  label: ReactNode
  hint?: ReactNode
  error?: string | undefined
  /** A small control beside the label, such as "Show". */
  action?: ReactNode
  /** One input, textarea or select. */
  children: ReactElement<ControlProps>
}

/** A labelled form control with its hint and its error. */
export function Field({ label, hint, error, action, children }: Props) {
  const id = useId()
  const described = [hint ? `${id}-hint` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ')
  return (
    <div className={css.field}>
      <div className={css.top}>
        <label htmlFor={id}>{label}</label>
        {action}
      </div>
      {cloneElement(children, {
        id,
        className: css.control,
        ...(described ? { 'aria-describedby': described } : {}),
        ...(error ? { 'aria-invalid': true } : {}),
      })}
      {hint && (
        <p id={`${id}-hint`} className={css.hint}>
          {hint}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} className={css.error}>
          {error}
        </p>
      )}
    </div>
  )
}
