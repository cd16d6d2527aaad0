// What a conversation looks like to the page. Built from events (reduce.ts) or from the stored timeline (stored.ts).
import type { Schemas } from '../api/client'
import type { JsonObject, Preview } from './preview'

export type CallStatus = Schemas['ToolExecution']['status']
export type Effect = 'none' | 'partial' | 'done' | 'unknown'

export interface Person {
  id: string
  name: string
}

export interface Vote extends Person {
  at: number
}

/** A change that needs a decision. Times are milliseconds since the epoch. */
export interface Approval {
  digest: string
  risk: string
  rule: string | null
  preview: Preview | null
  expiresAt: number
  executeBy: number | null
  requester: Person | null
  /** null: not known yet. The engine decides in any case. */
  mayDecide: boolean | null
  whyNot: string | null
  deciders: string[]
  votes: Vote[]
  votesNeeded: number
  decidedBy: string | null
  decidedAt: number | null
  reason: string | null
}

export interface Block {
  type: string
  text?: string
}

export interface Call {
  id: string
  runId: string
  tool: string
  title: string
  args: JsonObject
  requiresApproval: boolean
  status: CallStatus
  /** When a decision was asked for. */
  requestedAt: number | null
  startedAt: number
  endedAt: number | null
  result: Block[] | null
  error: string | null
  effect: Effect | null
  progress: string | null
  supersedes: string | null
  approval: Approval | null
}

interface ItemBase {
  id: string
  runId: string
}

export type Item =
  | (ItemBase & { kind: 'user'; text: string })
  | (ItemBase & { kind: 'text'; text: string; open: boolean; finish: string | null })
  | (ItemBase & { kind: 'thinking'; text: string; open: boolean; ms: number | null })
  | (ItemBase & { kind: 'call' })
  | (ItemBase & { kind: 'summary'; text: string; messages: number })
  | (ItemBase & { kind: 'note'; tone: 'wait' | 'danger'; text: string; code: string | null })

export type Phase = 'running' | 'awaiting_approval' | 'completed' | 'stopped' | 'failed'

export interface Generation {
  id: string
  startedAt: number
  endedAt: number | null
}

export interface Run {
  id: string
  seq: number
  phase: Phase
  model: string | null
  tokens: number
  cachedTokens: number
  cost: number | null
  ttftMs: number | null
  /** How long the run worked: without the time that it waited for people. */
  durationMs: number | null
  waitedMs: number
  /** Since when it waits for a decision. */
  waitsSince: number | null
  generations: Generation[]
}

export interface Conversation {
  id: string | null
  title: string
  /** The run that is followed: the last one. */
  runId: string | null
  runs: Record<string, Run>
  items: Item[]
  calls: Record<string, Call>
}

export const emptyConversation: Conversation = { id: null, title: '', runId: null, runs: {}, items: [], calls: {} }

export const newRun = (id: string): Run => ({
  id,
  seq: 0,
  phase: 'running',
  model: null,
  tokens: 0,
  cachedTokens: 0,
  cost: null,
  ttftMs: null,
  durationMs: null,
  waitedMs: 0,
  waitsSince: null,
  generations: [],
})

export const lastRun = (state: Conversation): Run | undefined => (state.runId ? state.runs[state.runId] : undefined)

export const pendingChanges = (state: Conversation): Call[] =>
  Object.values(state.calls).filter((call) => call.status === 'awaiting_approval')

const OPEN: CallStatus[] = ['pending', 'awaiting_approval', 'approved', 'executing']
export const isOpen = (call: Call): boolean => OPEN.includes(call.status)
