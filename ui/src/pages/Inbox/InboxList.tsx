import { ChevronRight } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { Link, useLocation } from 'wouter'
import { Risk } from '../../cards/Risk'
import { StatusPill } from '../../cards/StatusPill'
import { TimeLeft } from '../../cards/TimeLeft'
import { statusOf } from '../../cards/useApproval'
import { approvalFromView, type ApprovalView } from '../../stream/approval'
import { useShortcuts } from '../../ui/shortcuts'
import { Ago } from '../../ui/Time'
import { visible } from '../../ui/visible'
import { inbox } from '../../words/en/inbox'
import css from './Inbox.module.css'
import { clusterOf } from './useInbox'

interface Props {
  approvals: ApprovalView[]
  /** The one that is shown beside the list. */
  chosen: string | undefined
  /** The one that the address names; its row is scrolled into view. */
  named: string | undefined
}

export function InboxList({ approvals, chosen, named }: Props) {
  const [, go] = useLocation()
  const step = (by: 1 | -1) => () => {
    const at = approvals.findIndex((one) => one.call_id === chosen) + by
    const next = approvals[Math.max(0, Math.min(approvals.length - 1, at))]
    if (next) go(`/approvals/${next.call_id}`)
  }
  useShortcuts({ j: step(1), k: step(-1) })
  return (
    <ul className={css.list} aria-label={inbox.list}>
      {approvals.map((view) => (
        <li key={view.call_id}>
          <Item view={view} chosen={view.call_id === chosen} named={view.call_id === named} />
        </li>
      ))}
    </ul>
  )
}

function Item({ view, chosen, named }: { view: ApprovalView; chosen: boolean; named: boolean }) {
  const approval = approvalFromView(view)
  const status = statusOf(view)
  const link = useRef<HTMLAnchorElement>(null)
  useEffect(() => {
    if (named) link.current?.scrollIntoView({ block: 'nearest' })
  }, [named])
  const about = [clusterOf(view), approval.requester?.name].filter((part) => part !== null && part !== undefined)
  return (
    <Link ref={link} href={`/approvals/${view.call_id}`} className={css.item} aria-current={chosen ? 'true' : undefined}>
      <span className={css.what}>
        <b>{visible(approval.preview?.summary ?? view.title)}</b>
        <small>
          {about.map((part) => (
            <span key={part}>{visible(part)}</span>
          ))}
          <Ago at={view.created_at} />
        </small>
      </span>
      <span className={css.state}>
        {status === 'awaiting_approval' ? <TimeLeft until={view.expires_at} /> : <StatusPill status={status} />}
        <Risk level={view.risk} />
        {approval.votesNeeded > 1 && <small>{inbox.votes(approval.votes.length, approval.votesNeeded)}</small>}
      </span>
      <ChevronRight size={16} aria-hidden />
    </Link>
  )
}
