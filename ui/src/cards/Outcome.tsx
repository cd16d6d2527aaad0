import { Link } from 'wouter'
import type { Approval, Call, CallStatus } from '../stream/state'
import { Button } from '../ui/Button'
import { visible } from '../ui/visible'
import { duration, timeOfDay } from '../words/format'
import { en } from '../words/en'
import type { CardActions } from './ApprovalCard'
import css from './ApprovalCard.module.css'
import { Reconcile } from './Reconcile'
import { ResultView } from './ResultView'
import { textOf } from './resultText'

const UNTOUCHED: CallStatus[] = ['denied', 'expired', 'superseded', 'stopped', 'stale']

/** What became of the change, who decided, and the next step. */
export function Outcome({ call, approval, actions }: { call: Call; approval: Approval; actions: CardActions }) {
  return (
    <footer className={css.outcome}>
      <DecidedBy call={call} approval={approval} />
      <WhatHappened call={call} approval={approval} />
      {call.status === 'completed' && call.result && <Result call={call} />}
      {call.status === 'unknown' && <Reconcile call={call} />}
      <NextStep call={call} approval={approval} actions={actions} />
    </footer>
  )
}

function DecidedBy({ call, approval }: { call: Call; approval: Approval }) {
  if (!approval.decidedBy || ['expired', 'superseded', 'stopped', 'stale'].includes(call.status)) return null
  const took = call.status === 'completed' && call.endedAt ? call.endedAt - call.startedAt : null
  return (
    <p>
      {call.status === 'denied' ? en.cards.by.denied : en.cards.by.approved} <b>{visible(approval.decidedBy)}</b>
      {approval.decidedAt ? ` at ${timeOfDay(approval.decidedAt)}` : ''}
      {took !== null && took > 0 ? `, ${en.cards.took(duration(took))}` : ''}
      {approval.reason ? `: “${visible(approval.reason)}”` : ''}
    </p>
  )
}

function WhatHappened({ call, approval }: { call: Call; approval: Approval }) {
  const { status } = call
  if (status === 'approved') {
    return <p>{approval.executeBy ? en.cards.runsBy(timeOfDay(approval.executeBy)) : en.cards.running}</p>
  }
  if (status === 'executing') return <p role="status">{call.progress ? visible(call.progress) : en.cards.running}</p>
  if (status === 'error') {
    return (
      <>
        <p className={css.wrong}>{visible(call.error ?? '')}</p>
        {call.effect && <p>{en.cards.effect[call.effect]}</p>}
      </>
    )
  }
  if (status === 'unknown') {
    return (
      <p>
        {call.error ? `${visible(call.error)} ` : ''}
        <b>{en.cards.unknownText}</b>
      </p>
    )
  }
  if (!UNTOUCHED.includes(status)) return null
  const why = en.cards.ended[status as keyof typeof en.cards.ended] ?? ''
  const detail = status === 'denied' ? '' : (approval.reason ?? why)
  return (
    <p>
      {detail ? `${visible(detail)} ` : ''}
      <b>{en.cards.nothingChanged}</b>
    </p>
  )
}

function Result({ call }: { call: Call }) {
  const text = textOf(call)
  const first = text.split('\n', 1)[0] ?? ''
  if (text === first) return <p>{visible(first)}</p>
  return (
    <details className={css.fold}>
      <summary>{visible(first)}</summary>
      <ResultView call={call} />
    </details>
  )
}

function NextStep({ call, approval, actions }: { call: Call; approval: Approval; actions: CardActions }) {
  const title = approval.preview?.summary ?? call.title
  const message = {
    error: [en.cards.askAgain, en.cards.tryAgainMessage(title)],
    stale: [en.cards.askFresh, en.cards.freshMessage(title)],
    expired: [en.cards.askFresh, en.cards.freshMessage(title)],
  }[call.status as string]
  const newer = call.status === 'superseded' ? (actions.newerThan?.(call.id) ?? null) : null
  const { suggest, conversationLink } = actions
  if (!(message && suggest) && !newer && !conversationLink) return null
  return (
    <div className={css.actions}>
      {message && suggest && <Button onClick={() => suggest(message[1] ?? '')}>{message[0]}</Button>}
      {newer && <a href={`#call-${newer}`}>{en.cards.newer}</a>}
      {conversationLink && <Link href={conversationLink}>{en.cards.inConversation}</Link>}
    </div>
  )
}
