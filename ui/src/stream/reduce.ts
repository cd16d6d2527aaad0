// The one place where events become what the page shows: live, replayed and stored alike. Pure, never mutates.
import type { RunEvent } from '../generated/events'
import { chat } from '../words/en/chat'
import { approvalFromEvent, deciderOf } from './approval'
import {
  isOpen,
  newRun,
  type Approval,
  type Block,
  type Call,
  type Conversation,
  type Generation,
  type Item,
  type Run,
} from './state'

export const reduceAll = (state: Conversation, events: readonly RunEvent[]): Conversation => events.reduce(reduce, state)

/** Return the state after the event. An event that the state already has, by its sequence number, changes nothing. */
export function reduce(state: Conversation, event: RunEvent): Conversation {
  const run = state.runs[event.run_id] ?? newRun(event.run_id)
  if (event.seq != null && event.seq <= run.seq) return state
  const opened: Conversation = {
    ...state,
    id: event.conversation_id ?? state.id,
    runId: event.seq == null ? (state.runId ?? event.run_id) : event.run_id,
    runs: { ...state.runs, [run.id]: event.seq == null ? run : { ...run, seq: event.seq } },
  }
  return apply(opened, event)
}

function apply(state: Conversation, event: RunEvent): Conversation {
  switch (event.type) {
    case 'ready':
    case 'heartbeat':
      return state
    case 'error':
      return event.resume ? state : lost(state, event)
    case 'generation.start':
      return startGeneration(state, event)
    case 'ttft':
      return updateRun(state, event, { ttftMs: event.duration })
    case 'thinking':
      return append(state, { kind: 'thinking', id: thinkingId(event), runId: event.run_id, text: event.text, open: true, ms: null })
    case 'thinking.complete':
      return put(state, { kind: 'thinking', id: thinkingId(event), runId: event.run_id, text: event.content, open: false, ms: event.duration_ms })
    case 'token':
      return append(state, { kind: 'text', id: event.generation_id, runId: event.run_id, text: event.text, open: true, finish: null })
    case 'generation.complete':
      return completeGeneration(state, event)
    case 'token.usage':
      return event.source === 'main' ? addUsage(state, event) : state
    case 'tools.pending':
      return event.tools.reduce((next, tool) => putCall(next, event.run_id, tool, { startedAt: tool.timestamp }), state)
    case 'tool.awaiting_approval':
      return putCall(state, event.run_id, event, {
        status: 'awaiting_approval',
        requestedAt: event.timestamp,
        supersedes: event.supersedes ?? null,
        approval: approvalFromEvent(event),
      })
    case 'tool.vote':
      return updateApproval(state, event, (approval) => ({
        votes: [...approval.votes, { id: event.decided_by ?? '', name: deciderOf(event) ?? '', at: event.timestamp }],
      }))
    case 'tool.approved':
      return decided(state, event, { status: 'approved' })
    case 'tool.denied':
      return decided(state, event, { status: 'denied', endedAt: event.timestamp })
    case 'tool.expired':
      return decided(state, event, { status: 'expired', endedAt: event.timestamp })
    case 'tool.superseded':
      return decided(state, event, { status: 'superseded', endedAt: event.timestamp })
    case 'tool.stale':
      return decided(state, event, { status: 'stale', endedAt: event.timestamp })
    case 'tool.executing':
      return putCall(endWait(state, event), event.run_id, event, { status: 'executing', startedAt: event.timestamp })
    case 'tool.progress':
      return updateCall(state, event.call_id, { progress: progressOf(event) })
    case 'tool.result':
      return putCall(state, event.run_id, event, {
        status: 'completed',
        result: event.result as Block[],
        endedAt: event.timestamp,
        progress: null,
      })
    case 'tool.error':
      return putCall(state, event.run_id, event, {
        status: 'error',
        error: event.error,
        effect: effectOf(event),
        endedAt: event.timestamp,
        progress: null,
      })
    case 'tool.unknown':
      return putCall(state, event.run_id, event, { status: 'unknown', error: event.error, endedAt: event.timestamp, progress: null })
    case 'tool.verified':
      return verified(state, event)
    case 'conversation.title.generated':
      return { ...state, title: event.title }
    case 'retry':
      return put(state, {
        kind: 'note',
        id: `retry-${event.seq ?? event.timestamp}`,
        runId: event.run_id,
        tone: 'wait',
        text: chat.retryNote(event.error, event.retry_in, event.attempt, event.max_attempts),
        code: null,
      })
    case 'context.compacted':
      return put(state, { kind: 'summary', id: event.summary_id, runId: event.run_id, text: event.summary, messages: event.messages })
    case 'context.compaction_failed':
      return put(state, {
        kind: 'note',
        id: `compaction-${event.seq ?? event.timestamp}`,
        runId: event.run_id,
        tone: 'wait',
        text: chat.notSummarised(event.error),
        code: null,
      })
    case 'budget.warning':
      return put(state, {
        kind: 'note',
        id: `budget-${event.seq ?? event.timestamp}`,
        runId: event.run_id,
        tone: 'wait',
        text: event.message,
        code: null,
      })
    case 'completed':
      return completed(endWait(state, event), event)
    case 'workflow_complete':
      return rest(state, event, event.status === 'stopped' ? 'stopped' : null, {
        phase: event.status,
        waitsSince: event.status === 'awaiting_approval' ? event.timestamp : null,
      })
    case 'workflow_error':
      return failed(state, event)
    default:
      return ignoreUnknown(state, event)
  }
}

