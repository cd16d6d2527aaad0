import { Lock, TriangleAlert, Users } from 'lucide-react'
import { memo, useId, useMemo, useState } from 'react'
import { approvalFromView } from '../stream/approval'
import type { Decision } from '../stream/store'
import type { Approval, Call } from '../stream/state'
import { Ago } from '../ui/Time'
import { visible } from '../ui/visible'
import { en } from '../words/en'
import { AccessLine } from './AccessLine'
import css from './ApprovalCard.module.css'
import { DecisionPanel } from './DecisionPanel'
import { Outcome } from './Outcome'
import { Risk } from './Risk'
import { Shown } from './Shown'
import { StatusPill } from './StatusPill'
import { TimeLeft } from './TimeLeft'
import { ToolCard } from './ToolCard'
import { useApproval } from './useApproval'
import { useSeen } from './useSeen'

export interface CardActions {
  decide: (call: Call, decision: Decision) => Promise<void>
  /** Put a message to the agent into the composer. Absent where there is no composer. */
  suggest?: (text: string) => void
  /** The call that took the place of this one. */
  newerThan?: (callId: string) => string | null
  /** Where the conversation is, on pages that are not it. */
  conversationLink?: string
}

interface Props {
  call: Call
  actions: CardActions
}

/** A change that needs, or needed, a decision: what would happen, who may decide, what became of it. */
export const ApprovalCard = memo(function ApprovalCard({ call, actions }: Props) {
  const heading = useId()
  const waits = call.status === 'awaiting_approval'
  const approval = useCurrentApproval(call)
  const [seen, watch] = useSeen()
  const [unfolded, setUnfolded] = useState(false)
  const [argsRead, setArgsRead] = useState(false)
  const [elsewhere, setOwn] = useDecidedElsewhere(call)
  if (!approval) return <ToolCard call={call} />
  const { preview } = approval
  const current: Call = { ...call, approval }

  return (
    <article
      className={css.card}
      data-status={call.status}
      data-call={call.id}
      id={`call-${call.id}`}
      aria-labelledby={heading}
      tabIndex={-1}
    >
      <header>
        <div className={css.top}>
          <StatusPill status={call.status} />
          <Risk level={approval.risk} reason={preview?.riskReason} />
          {approval.votesNeeded > 1 && (
            <span className={css.quiet}>{en.cards.approvals(approval.votes.length, approval.votesNeeded)}</span>
          )}
          {waits && (
            <span className={css.end}>
              <TimeLeft until={approval.expiresAt} />
            </span>
          )}
        </div>
        <h2 id={heading}>{visible(preview?.summary ?? call.title)}</h2>
        <Where call={current} />
      </header>
      {elsewhere && <Elsewhere call={current} approval={approval} />}
      <Warnings approval={approval} />
      <div ref={watch}>
        <Shown
          call={current}
          folded={!waits && call.status !== 'executing'}
          onAllShown={() => setUnfolded(true)}
          onArgsShown={() => setArgsRead(true)}
        />
      </div>
      {waits && <AccessLine allowed={preview?.allowed ?? null} />}
      {waits ? (
        <DecisionPanel call={current} approval={approval} actions={actions} looked={{ seen, unfolded, argsRead }} onOwn={setOwn} />
      ) : (
        <Outcome call={current} approval={approval} actions={actions} />
      )}
    </article>
  )
})

/** What the events said, with who may decide and who voted as the engine has it now. */
function useCurrentApproval(call: Call): Approval | null {
  const shown = call.approval
  const fromTimeline = !shown && call.status !== 'pending'
  const { data } = useApproval(call.id, fromTimeline || call.status === 'awaiting_approval' || call.status === 'unknown')
  return useMemo(() => {
    if (!data) return shown
    if (!shown) return approvalFromView(data)
    const now = approvalFromView(data)
    const { requester, mayDecide, whyNot, deciders, executeBy } = now
    const votes = now.votes.length > shown.votes.length ? now.votes : shown.votes
    return { ...shown, requester: shown.requester ?? requester, mayDecide, whyNot, deciders, executeBy, votes }
  }, [data, shown])
}

/** Whether somebody else, or another tab, decided while the card was shown; and how to say that this page decides. */
function useDecidedElsewhere({ status }: Call): [boolean, (own: boolean) => void] {
  const [own, setOwn] = useState(false)
  const [before, setBefore] = useState(status)
  const [elsewhere, setElsewhere] = useState(false)
  if (before !== status) {
    setBefore(status)
    if (before === 'awaiting_approval') setElsewhere(!own)
  }
  return [elsewhere, setOwn]
}

function Elsewhere({ call, approval }: { call: Call; approval: Approval }) {
  if (!approval.decidedBy || !approval.decidedAt) return null
  return (
    <p className={css.elsewhere} role="status">
      <Users size={15} aria-hidden />
      <span>
        {en.cards.elsewhere(visible(approval.decidedBy), call.status === 'denied')} <Ago at={approval.decidedAt} />
      </span>
    </p>
  )
}

function Where({ call }: { call: Call }) {
  const object = call.approval?.preview?.objects[0]
  const facts = [
    [en.cards.cluster, object?.cluster],
    [en.cards.namespace, object?.namespace],
    [en.cards.askedBy, call.approval?.requester?.name],
    [en.cards.rule, call.approval?.rule],
  ] as const
  return (
    <p className={css.where}>
      {facts.map(([word, value]) =>
        value ? (
          <span key={word}>
            {word} <b>{visible(value)}</b>
          </span>
        ) : null,
      )}
      <span>
        <code>{call.tool}</code>
      </span>
    </p>
  )
}

function Warnings({ approval }: { approval: Approval }) {
  const { preview } = approval
  const missing = preview?.noPreview ? en.cards.noPreview(preview.noPreview) : preview ? null : en.cards.noPreviewUnsaid
  const warnings = [...(missing ? [missing] : []), ...(preview?.warnings ?? [])]
  return (
    <>
      {warnings.map((warning) => (
        <p key={warning} className={css.warning}>
          <TriangleAlert size={15} aria-hidden />
          <span>{visible(warning)}</span>
        </p>
      ))}
      {hasMaskedValue(approval) && (
        <p className={css.hint}>
          <Lock size={14} aria-hidden />
          <span>{en.cards.masked}</span>
        </p>
      )}
    </>
  )
}

const hasMaskedValue = (approval: Approval): boolean => /masked, \d{1,9} bytes/.test(approval.preview?.diff ?? '')
