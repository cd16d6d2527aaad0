import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useState, useSyncExternalStore } from 'react'
import { useLocation } from 'wouter'
import { keys } from '../api/queries'
import { useFeed } from './feed'
import { lastRun, pendingChanges } from './state'
import { ConversationStore, type View } from './store'

const POLL_WITHOUT_FEED_MS = 4000

/** The conversation with this id, or a new one; a new one goes to its own address when the engine names it. */
export function useRun(conversationId: string | undefined): { view: View; store: ConversationStore } {
  const [store] = useState(() => new ConversationStore())
  const view = useSyncExternalStore(store.subscribe, store.snapshot)
  const [, go] = useLocation()
  const feed = useFeed()

  useEffect(() => {
    void store.open(conversationId, (id) => go(`/c/${id}`, { replace: true }))
  }, [conversationId, go, store])
  useEffect(() => () => store.close(), [store])
  useEffect(() => feed.listen((event) => store.onFeed(event)), [feed, store])

  const queries = useQueryClient()
  const { id, title } = view.conversation
  const shown = id && `${id} ${title} ${lastRun(view.conversation)?.phase}`
  useEffect(() => {
    if (!shown) return
    void queries.invalidateQueries({ queryKey: keys.conversations })
    void queries.invalidateQueries({ queryKey: keys.approvals })
  }, [queries, shown])

  const waits = feed.state === 'off' && pendingChanges(view.conversation).length > 0
  useEffect(() => {
    if (!waits) return undefined
    const timer = setInterval(() => store.lookAgain(), POLL_WITHOUT_FEED_MS)
    return () => clearInterval(timer)
  }, [store, waits])

  return { view, store }
}
