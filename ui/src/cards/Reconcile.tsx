import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { client, unwrap, type Schemas } from '../api/client'
import { keys } from '../api/queries'
import { isObject } from '../stream/preview'
import type { Call } from '../stream/state'
import { Button } from '../ui/Button'
import { ErrorNote } from '../ui/ErrorState'
import { Field } from '../ui/Field'
import { visible } from '../ui/visible'
import { en } from '../words/en'
import css from './ApprovalCard.module.css'
import { statusOf, useApproval } from './useApproval'

/** An unknown outcome: find out what happened, and let a person settle what can't be proven. Never runs the change. */
export function Reconcile({ call }: { call: Call }) {
  const queries = useQueryClient()
  const { data } = useApproval(call.id, true)
  const verify = useMutation({
    mutationFn: (body: Schemas['ReconcileRequest']) =>
      unwrap(client.POST('/api/v1/agent/approvals/{call_id}/verify', { params: { path: { call_id: call.id } }, body })),
    onSuccess: (view) => {
      queries.setQueryData(keys.approval(call.id), view)
      void queries.invalidateQueries({ queryKey: keys.approvals })
    },
  })
  const evidence = isObject(data?.evidence) ? data.evidence : null
  if (data && statusOf(data) !== 'unknown') return null
  return (
    <div className={css.reconcile}>
      {verify.error && <ErrorNote error={verify.error} />}
      {evidence && (
        <dl className={css.evidence}>
          <dt>{en.cards.verdict[String(evidence['verdict'])] ?? visible(String(evidence['verdict']))}</dt>
          <dd>{visible(String(evidence['detail'] ?? ''))}</dd>
        </dl>
      )}
      <div className={css.actions}>
        <Button
          kind={evidence ? 'plain' : 'primary'}
          data-action="verify"
          hint="v"
          busy={verify.isPending}
          onClick={() => verify.mutate({})}
        >
          {en.cards.verify}
        </Button>
        <span className={css.quiet}>{en.cards.verifyHint}</span>
      </div>
      {evidence && <Settle busy={verify.isPending} onSettle={(outcome, reason) => verify.mutate({ outcome, reason })} />}
    </div>
  )
}

type Settled = 'applied' | 'not_applied'

function Settle({ busy, onSettle }: { busy: boolean; onSettle: (outcome: Settled, reason: string) => void }) {
  const [reason, setReason] = useState('')
  const settle = (outcome: Settled) => () => onSettle(outcome, reason.trim())
  const missing = reason.trim() === ''
  return (
    <div className={css.form}>
      <p>{en.cards.settleHint}</p>
      <Field label={en.cards.reason}>
        <input value={reason} maxLength={2000} onChange={(event) => setReason(event.target.value)} />
      </Field>
      <div className={css.actions}>
        <Button disabled={missing} busy={busy} onClick={settle('applied')}>
          {en.cards.applied}
        </Button>
        <Button disabled={missing} busy={busy} onClick={settle('not_applied')}>
          {en.cards.notApplied}
        </Button>
      </div>
    </div>
  )
}
