// A conversation on the page: its state, the streams that feed it, and what a person can do to it.
import { client, unwrap, type Schemas } from '../api/client'
import type { JsonObject } from './preview'
import type { FeedMessage } from '../generated/feed'
import { reduceAll } from './reduce'
import { sendDecision } from './decisions'
import { newId } from './newId'
import { follow, type Begin, type Link } from './sse'
import { emptyConversation, newRun, pendingChanges, type Call, type Conversation, type Item } from './state'
import { fromTimeline, prepend, type Entry } from './stored'

export interface View {
  conversation: Conversation
  loading: boolean
  /** When the streams lost the engine; null while they are connected. */
  lostAt: number | null
  /** Why the last request was refused. */
  error: unknown
  /** Whether the engine has older messages than those that are shown. */
  hasOlder: boolean
}

export interface Decision {
  approve: boolean
  reason?: string
  args?: JsonObject
  despiteUnknown?: string[]
}

export interface Ask {
  text: string
  onBusy?: 'enqueue' | 'interrupt'
  replaces?: string
}

const emptyView: View = { conversation: emptyConversation, loading: false, lostAt: null, error: null, hasOlder: false }
const ACTIVE = new Set(['waiting', 'queued', 'running', 'awaiting_approval'])
const RECENT_RUNS = 10
const PAGE = 40
const MOST_ENTRIES = 200 // what one answer of the engine may hold

/** The state of one conversation, for `useSyncExternalStore`. Streams are aborted by `close`; runs go on. */
export class ConversationStore {
  #view = emptyView
  #wanted: string | undefined
  #onConversation: (id: string) => void = () => {}
  /** The stored messages that were read, oldest first. */
  #entries: Entry[] = []
  #isReadingOlder = false
  readonly #listeners = new Set<() => void>()
  readonly #streams = new Map<string, AbortController>()
  readonly #links = new Map<string, Link>()

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly snapshot = (): View => this.#view

  /** Show this conversation; none means a new one. `onConversation` is told the id that a new one gets. */
  async open(id: string | undefined, onConversation: (id: string) => void): Promise<void> {
    this.#onConversation = onConversation
    if (id === this.#wanted && (id !== undefined || this.#view.conversation.items.length === 0)) return
    this.close()
    this.#wanted = id
    this.#entries = []
    this.#set({ ...emptyView, loading: id !== undefined })
    if (id !== undefined) await this.#load(id)
  }

  /** Stop all streams. */
  close(): void {
    for (const stream of this.#streams.values()) stream.abort()
    this.#streams.clear()
    this.#links.clear()
    this.#wanted = undefined
  }

  /** Send a message and follow its run. */
  ask({ text, onBusy, replaces }: Ask): Promise<void> {
    const key = newId()
    const { conversation } = this.#view
    const item: Item = { kind: 'user', id: key, runId: key, text }
    const kept = replaces ? conversation.items.slice(0, indexOf(conversation.items, replaces)) : conversation.items
    this.#set({ conversation: { ...conversation, items: [...kept, item] }, error: null })
    const body = {
      messages: [{ role: 'user', content: text }],
      ...(conversation.id ? { conversation_id: conversation.id } : {}),
      ...(onBusy ? { on_busy: onBusy } : {}),
      ...(replaces ? { replaces } : {}),
    }
    return this.#follow(key, { path: '/agent/chat', body, key }, (runId) => this.#adopt(key, runId)).catch((error: unknown) => {
      this.#withdraw(key)
      this.#set({ error })
      throw error
    })
  }