type Of<T extends RunEvent['type']> = Extract<RunEvent, { type: T }>
type Decided = Of<'tool.approved' | 'tool.denied' | 'tool.expired' | 'tool.superseded' | 'tool.stale'>

const thinkingId = (event: { generation_id: string }): string => `${event.generation_id}:thinking`

function startGeneration(state: Conversation, event: Of<'generation.start'>): Conversation {
  const replaced = event.replaces
  const items = replaced
    ? state.items.filter((item) => item.id !== replaced && item.id !== `${replaced}:thinking`)
    : state.items
  const run = runOf(state, event)
  const waited = endWait(state, event)
  const generations: Generation[] = [
    ...run.generations.filter((one) => one.id !== replaced),
    { id: event.generation_id, startedAt: event.timestamp, endedAt: null },
  ]
  return updateRun({ ...waited, items }, event, { model: event.model, phase: 'running', generations })
}

function completeGeneration(state: Conversation, event: Of<'generation.complete'>): Conversation {
  const generations = runOf(state, event).generations.map((one) =>
    one.id === event.generation_id ? { ...one, endedAt: event.timestamp } : one,
  )
  const settled = updateRun(state, event, { generations })
  if (!event.content) return settled
  const finish = CUT_SHORT.has(event.finish_reason) ? event.finish_reason : null
  return put(settled, { kind: 'text', id: event.generation_id, runId: event.run_id, text: event.content, open: false, finish })
}

/** Finish reasons that mean the text is not whole. */
const CUT_SHORT = new Set(['length', 'max_tokens', 'content_filter', 'stopped', 'error', 'shutdown', 'interrupted'])

function addUsage(state: Conversation, event: Of<'token.usage'>): Conversation {
  const run = runOf(state, event)
  return updateRun(state, event, {
    tokens: run.tokens + event.total_tokens,
    cachedTokens: run.cachedTokens + event.cached_tokens,
    cost: event.cost == null ? run.cost : (run.cost ?? 0) + event.cost,
  })
}

function decided(state: Conversation, event: Decided, change: Partial<Call>): Conversation {
  const next = putCall(state, event.run_id, event, change)
  return updateApproval(next, event, () => ({
    decidedBy: deciderOf(event),
    decidedAt: event.timestamp,
    reason: event.reason ?? null,
  }))
}

function verified(state: Conversation, event: Of<'tool.verified'>): Conversation {
  const outcome = { applied: 'completed', not_applied: 'error' } as const
  const status = event.outcome in outcome ? outcome[event.outcome as keyof typeof outcome] : 'unknown'
  return putCall(state, event.run_id, event, { status, error: event.evidence, effect: status === 'error' ? 'none' : null })
}

function failed(state: Conversation, event: Of<'workflow_error'>): Conversation {
  const resting = rest(state, event, 'error', { phase: 'failed' })
  return put(resting, noteOf(event, event.error, event.code))
}

/** The person may not follow the run any longer: how it goes on is not known. */
function lost(state: Conversation, event: Of<'error'>): Conversation {
  const resting = rest(state, event, null, { phase: 'failed' })
  return put(resting, noteOf(event, event.error, event.code))
}

const noteOf = (event: RunEvent, text: string, code: string): Item => ({
  kind: 'note',
  id: `${event.run_id}:error`,
  runId: event.run_id,
  tone: 'danger',
  text,
  code,
})

/** The run ended: nothing of it grows or waits any more, but what a person still has to decide. */
function rest(state: Conversation, event: RunEvent, cut: string | null, change: Partial<Run>): Conversation {
  const items = state.items.map((item) =>
    item.runId === event.run_id && (item.kind === 'text' || item.kind === 'thinking') && item.open
      ? { ...item, open: false, ...(item.kind === 'text' ? { finish: cut } : {}) }
      : item,
  )
  const calls = cut === null ? state.calls : stopOpenCalls(state.calls, event)
  return updateRun({ ...state, items, calls }, event, change)
}

