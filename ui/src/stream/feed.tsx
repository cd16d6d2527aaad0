import { useQueryClient, type QueryClient } from '@tanstack/react-query'
import { createContext, use, useEffect, useMemo, useRef, useState, type ReactNode } from 'react'
import { API } from '../api/client'
import { keys } from '../api/queries'
import type { FeedMessage } from '../generated/feed'
import { useSession } from '../session/session'
import { syncClock } from './clock'
import { readStream } from './sse'

export interface Feed {
  /** connecting: not yet, or again. open: what the page shows is current. off: this engine has no feed. */
  state: 'connecting' | 'open' | 'off'
  /** Call the listener for each message. Returns how to unsubscribe. */
  listen: (listener: (message: FeedMessage) => void) => () => void
}

const FeedContext = createContext<Feed>({ state: 'off', listen: () => () => {} })

/** The live feed over everything that the signed-in person may see. */
export const useFeed = (): Feed => use(FeedContext)

export function FeedProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient()
  const signedIn = useSession().state === 'in'
  const [state, setState] = useState<Feed['state']>('connecting')
  const listeners = useRef(new Set<(message: FeedMessage) => void>())

  useEffect(() => {
    if (!signedIn) return undefined
    const cut = new AbortController()
    const receive = (message: FeedMessage) => {
      syncClock(message.timestamp)
      invalidate(queries, message)
      for (const listener of listeners.current) listener(message)
    }
    void readStream<FeedMessage>({ path: `${API}/events`, signal: cut.signal, onEvent: receive, onState: setState })
    return () => cut.abort()
  }, [queries, signedIn])

  const feed = useMemo(
    (): Feed => ({
      state,
      listen: (listener) => {
        listeners.current.add(listener)
        return () => listeners.current.delete(listener)
      },
    }),
    [state],
  )
  return <FeedContext value={feed}>{children}</FeedContext>
}

/** Mark what the message changed as out of date. After a (re)connection that is everything the feed covers. */
function invalidate(queries: QueryClient, message: FeedMessage): void {
  const stale = (queryKey: readonly string[]) => void queries.invalidateQueries({ queryKey })
  switch (message.type) {
    case 'ready':
      stale(keys.approvals)
      stale(keys.conversations)
      stale(['approval'])
      break
    case 'approval.requested':
    case 'approval.voted':
    case 'approval.decided':
    case 'approval.expired':
    case 'approval.stale':
    case 'approval.settled':
      stale(keys.approvals)
      stale(keys.approval(message.call_id))
      break
    case 'run.started':
    case 'run.rested':
    case 'conversation.changed':
    case 'conversation.removed':
      stale(keys.conversations)
      break
    case 'heartbeat':
    case 'error':
      break
  }
}
