// Event streams that survive everything but a refusal: lost connections, sleep, an engine that restarts.
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { API, fetchWithSession } from '../api/client'
import { problemOf, ProblemError } from '../api/problem'
import type { RunEvent } from '../generated/events'

export type Link = 'connecting' | 'open' | 'waiting' | 'closed'

/** What starts a stream: a POST that begins or resumes a run, or a run to read from a sequence number on. */
export type Begin = { path: string; body: unknown; key?: string } | { runId: string; after: number }

export interface FollowOptions {
  begin: Begin
  onEvents: (events: RunEvent[]) => void
  onLink?: (link: Link) => void
  /** Whether the run rests, as far as the page knows. Then a stream that the engine ends has nothing more to say. */
  rests?: () => boolean
  signal: AbortSignal
}

const SILENCE_MS = 35_000 // two heartbeats of 15 s, and some more
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 15_000
const HIDDEN_BATCH_MS = 100

/**
 * Follow a run until it rests. Rejects with a `ProblemError` when the engine refuses.
 *
 * A POST is sent until it is answered once, with the same idempotency key; afterwards each return is a GET from the
 * last event id on. Aborting the signal only stops reading: the run goes on.
 */
export async function follow(options: FollowOptions): Promise<void> {
  const { begin, signal } = options
  const position = { runId: 'runId' in begin ? begin.runId : '', lastId: lastIdOf(begin) }
  for (let attempt = 0; !signal.aborted; attempt++) {
    if (attempt === 0 && !position.runId) options.onLink?.('connecting')
    try {
      const ended = await connectOnce(options, position, () => {
        attempt = 0
      })
      if (ended) {
        options.onLink?.('closed')
        return
      }
    } catch (error) {
      if (signal.aborted) return
      if (isFinal(error)) throw error
    }
    options.onLink?.('waiting')
    await pause(backOff(attempt), signal)
  }
}

/** Send a POST until it is answered, and leave the rest of the answer. The request must be one that can be repeated. */
export async function sendUntilAnswered(path: string, body: unknown, onLink?: (link: Link) => void): Promise<void> {
  try {
    for (let attempt = 0; !(await isAnswered(path, body)); attempt++) {
      onLink?.('waiting')
      await pause(backOff(attempt), NEVER)
    }
  } finally {
    onLink?.('closed')
  }
}

async function isAnswered(path: string, body: unknown): Promise<boolean> {
  const cut = new AbortController()
  try {
    const response = await fetchWithSession(post({ path, body }, cut.signal))
    if (!response.ok) throw await problemOf(response)
    return true
  } catch (error) {
    if (isFinal(error)) throw error
    return false
  } finally {
    cut.abort()
  }
}

interface Position {
  runId: string
  lastId: string
}

async function connectOnce(options: FollowOptions, position: Position, onProgress: () => void): Promise<boolean> {
  const cut = new AbortController()
  const signal = AbortSignal.any([options.signal, cut.signal])
  const response = await request(options.begin, position, signal)
  options.onLink?.('open')
  const batch = createBatch((events) => options.onEvents(events))
  let ended = false
  try {
    await readMessages(response, cut, (data, id) => {
      const event = JSON.parse(data) as RunEvent
      onProgress()
      position.lastId = id ?? position.lastId
      position.runId ||= event.run_id
      ended ||= isLast(event)
      batch.add(event)
    })
  } finally {
    batch.flush()
  }
  return ended || options.rests?.() === true
}

async function request(begin: Begin, position: Position, signal: AbortSignal): Promise<Response> {
  const response =
    !position.runId && 'path' in begin
      ? await fetchWithSession(post(begin, signal))
      : await fetchWithSession(get(`${API}/agent/runs/${position.runId}/events`, position.lastId, signal))
  if (!response.ok || !response.body) throw await problemOf(response)
  return response
}

function post(begin: { path: string; body: unknown; key?: string }, signal: AbortSignal): Request {
  return new Request(new URL(API + begin.path, location.href), {
    method: 'POST',
    signal,
    credentials: 'same-origin',
    body: JSON.stringify(begin.body),
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      ...(begin.key ? { 'idempotency-key': begin.key } : {}),
    },
  })
}