  /** Decide on the change as it was shown, and follow the run that goes on. Rejects when the engine refuses. */
  async decide(call: Call, decision: Decision): Promise<void> {
    const body = decisionBody(call, this.#view.conversation.id ?? '', decision)
    try {
      await sendDecision(call.id, body, (link) => this.#onLink(call.id, link))
    } finally {
      this.attach(call.runId)
    }
  }

  /** Stop the run that is shown. */
  async stop(): Promise<void> {
    const { id, runId } = this.#view.conversation
    if (!id || !runId) return
    await unwrap(client.POST('/api/v1/agent/stop', { body: { conversation_id: id, run_id: runId } }))
    this.attach(runId)
  }

  /** Follow a run from where the page is, unless it is followed already. */
  attach(runId: string): void {
    if (this.#streams.has(runId)) return
    const after = this.#view.conversation.runs[runId]?.seq ?? 0
    this.#follow(runId, { runId, after }).catch((error: unknown) => this.#set({ error }))
  }

  /** Look whether somebody decided on what waits. */
  lookAgain(): void {
    for (const change of pendingChanges(this.#view.conversation)) this.attach(change.runId)
  }

  /** Another tab, another person or the engine itself did something. */
  onFeed(event: FeedMessage): void {
    const { conversation } = this.#view
    if (event.type === 'ready') this.lookAgain()
    if (!('run_id' in event) || event.conversation_id !== conversation.id) return
    if (conversation.runs[event.run_id] || this.#isFollowed(event.run_id)) this.attach(event.run_id)
    else if (conversation.id && this.#streams.size === 0) void this.#load(conversation.id)
  }

  /** Read the page of messages before those that are shown. Does nothing when there are none, or while one is read. */
  async readOlder(): Promise<void> {
    const { conversation, hasOlder } = this.#view
    const first = this.#entries[0]
    if (!hasOlder || !conversation.id || !first || this.#isReadingOlder) return
    const { id } = conversation
    this.#isReadingOlder = true
    const detail = await this.#fetch(id, { before: first.id, limit: PAGE }).finally(() => {
      this.#isReadingOlder = false
    })
    if (this.#wanted !== id || this.#entries[0]?.id !== first.id) return
    const older = fromTimeline(detail, [], this.#entries)
    this.#entries = [...detail.messages, ...this.#entries]
    this.#set({ conversation: prepend(older, this.#view.conversation), hasOlder: detail.truncated ?? false })
  }

  /** The server's id of a message of the person; what was sent from this page has only a local one. */
  async messageId(item: Item): Promise<string> {
    const detail = await this.#fetch(this.#view.conversation.id ?? '', { limit: MOST_ENTRIES })
    const messages = detail.messages.filter((entry) => entry.type === 'user')
    const known = messages.find((entry) => entry.id === item.id)
    if (known) return known.id
    const text = item.kind === 'user' ? item.text : ''
    return messages.findLast((entry) => entry.content === text)?.id ?? item.id
  }

  async #load(id: string): Promise<void> {
    try {
      const limit = Math.min(MOST_ENTRIES, Math.max(PAGE, this.#entries.length))
      const [detail, runs] = await Promise.all([this.#fetch(id, { limit }), fetchRuns(id)])
      if (this.#wanted !== id) return
      const live = liveRuns(runs)
      const conversation = fromTimeline(detail, live)
      const runId = live.at(-1) ?? conversation.runId
      const known = live.map((run) => [run, newRun(run)] as const)
      const merged = { ...conversation, runId, runs: { ...conversation.runs, ...Object.fromEntries(known) } }
      this.#entries = detail.messages
      this.#set({ conversation: merged, loading: false, hasOlder: detail.truncated ?? false })
      for (const run of live) this.attach(run)
    } catch (error) {
      if (this.#wanted === id) this.#set({ loading: false, error })
    }
  }

  #fetch(id: string, query: { before?: string; limit: number }): Promise<Schemas['ConversationDetail']> {
    const params = { path: { conversation_id: id }, query }
    return unwrap(client.GET('/api/v1/conversations/{conversation_id}', { params }))
  }

  async #follow(key: string, begin: Begin, onRun?: (runId: string) => void): Promise<void> {
    this.#streams.get(key)?.abort()
    const cut = new AbortController()
    this.#streams.set(key, cut)
    let runId = ''
    try {
      await follow({
        begin,
        signal: cut.signal,
        rests: () => this.#rests('runId' in begin ? begin.runId : runId),
        onLink: (link) => this.#onLink(key, link),
        onEvents: (events) => {
          if (runId === '' && events[0]) onRun?.(events[0].run_id)
          runId ||= events[0]?.run_id ?? ''
          this.#receive(reduceAll(this.#view.conversation, events))
        },
      })
    } finally {
      for (const [name, stream] of this.#streams) if (stream === cut) this.#streams.delete(name)
      this.#onLink(key, 'closed')
    }
  }

  #receive(conversation: Conversation): void {
    const isNew = conversation.id !== null && this.#view.conversation.id === null
    this.#set({ conversation })
    if (!isNew || conversation.id === null) return
    this.#wanted = conversation.id
    this.#onConversation(conversation.id)
  }

  /** The message that was sent belongs to this run. */
  #adopt(key: string, runId: string): void {
    const { conversation } = this.#view
    const items = conversation.items.map((item) => (item.runId === key ? { ...item, runId } : item))
    const runs = { ...conversation.runs, [runId]: conversation.runs[runId] ?? newRun(runId) }
    const stream = this.#streams.get(key)
    if (stream) this.#streams.set(runId, stream)
    this.#set({ conversation: { ...conversation, items, runs } })
    this.lookAgain() // the message may have withdrawn what waited
  }

  #withdraw(key: string): void {
    const { conversation } = this.#view
    this.#set({ conversation: { ...conversation, items: conversation.items.filter((item) => item.runId !== key) } })
  }

  #rests(runId: string): boolean {
    const run = this.#view.conversation.runs[runId]
    return run !== undefined && run.phase !== 'running'
  }

  #isFollowed(runId: string): boolean {
    return this.#streams.has(runId)
  }

  #onLink(key: string, link: Link): void {
    if (link === 'closed') this.#links.delete(key)
    else this.#links.set(key, link)
    const lost = [...this.#links.values()].includes('waiting')
    if (lost !== (this.#view.lostAt !== null)) this.#set({ lostAt: lost ? Date.now() : null })
  }

  #set(change: Partial<View>): void {
    this.#view = { ...this.#view, ...change }
    for (const listener of this.#listeners) listener()
  }
}

export function decisionBody(call: Call, conversationId: string, decision: Decision): Schemas['DecisionRequest'] {
  return {
    approve: decision.approve,
    conversation_id: conversationId,
    ...(call.approval ? { digest: call.approval.digest } : {}),
    ...(decision.reason ? { reason: decision.reason } : {}),
    ...(decision.args ? { args: decision.args } : {}),
    despite_unknown: decision.despiteUnknown ?? [],
  }
}

async function fetchRuns(id: string): Promise<Schemas['RunView'][]> {
  const query = { conversation_id: id, limit: RECENT_RUNS }
  return (await unwrap(client.GET('/api/v1/agent/runs', { params: { query } }))).data
}

/** The runs to replay, oldest first: all that are active, or else the last one. */
function liveRuns(newestFirst: Schemas['RunView'][]): string[] {
  const active = newestFirst.filter((run) => ACTIVE.has(run.state))
  return (active.length > 0 ? active : newestFirst.slice(0, 1)).map((run) => run.run_id).toReversed()
}

const indexOf = (items: Item[], id: string): number => {
  const at = items.findIndex((item) => item.id === id)
  return at < 0 ? items.length : at
}
