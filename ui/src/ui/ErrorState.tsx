import { CircleAlert, CloudOff } from 'lucide-react'
import { useEffect, useState } from 'react'
import { ProblemError, Unreachable } from '../api/problem'
import { en } from '../words/en'
import { Button } from './Button'
import { CopyButton } from './CopyButton'
import css from './State.module.css'

/** An error that takes the place of a page's content, with its next step. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const Icon = error instanceof Unreachable ? CloudOff : CircleAlert
  return (
    <div className={css.state} role="alert">
      <Icon size={24} aria-hidden />
      <h2>{titleOf(error)}</h2>
      <div className={css.text}>
        <p>{messageOf(error)}</p>
        <RequestId error={error} />
      </div>
      {onRetry && isTemporary(error) && <Retry error={error} onRetry={onRetry} />}
    </div>
  )
}

/** An error beside the control that caused it. */
export function ErrorNote({ error }: { error: unknown }) {
  return (
    <div className={css.note} role="alert">
      <CircleAlert size={16} aria-hidden />
      <div>
        <p>{messageOf(error)}</p>
        <RequestId error={error} />
      </div>
    </div>
  )
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : en.errors.unexpected
}

function titleOf(error: unknown): string {
  if (error instanceof Unreachable) return en.errors.offline
  if (!(error instanceof ProblemError)) return en.errors.title
  return en.errors.byStatus[error.status] ?? en.errors.title
}

function isTemporary(error: unknown): boolean {
  return !(error instanceof ProblemError) || error.status >= 500 || error.status === 429
}

function RequestId({ error }: { error: unknown }) {
  const id = error instanceof ProblemError ? error.problem.request_id : null
  if (!id) return null
  return (
    <p className={css.request}>
      {en.errors.request} <code>{id}</code>
      <CopyButton text={id} label={en.errors.copyRequest} />
    </p>
  )
}

/** "Try again", after a countdown where the engine asked for one. */
function Retry({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const wait = error instanceof ProblemError ? (error.retryAfterMs ?? 0) : 0
  const [left, setLeft] = useState(Math.ceil(wait / 1000))
  useEffect(() => {
    if (left <= 0) return undefined
    const timer = setTimeout(() => setLeft(left - 1), 1000)
    return () => clearTimeout(timer)
  }, [left])
  return (
    <Button onClick={onRetry} disabled={left > 0}>
      {left > 0 ? en.errors.retryIn(left) : en.errors.retry}
    </Button>
  )
}
