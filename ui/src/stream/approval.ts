// One shape for an approval, whether an event, the timeline or the inbox brought it.
import type { Schemas } from '../api/client'
import type { ToolAwaitingApproval } from '../generated/events'
import { readPreview } from './preview'
import type { Approval, Person } from './state'

export type ApprovalView = Schemas['ApprovalView']

export function approvalFromEvent(event: ToolAwaitingApproval): Approval {
  return {
    digest: event.digest,
    risk: event.risk,
    rule: event.rule ?? null,
    preview: readPreview(event.preview),
    expiresAt: event.expires_at,
    executeBy: null,
    requester: event.requester_user ?? null,
    mayDecide: event.may_decide ?? null,
    whyNot: event.why_not ?? null,
    deciders: event.deciders ?? [],
    votes: event.votes ?? [],
    votesNeeded: event.votes_needed ?? 1,
    decidedBy: null,
    decidedAt: null,
    reason: null,
  }
}

export function approvalFromView(view: ApprovalView): Approval {
  return {
    digest: view.digest,
    risk: view.risk,
    rule: view.rule ?? null,
    preview: readPreview(view.preview),
    expiresAt: view.expires_at,
    executeBy: view.execute_by,
    requester: view.requester_user,
    mayDecide: view.may_decide,
    whyNot: view.why_not,
    deciders: view.deciders ?? [],
    votes: view.votes ?? [],
    votesNeeded: view.votes_needed ?? 1,
    decidedBy: deciderOf(view),
    decidedAt: view.decided_at,
    reason: view.reason,
  }
}

interface Decider {
  decided_by?: string | null
  decided_by_user?: Person | null
  decided_by_policy?: string | null
}

/** The name of who decided: a person, or the policy's rule. */
export function deciderOf(raw: Decider): string | null {
  if (raw.decided_by_policy) return `the policy (${raw.decided_by_policy})`
  return raw.decided_by_user?.name ?? raw.decided_by ?? null
}
