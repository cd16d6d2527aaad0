import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { client, unwrap } from '../api/client'
import { keys } from '../api/queries'
import { syncClock } from '../stream/clock'
import { useFeed } from '../stream/feed'

const POLL_WITHOUT_FEED_MS = 5000

export function usePendingApprovals() {
  const poll = useFeed().state === 'off' ? POLL_WITHOUT_FEED_MS : false
  return useQuery({
    refetchInterval: poll,
    queryKey: [...keys.approvals, 'pending'],
    queryFn: async () => {
      const page = await unwrap(client.GET('/api/v1/agent/approvals', { params: { query: { status: 'pending', limit: 1 } } }))
      syncClock(page.now)
      return page
    },
  })
}

/** How many approvals wait. Also puts the number into the page's title and a dot on its icon. */
export function useWaiting(): number {
  const waiting = usePendingApprovals().data?.count ?? 0
  useEffect(() => {
    document.title = waiting > 0 ? `(${waiting}) Skyflo` : 'Skyflo'
    const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]')
    if (icon) icon.href = waiting > 0 ? '/favicon-waiting.svg' : '/favicon.svg'
  }, [waiting])
  return waiting
}
