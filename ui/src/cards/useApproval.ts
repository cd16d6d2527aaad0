import { useQuery } from '@tanstack/react-query'
import { client, unwrap } from '../api/client'
import { keys } from '../api/queries'
import { approvalFromView, type ApprovalView } from '../stream/approval'
import type { Call, CallStatus } from '../stream/state'

const POLL_WHILE_RUNNING_MS = 1500

/** The approval as the engine has it now. The live feed renews it; a running change is also asked for. */
export const useApproval = (callId: string, enabled: boolean) =>
  useQuery({
    queryKey: keys.approval(callId),
    enabled,
    queryFn: () => unwrap(client.GET('/api/v1/agent/approvals/{call_id}', { params: { path: { call_id: callId } } })),
    refetchInterval: (query) => {
      const status = query.state.data && statusOf(query.state.data)
      return status === 'approved' || status === 'executing' ? POLL_WHILE_RUNNING_MS : false
    },
  })

/** The approval as a call of a conversation, so that the same card shows it. */
export function callFromView(view: ApprovalView): Call {
  const ended = view.history.at(-1)
  return {
    id: view.call_id,
    runId: view.run_id,
    tool: view.tool,
    title: view.title,
    args: view.args,
    requiresApproval: true,
    status: statusOf(view),
    requestedAt: view.created_at,
    startedAt: view.history.find((entry) => entry.what === 'started')?.at ?? view.created_at,
    endedAt: ended && ended.what !== 'requested' ? ended.at : null,
    result: null,
    error: view.error,
    effect: view.effect,
    progress: null,
    supersedes: view.supersedes,
    approval: approvalFromView(view),
  }
}

const BY_OUTCOME: Record<string, CallStatus> = {
  started: 'executing',
  succeeded: 'completed',
  applied: 'completed',
  failed: 'error',
  not_applied: 'error',
  unknown: 'unknown',
}
const BY_STATUS: Record<string, CallStatus> = {
  pending: 'awaiting_approval',
  approved: 'approved',
  consumed: 'executing',
  denied: 'denied',
  expired: 'expired',
  superseded: 'superseded',
  stopped: 'stopped',
  stale: 'stale',
}

export const statusOf = (view: { status: string; outcome: string | null }): CallStatus =>
  BY_OUTCOME[view.outcome ?? ''] ?? BY_STATUS[view.status] ?? 'pending'