function get(path: string, lastId: string, signal: AbortSignal): Request {
  return new Request(new URL(path, location.href), {
    signal,
    credentials: 'same-origin',
    headers: { accept: 'text/event-stream', ...(lastId ? { 'last-event-id': lastId } : {}) },
  })
}

/** The run rests, or this person may not follow it any longer. Any other end of a stream is a reason to come back. */
const isLast = (event: RunEvent): boolean =>
  event.type === 'workflow_complete' || event.type === 'workflow_error' || (event.type === 'error' && !event.resume)

const lastIdOf = (begin: Begin): string => ('runId' in begin && begin.after > 0 ? `${begin.runId}:${begin.after}` : '')

const isFinal = (error: unknown): boolean =>
  error instanceof ProblemError && error.status < 500 && error.status !== 429

export interface ReadOptions<E> {
  path: string
  onEvent: (event: E) => void
  onState: (state: 'connecting' | 'open' | 'off') => void
  signal: AbortSignal
}

/** Read an endless stream that starts with a snapshot, and connect again whenever it breaks. */
export async function readStream<E>({ path, onEvent, onState, signal }: ReadOptions<E>): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    const cut = new AbortController()
    try {
      const response = await fetchWithSession(get(path, '', AbortSignal.any([signal, cut.signal])))
      if (!response.ok) throw await problemOf(response)
      onState('open')
      await readMessages(response, cut, (data) => {
        attempt = 0
        onEvent(JSON.parse(data) as E)
      })
    } catch (error) {
      if (signal.aborted) return
      if (isFinal(error)) {
        onState('off')
        return
      }
    }
    onState('connecting')
    await pause(backOff(attempt), signal)
  }
}

/** Read messages until the stream ends. Cuts a stream that is silent for longer than two heartbeats. */
async function readMessages(
  response: Response,
  cut: AbortController,
  onMessage: (data: string, id: string | undefined) => void,
): Promise<void> {
  if (!response.body) return
  const reader = response.body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>)
    .pipeThrough(new EventSourceParserStream())
    .getReader()
  let watchdog = setTimeout(() => cut.abort(), SILENCE_MS)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      clearTimeout(watchdog)
      watchdog = setTimeout(() => cut.abort(), SILENCE_MS)
      onMessage(value.data, value.id)
    }
  } finally {
    clearTimeout(watchdog)
  }
}

/** Hand events on once per frame, so that a fast model costs one render a frame. */
function createBatch(deliver: (events: RunEvent[]) => void) {
  let events: RunEvent[] = []
  let cancel: (() => void) | null = null
  const flush = () => {
    cancel?.()
    cancel = null
    if (events.length === 0) return
    const batch = events
    events = []
    deliver(batch)
  }
  return {
    flush,
    add: (event: RunEvent) => {
      events.push(event)
      cancel ??= nextFrame(flush)
    },
  }
}

/** A hidden tab gets no animation frames: a timer stands in for them. */
function nextFrame(callback: () => void): () => void {
  if (document.hidden) {
    const timer = setTimeout(callback, HIDDEN_BATCH_MS)
    return () => clearTimeout(timer)
  }
  const frame = requestAnimationFrame(callback)
  return () => cancelAnimationFrame(frame)
}

const backOff = (attempt: number): number =>
  Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2)

const NEVER = new AbortController().signal
const WAKE = 'skyflo:wake-streams'

/** Let every stream that waits to connect again do so now. */
export const wakeStreams = (): void => void dispatchEvent(new Event(WAKE))

/** Wait, but only until the tab is shown again or the network is back. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const listening = new AbortController()
    const done = () => {
      clearTimeout(timer)
      listening.abort()
      resolve()
    }
    const timer = setTimeout(done, ms)
    addEventListener('online', done, { signal: listening.signal })
    addEventListener(WAKE, done, { signal: listening.signal })
    document.addEventListener('visibilitychange', () => !document.hidden && done(), { signal: listening.signal })
    signal.addEventListener('abort', done, { signal: listening.signal })
  })
}
