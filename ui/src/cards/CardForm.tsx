import type { ReactNode } from 'react'
import { Button } from '../ui/Button'
import { en } from '../words/en'
import css from './ApprovalCard.module.css'

interface Props {
  submit: string
  kind: 'primary' | 'danger'
  busy: boolean
  onSubmit: () => void
  onBack: () => void
  children: ReactNode
}

/** A form in place of a card's buttons, with the way back to them. */
export function CardForm({ submit, kind, busy, onSubmit, onBack, children }: Props) {
  return (
    <form
      className={css.form}
      onSubmit={(event) => {
        event.preventDefault()
        onSubmit()
      }}
    >
      {children}
      <div className={css.actions}>
        <Button kind={kind} type="submit" busy={busy}>
          {submit}
        </Button>
        <Button onClick={onBack} disabled={busy}>
          {en.common.back}
        </Button>
      </div>
    </form>
  )
}
