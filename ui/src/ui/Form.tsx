import { useState, type ReactNode } from 'react'
import { en } from '../words/en'
import { Button } from './Button'
import { Dialog } from './Dialog'
import { ErrorNote } from './ErrorState'
import css from './Form.module.css'

interface Props {
  /** Sends the form. What it throws is shown above the buttons, and the input stays. */
  onSubmit: (form: FormData) => Promise<void>
  submit: string
  kind?: 'primary' | 'danger'
  onCancel?: () => void
  children: ReactNode
}

/** A form that is sent once at a time, with the engine's refusal beside its buttons. */
export function Form({ onSubmit, submit, kind = 'primary', onCancel, children }: Props) {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<unknown>(null)

  const send = async (form: FormData) => {
    setBusy(true)
    setProblem(null)
    try {
      await onSubmit(form)
    } catch (error) {
      setProblem(error)
    } finally {
      setBusy(false)
    }
  }

  return (
    <form
      className={css.form}
      onSubmit={(event) => {
        event.preventDefault()
        void send(new FormData(event.currentTarget))
      }}
    >
      {children}
      {problem !== null && <ErrorNote error={problem} />}
      <div className={css.buttons}>
        <Button kind={kind} type="submit" busy={busy}>
          {submit}
        </Button>
        {onCancel && <Button onClick={onCancel}>{en.common.cancel}</Button>}
      </div>
    </form>
  )
}

/** The trimmed text of a field, or null where it is empty. */
export function textOf(form: FormData, name: string): string | null {
  const value = form.get(name)
  return typeof value === 'string' && value.trim() ? value.trim() : null
}

interface ConfirmProps {
  title: string
  confirm: string
  onConfirm: () => Promise<void>
  onClose: () => void
  children: ReactNode
}

/** Asks before something that can't be undone. */
export function ConfirmDialog({ title, confirm, onConfirm, onClose, children }: ConfirmProps) {
  const act = async () => {
    await onConfirm()
    onClose()
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <Form submit={confirm} kind="danger" onSubmit={act} onCancel={onClose}>
        {children}
      </Form>
    </Dialog>
  )
}

/** Controls above a list: search, filters. */
export function Filters({ children }: { children: ReactNode }) {
  return <div className={css.row}>{children}</div>
}

/** The button below a list that has more pages. */
export function LoadMore({ busy, onMore }: { busy: boolean; onMore: () => void }) {
  return (
    <div className={css.more}>
      <Button onClick={onMore} busy={busy}>
        {en.common.more}
      </Button>
    </div>
  )
}
