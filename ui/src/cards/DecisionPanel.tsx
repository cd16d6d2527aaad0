import { useState } from 'react'
import { ProblemError } from '../api/problem'
import { isFolded } from '../diff/DiffView'
import { hasRole, useSession } from '../session/session'
import { useSending } from '../stream/decisions'
import type { Approval, Call } from '../stream/state'
import type { Decision } from '../stream/store'
import { Button } from '../ui/Button'
import { ErrorNote } from '../ui/ErrorState'
import { Field } from '../ui/Field'
import { en } from '../words/en'
import type { CardActions } from './ApprovalCard'
import css from './ApprovalCard.module.css'
import { DenyForm } from './DenyForm'
import { EditForm } from './EditForm'
import { MayNotDecide } from './MayNotDecide'
import { useSteady } from './useSeen'

export interface Looked {
  seen: boolean
  unfolded: boolean
  argsRead: boolean
}

interface Props {
  call: Call
  approval: Approval
  actions: CardActions
  looked: Looked
  /** Called with true when this page decides, and with false when the engine refused that. */
  onOwn: (own: boolean) => void
}

/** The buttons of a change that waits: for those who may decide, once they have seen what they decide on. */
export function DecisionPanel({ call, approval, actions, looked, onOwn }: Props) {
  const { user } = useSession()
  const [mode, setMode] = useState<'decide' | 'deny' | 'edit'>('decide')
  const [deciding, setDeciding] = useState<Deciding | null>(null)
  const busy = useSendingAs(call.id) ?? deciding
  const [error, setError] = useState<unknown>(null)
  const [conflicts, setConflicts] = useState<string[]>([])

  const decide = async (decision: Decision, what: Deciding) => {
    setDeciding(what)
    onOwn(true)
    setError(null)
    try {
      await actions.decide(call, decision)
    } catch (problem) {
      setError(problem)
      setConflicts((known) => [...new Set([...known, ...conflictOf(problem)])])
      setDeciding(null)
      onOwn(false)
    }
  }

  const ownVote = approval.votes.some((vote) => vote.id === user?.id || vote.name === user?.email)
  if (ownVote) {
    return <p className={css.decided}>{en.cards.votes.own(approval.votesNeeded - approval.votes.length)}</p>
  }
  if (approval.mayDecide === false || (approval.mayDecide === null && !hasRole(user, 'member'))) {
    return <MayNotDecide approval={approval} callId={call.id} />
  }
  return (
    <footer className={css.decide}>
      {approval.votes.length > 0 && <p>{en.cards.votes.given(approval.votes.map((vote) => vote.name).join(', '))}</p>}
      {error !== null && <ErrorNote error={error} />}
      {mode === 'deny' && (
        <DenyForm busy={busy === 'deny'} onDeny={(reason) => void decide({ approve: false, reason }, 'deny')} onBack={() => setMode('decide')} />
      )}
      {mode === 'edit' && (
        <EditForm
          args={call.args}
          busy={busy === 'edit'}
          onPropose={(args) => void decide({ approve: true, args }, 'edit')}
          onBack={() => setMode('decide')}
        />
      )}
      {mode === 'decide' && (
        <Buttons
          call={call}
          approval={approval}
          looked={looked}
          busy={busy}
          conflicts={conflicts}
          onApprove={(decision) => void decide({ approve: true, ...decision }, 'approve')}
          onMode={setMode}
        />
      )}
    </footer>
  )
}

type Deciding = 'approve' | 'deny' | 'edit'

/** What is on its way to the engine, also when another card sent it. */
function useSendingAs(callId: string): Deciding | null {
  const sending = useSending(callId)
  if (!sending) return null
  if (!sending.approve) return 'deny'
  return sending.args ? 'edit' : 'approve'
}

interface ButtonsProps {
  call: Call
  approval: Approval
  looked: Looked
  busy: Deciding | null
  conflicts: string[]
  onApprove: (decision: { reason?: string; despiteUnknown?: string[] }) => void
  onMode: (mode: 'deny' | 'edit') => void
}

function Buttons({ call, approval, looked, busy, conflicts, onApprove, onMode }: ButtonsProps) {
  const [reason, setReason] = useState('')
  const [typed, setTyped] = useState('')
  const [despiteRefusal, setDespiteRefusal] = useState(false)
  const steady = useSteady(approval.digest)
  const destructive = approval.risk === 'destructive'
  const name = approval.preview?.objects[0]?.name || call.tool
  const confirmed = !destructive || (typed === name && reason.trim() !== '')
  const blocked = {
    new: en.cards.blocked.unseen,
    changed: en.cards.blocked.moved,
    steady: blockedBy(approval, looked) ?? (confirmed ? null : en.cards.blocked.name(name)),
  }[steady]
  const refused = approval.preview?.allowed?.allowed === false && !despiteRefusal

  return (
    <>
      {destructive && (
        <div className={css.confirm}>
          <Field label={en.cards.typeToConfirm(name)}>
            <input
              data-action="confirm"
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
              autoComplete="off"
              spellCheck={false}
            />
          </Field>
          <Field label={en.cards.reason}>
            <input value={reason} maxLength={2000} onChange={(event) => setReason(event.target.value)} />
          </Field>
        </div>
      )}
      <div className={css.actions}>
        {refused ? (
          <Button onClick={() => setDespiteRefusal(true)}>{en.cards.approveAnyway}</Button>
        ) : (
          <Button
            kind={destructive ? 'danger' : 'primary'}
            data-action="approve"
            hint={destructive ? undefined : 'a'}
            busy={busy === 'approve'}
            aria-disabled={blocked !== null}
            aria-describedby={blocked ? `blocked-${call.id}` : undefined}
            onClick={() => {
              if (blocked) return
              onApprove({
                ...(reason.trim() ? { reason: reason.trim() } : {}),
                ...(conflicts.length > 0 ? { despiteUnknown: conflicts } : {}),
              })
            }}
          >
            {conflicts.length > 0 ? en.cards.acceptConflicts : busy === 'approve' ? en.cards.approving : en.cards.approve}
          </Button>
        )}
        <Button data-action="deny" hint="d" disabled={busy !== null} onClick={() => onMode('deny')}>
          {en.cards.deny}
        </Button>
        <Button kind="link" data-action="edit" disabled={busy !== null} onClick={() => onMode('edit')}>
          {en.cards.edit}
        </Button>
      </div>
      {blocked && (
        <p className={css.blocked} id={`blocked-${call.id}`}>
          {blocked}
        </p>
      )}
    </>
  )
}

/** Why the change can't be approved yet: the person has not seen it. */
function blockedBy(approval: Approval, looked: Looked): string | null {
  const { preview } = approval
  if (!looked.seen) return en.cards.blocked.unseen
  if ((!preview || preview.noPreview) && !looked.argsRead) return en.cards.blocked.args
  if (preview?.diff && !looked.unfolded && isFolded(preview.diff)) return en.cards.blocked.folded
  return null
}

/** A change of the same object whose outcome is unknown; the engine wants it to be accepted by its id. */
function conflictOf(error: unknown): string[] {
  if (!(error instanceof ProblemError) || error.status !== 409 || !('unknown' in error.problem)) return []
  const { unknown } = error.problem
  return typeof unknown === 'string' ? [unknown] : []
}
