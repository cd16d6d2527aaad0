import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Schemas } from '../api/client'
import type { RunEvent } from '../generated/events'
import { approvalFromView, type ApprovalView } from './approval'
import { reduce, reduceAll } from './reduce'
import { emptyConversation, type Call, type Conversation } from './state'
import { fromTimeline, prepend, waitedFor } from './stored'

interface Recorded {
  runs: RunEvent[][]
  detail: Schemas['ConversationDetail']
  approvals: ApprovalView[]
}

const recorded = (name: string): Recorded =>
  JSON.parse(readFileSync(`${process.cwd()}/test/recorded/${name}.json`, 'utf8')) as Recorded

const NAMES = ['approved', 'denied', 'superseded', 'summarised']

describe.each(NAMES)('the recorded conversation "%s"', (name) => {
  const { runs, detail, approvals } = recorded(name)
  const events = runs.flat()
  const whole = reduceAll(emptyConversation, events)

  test('is the same when it is cut anywhere and the last five events come twice', () => {
    for (let cut = 0; cut <= events.length; cut++) {
      const before = reduceAll(emptyConversation, events.slice(0, cut))
      const again = reduceAll(before, events.slice(Math.max(0, cut - 5)))
      expect(again).toEqual(whole)
    }
  })

  test('is the same when tokens arrive one by one, or as one', () => {
    expect(comparable(reduceAll(emptyConversation, events.flatMap(inPieces)))).toEqual(comparable(whole))
  })

  test('is the same when it is read from the stored timeline', () => {
    expect(comparable(fromTimeline(detail))).toEqual(comparable(whole))
  })

  test('is the same when it is read in two pages', () => {
    for (let cut = 1; cut < detail.messages.length; cut++) {
      const [before, behind] = [detail.messages.slice(0, cut), detail.messages.slice(cut)]
      const shown = fromTimeline({ ...detail, messages: behind, truncated: true })
      const older = fromTimeline({ ...detail, messages: before }, [], behind)
      expect({ ...prepend(older, shown), runId: null }).toEqual({ ...fromTimeline(detail), runId: null })
    }
  })

  test('is the same when the last run is replayed over the stored timeline', () => {
    const last = runs.at(-1) ?? []
    const stored = fromTimeline(detail, [last[0]?.run_id ?? ''])
    expect(comparable(reduceAll(stored, last))).toEqual(comparable(whole))
  })

  test('has the same approvals as the inbox', () => {
    for (const view of approvals) {
      const { digest, risk, rule, decidedBy, reason, votes, requester } = approvalFromView(view)
      expect(whole.calls[view.call_id]?.approval).toMatchObject({ digest, risk, rule, decidedBy, requester })
      if (decidedBy) expect(whole.calls[view.call_id]?.approval?.reason).toBe(reason)
      expect(whole.calls[view.call_id]?.approval?.votes.length).toBeLessThanOrEqual(votes.length)
    }
  })

  test('never changes a state that was handed out', () => {
    let state = emptyConversation
    for (const event of events) state = deepFreeze(reduce(state, event))
    expect(state).toEqual(whole)
  })
})

test('a generation that is begun anew drops the text of the old one', () => {
  const common = { run_id: 'r', timestamp: 1, conversation_id: 'c' }
  const state = reduceAll(emptyConversation, [
    { ...common, seq: 1, type: 'generation.start', generation_id: 'g1', model: 'm', tools_available: 0 },
    { ...common, seq: 2, type: 'token', generation_id: 'g1', text: 'half an ans' },
    { ...common, seq: 3, type: 'generation.start', generation_id: 'g2', model: 'm', tools_available: 0, replaces: 'g1' },
    { ...common, seq: 4, type: 'token', generation_id: 'g2', text: 'whole' },
  ])
  expect(state.items).toMatchObject([{ kind: 'text', id: 'g2', text: 'whole' }])
})

test('a message that waits for the end of a run stays below its answer', () => {
  const common = { run_id: 'r', timestamp: 1, conversation_id: 'c' }
  const waiting: Conversation = {
    ...emptyConversation,
    items: [
      { kind: 'user', id: 'u1', runId: 'r', text: 'first' },
      { kind: 'user', id: 'u2', runId: 'r2', text: 'second' },
    ],
  }
  const state = reduce(waiting, { ...common, seq: 1, type: 'token', generation_id: 'g', text: 'answer' })
  expect(state.items.map((item) => item.id)).toEqual(['u1', 'g', 'u2'])
})

test('a stream that a person may not follow any longer leaves nothing at work, and says why', () => {
  const common = { run_id: 'r', timestamp: 1, conversation_id: 'c' }
  const state = reduceAll(emptyConversation, [
    { ...common, seq: 1, type: 'token', generation_id: 'g', text: 'half an ans' },
    { ...common, type: 'error', error: 'This conversation was deleted.', code: 'removed', resume: false },
  ])
  expect(state.runs).toMatchObject({ r: { phase: 'failed' } })
  expect(state.items).toMatchObject([{ kind: 'text', open: false }, { kind: 'note', code: 'removed' }])
  const interrupted = reduce(state, { ...common, type: 'error', error: 'The engine is stopping.', code: 'shutting_down', resume: true })
  expect(interrupted.items).toEqual(state.items)
})

test('the time that a run waits for people is not its work', () => {
  const common = { run_id: 'r', conversation_id: 'c' }
  const state = reduceAll(emptyConversation, [
    { ...common, seq: 1, timestamp: 2000, type: 'completed', status: 'awaiting_approval', duration_ms: 1000 },
    { ...common, seq: 2, timestamp: 2000, type: 'workflow_complete', status: 'awaiting_approval', result: '' },
    { ...common, seq: 3, timestamp: 602_000, type: 'generation.start', generation_id: 'g', model: 'm', tools_available: 0 },
    { ...common, seq: 4, timestamp: 603_000, type: 'completed', status: 'completed', duration_ms: 602_000 },
  ])
  expect(state.runs).toMatchObject({ r: { durationMs: 2000, waitedMs: 600_000, waitsSince: null } })
})

const waiting = (requestedAt: number, endedAt: number) => ({ requestedAt, endedAt, approval: null }) as Call

test('changes that waited at the same time count once', () => {
  expect(waitedFor([waiting(50, 70), waiting(10, 30), waiting(20, 40), waiting(22, 24)])).toBe(50)
})

test('an event of a newer engine changes nothing but the position', () => {
  const event = { type: 'tool.levitated', run_id: 'r', seq: 1, timestamp: 1 } as unknown as RunEvent
  const state = reduce(emptyConversation, event)
  expect(state).toMatchObject({ items: [], calls: {}, runs: { r: { seq: 1 } } })
})

/** What both ways must agree on: not ids of texts, positions, and times that only one of them knows. */
function comparable(state: Conversation) {
  const items = state.items
    .filter((item) => item.kind !== 'user' && !(item.kind === 'note' && item.tone === 'wait'))
    .map((item) => (item.kind === 'call' ? item : { ...item, id: '', ms: 0 }))
  const calls = Object.values(state.calls).map((call) => {
    const { id, tool, title, args, status, result, error, effect } = call
    return { id, tool, title, args, status, result, error, effect }
  })
  const runs = Object.values(state.runs).map(({ id, phase, tokens, cost }) => ({ id, phase, tokens, cost }))
  return { id: state.id, title: state.title, items, calls, runs }
}

function inPieces(event: RunEvent): RunEvent[] {
  if (event.type !== 'token' || event.seq == null) return [event]
  const { seq, text } = event
  return [...text].map((piece, index, all) => ({ ...event, text: piece, seq: seq - all.length + index + 1 }))
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