function stopOpenCalls(calls: Record<string, Call>, event: RunEvent): Record<string, Call> {
  const stopped = Object.values(calls)
    .filter((call) => call.runId === event.run_id && isOpen(call) && call.status !== 'executing')
    .map((call) => [call.id, { ...call, status: 'stopped', endedAt: event.timestamp }] as const)
  return stopped.length > 0 ? { ...calls, ...Object.fromEntries(stopped) } : calls
}

const runOf = (state: Conversation, event: RunEvent): Run => state.runs[event.run_id] ?? newRun(event.run_id)

function updateRun(state: Conversation, event: RunEvent, change: Partial<Run>): Conversation {
  return { ...state, runs: { ...state.runs, [event.run_id]: { ...runOf(state, event), ...change } } }
}

type Growing = Extract<Item, { kind: 'text' | 'thinking' }>

/** Add the text to the item with this id, or add the item. */
function append(state: Conversation, item: Growing): Conversation {
  const at = state.items.findLastIndex((known) => known.id === item.id)
  const known = state.items[at]
  if (!known || known.kind !== item.kind) return { ...state, items: insert(state.items, item) }
  return { ...state, items: state.items.with(at, { ...known, text: known.text + item.text }) }
}

/** Replace the item with this id, or add it. */
function put(state: Conversation, item: Item): Conversation {
  const at = state.items.findLastIndex((known) => known.id === item.id)
  return { ...state, items: at < 0 ? insert(state.items, item) : state.items.with(at, item) }
}

/** Add the item behind the last one of its run: a message that waits for the run's end stays below. */
function insert(items: Item[], item: Item): Item[] {
  const at = items.findLastIndex((known) => known.runId === item.runId)
  return at < 0 || at === items.length - 1 ? [...items, item] : items.toSpliced(at + 1, 0, item)
}

interface CallFacts {
  call_id: string
  tool: string
  title: string
  timestamp: number
  args?: Record<string, unknown>
  requires_approval?: boolean
}

function putCall(state: Conversation, runId: string, facts: CallFacts, change: Partial<Call>): Conversation {
  const known = state.calls[facts.call_id]
  const call: Call = known ?? {
    id: facts.call_id,
    runId,
    tool: facts.tool,
    title: facts.title,
    args: facts.args ?? {},
    requiresApproval: facts.requires_approval ?? false,
    status: 'pending',
    requestedAt: null,
    startedAt: facts.timestamp,
    endedAt: null,
    result: null,
    error: null,
    effect: null,
    progress: null,
    supersedes: null,
    approval: null,
  }
  const items = known ? state.items : insert(state.items, { kind: 'call', id: call.id, runId })
  return { ...state, items, calls: { ...state.calls, [call.id]: { ...call, ...change } } }
}

function updateCall(state: Conversation, id: string, change: Partial<Call>): Conversation {
  const call = state.calls[id]
  return call ? { ...state, calls: { ...state.calls, [id]: { ...call, ...change } } } : state
}

function updateApproval(
  state: Conversation,
  event: { call_id: string },
  change: (approval: Approval) => Partial<Approval>,
): Conversation {
  const approval = state.calls[event.call_id]?.approval
  return approval ? updateCall(state, event.call_id, { approval: { ...approval, ...change(approval) } }) : state
}

function progressOf(event: Of<'tool.progress'>): string {
  const part = event.progress != null && event.total ? `${Math.round((100 * event.progress) / event.total)} %` : ''
  return [event.message, part].filter(Boolean).join(' · ')
}

function effectOf(event: Of<'tool.error'>): Call['effect'] {
  return 'effect' in event ? ((event as { effect?: Call['effect'] }).effect ?? null) : null
}

/** The run works again, or ended: what it waited for people does not count as its work. */
function endWait(state: Conversation, event: RunEvent): Conversation {
  const { waitsSince, waitedMs } = runOf(state, event)
  if (waitsSince === null) return state
  return updateRun(state, event, { waitsSince: null, waitedMs: waitedMs + Math.max(0, event.timestamp - waitsSince) })
}

function completed(state: Conversation, event: Of<'completed'>): Conversation {
  return updateRun(state, event, { durationMs: Math.max(0, event.duration_ms - (event.waited_ms ?? runOf(state, event).waitedMs)) })
}

/** Compiles only while every event type has a case. An event of a newer engine changes nothing. */
const ignoreUnknown = (state: Conversation, _event: never): Conversation => state
