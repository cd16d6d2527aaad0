import { useQueryClient } from '@tanstack/react-query'
import { ArrowLeft } from 'lucide-react'
import { useMemo } from 'react'
import { Link } from 'wouter'
import { keys } from '../../api/queries'
import { ApprovalCard, type CardActions } from '../../cards/ApprovalCard'
import { callFromView, useApproval } from '../../cards/useApproval'
import { sendDecision } from '../../stream/decisions'
import { decisionBody } from '../../stream/store'
import { ErrorState } from '../../ui/ErrorState'
import { Skeleton } from '../../ui/Skeleton'
import { inbox } from '../../words/en/inbox'
import css from './Inbox.module.css'
import { useWide } from '../../ui/useWide'

/** One approval: the same card as in the conversation, decided here. */
export function ApprovalDetail({ callId }: { callId: string }) {
  const { data, error, isPending, refetch } = useApproval(callId, true)
  const queries = useQueryClient()
  const wide = useWide()
  const call = useMemo(() => data && callFromView(data), [data])
  const conversation = data?.conversation_id
  const actions = useMemo(
    (): CardActions => ({
      decide: async (decided, decision) => {
        try {
          await sendDecision(decided.id, decisionBody(decided, conversation ?? '', decision))
        } finally {
          await queries.invalidateQueries({ queryKey: keys.approval(decided.id) })
          await queries.invalidateQueries({ queryKey: keys.approvals })
        }
      },
      conversationLink: `/c/${conversation}#call-${callId}`,
    }),
    [callId, conversation, queries],
  )
  return (
    <>
      {!wide && (
        <Link href="/approvals" className={css.back}>
          <ArrowLeft size={15} aria-hidden />
          {inbox.back}
        </Link>
      )}
      {isPending && <Skeleton lines={6} />}
      {error && <ErrorState error={error} onRetry={() => void refetch()} />}
      {call && <ApprovalCard call={call} actions={actions} />}
    </>
  )
}
