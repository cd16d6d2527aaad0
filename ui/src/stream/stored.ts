// The stored timeline of a conversation, as the state that its events would have made.
import type { Schemas } from '../api/client'
import { approvalFromView, type ApprovalView } from './approval'
import { emptyConversation, newRun, type Block, type Call, type Conversation, type Effect, type Item, type Run } from './state'

type Detail = Schemas['ConversationDetail']
type AssistantEntry = Schemas['AssistantEntry']
export type Entry = Detail['messages'][number]
type Segment = AssistantEntry['segments'][number]
type Summary = Schemas['SummaryNote']

/** Fields that newer engines send beside the documented ones. */
interface ChangeFields {
  approval?: ApprovalView | null
  started_at?: number | null
  ended_at?: number | null
  effect?: Effect | null
}

/**
 * Return the state of the conversation, without the answers of `liveRuns` (oldest first): their events are replayed.
 * The last messages of the person are those that started the live runs. `later` are the messages behind these, which
 * may replace some of them.
 */
export function fromTimeline(detail: Detail, liveRuns: readonly string[] = [], later: readonly Entry[] = []): Conversation {
  const hidden = replacedMessages([...detail.messages, ...later], detail.truncated ?? false)
  const entries = detail.messages.filter((entry) => !hidden.has(entry.id))
  const runs = runsOfMessages(entries, liveRuns)
  const state: Conversation = { ...emptyConversation, id: detail.id, title: detail.title ?? '', runs: {}, items: [], calls: {} }
  for (const entry of entries) {
    if (entry.type === 'user') {
      state.items.push({ kind: 'user', id: entry.id, runId: runs.get(entry.id) ?? entry.id, text: entry.content })
    } else if (!liveRuns.includes(entry.run_id)) {
      addAnswer(state, entry)
    }
  }
  return state
}

/** Put older messages above those that are shown. */
export const prepend = (older: Conversation, shown: Conversation): Conversation => ({
  ...shown,
  runs: { ...older.runs, ...shown.runs },
  items: [...older.items, ...shown.items],
  calls: { ...older.calls, ...shown.calls },
})

/** Which run each message of the person started. */
function runsOfMessages(entries: Detail['messages'], liveRuns: readonly string[]): Map<string, string> {
  const runs = new Map<string, string>()
  const messages = entries.filter((entry) => entry.type === 'user')
  messages.slice(-liveRuns.length || messages.length).forEach((message, index) => {
    const run = liveRuns[index]
    if (run) runs.set(message.id, run)
  })
  return runs
}

/** Messages that an edited one replaced, with everything that followed them until the edited one. */
function replacedMessages(messages: readonly Entry[], truncated: boolean): Set<string> {
  const hidden = new Set<string>()
  messages.forEach((entry, at) => {
    if (entry.type !== 'user' || !entry.replaces) return
    const found = messages.findIndex((earlier) => earlier.id === entry.replaces)
    const from = found < 0 && truncated ? 0 : found // the replaced one is older than all that were read
    if (from >= 0) for (const folded of messages.slice(from, at)) hidden.add(folded.id)
  })
  return hidden
}

function addAnswer(state: Conversation, entry: AssistantEntry): void {
  const calls: Call[] = []
  const summaries = entry.summaries ?? []
  for (const segment of entry.segments) {
    state.items.push(...summaries.filter((one) => one.before === segment.id).map((one) => readSummary(one, entry.run_id)))
    if (segment.kind === 'tool') calls.push(readCall(segment, entry.run_id))
    state.items.push(readItem(segment, entry.run_id))
  }
  state.items.push(...summaries.filter((one) => one.before == null).map((one) => readSummary(one, entry.run_id)))
  if (entry.error) {
    const id = `${entry.run_id}:error`
    state.items.push({ kind: 'note', id, runId: entry.run_id, tone: 'danger', text: entry.error, code: null })
  }
  for (const call of calls) state.calls[call.id] = call
  state.runId = entry.run_id
  state.runs[entry.run_id] = readRun(entry, calls)
}

function readItem(segment: Segment, runId: string): Item {
  switch (segment.kind) {
    case 'text':
      return { kind: 'text', id: segment.id, runId, text: segment.text, open: false, finish: cutReason(segment.finish_reason) }
    case 'thinking':
      return { kind: 'thinking', id: segment.id, runId, text: segment.text, open: false, ms: segment.durationMs }
    case 'tool':
      return { kind: 'call', id: segment.id, runId }
  }
}

const readSummary = (one: Summary, runId: string): Item => ({ kind: 'summary', id: one.id, runId, text: one.text, messages: one.messages })

const WHOLE = new Set(['stop', 'tool_calls', 'end_turn', 'tool_use'])
const cutReason = (reason: string | null | undefined): string | null => (!reason || WHOLE.has(reason) ? null : reason)

function readCall(segment: Extract<Segment, { kind: 'tool' }>, runId: string): Call {
  const execution = segment.toolExecution
  const change = execution as typeof execution & ChangeFields
  return {
    id: execution.call_id,
    runId,
    tool: execution.tool,
    title: execution.title,
    args: execution.args,
    requiresApproval: execution.requires_approval,
    status: execution.status,
    requestedAt: change.approval?.created_at ?? null,
    startedAt: change.started_at ?? execution.timestamp,
    endedAt: change.ended_at ?? null,
    result: execution.status === 'completed' ? ((execution.result ?? null) as Block[] | null) : null,
    error: hasFailed(execution.status) ? (execution.error ?? null) : null,
    effect: change.effect ?? null,
    progress: null,
    supersedes: execution.supersedes ?? null,
    approval: change.approval ? approvalFromView(change.approval) : null,
  }
}

/** Other ends carry the reason for not running, which belongs to the approval. */
const hasFailed = (status: string): boolean => status === 'error' || status === 'unknown' || status === 'completed'

/** How long decisions were awaited. Changes that waited at the same time count once. */
export function waitedFor(calls: readonly Call[]): number {
  const waits = calls
    .map((call) => [call.requestedAt, call.approval?.decidedAt ?? call.endedAt] as const)
    .filter((wait): wait is [number, number] => wait[0] !== null && wait[1] !== null)
    .toSorted(([a], [b]) => a - b)
  let [total, until] = [0, 0]
  for (const [from, to] of waits) {
    total += Math.max(0, to - Math.max(from, until))
    until = Math.max(until, to)
  }
  return total
}

function readRun(entry: AssistantEntry, calls: Call[]): Run {
  const usage = entry.token_usage
  const waits = calls.some((call) => call.status === 'awaiting_approval')
  return {
    ...newRun(entry.run_id),
    phase: entry.error ? 'failed' : waits ? 'awaiting_approval' : 'completed',
    model: usage.model ?? null,
    tokens: usage.total_tokens ?? 0,
    cachedTokens: usage.cached_tokens ?? 0,
    cost: usage.cost ?? null,
    ttftMs: usage.ttft_ms ?? null,
    durationMs: usage.ttr_ms == null ? null : Math.max(0, usage.ttr_ms - waitedFor(calls)),
  }
}
