import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { client, unwrap, type Schemas } from '../../api/client'
import { keys } from '../../api/queries'
import type { ApprovalView } from '../../stream/approval'
import { syncClock } from '../../stream/clock'
import type { Filter } from './Filters'

export type InboxTab = 'pending' | 'unknown' | 'decided' | 'expired'

const SHOWN = 50

/** What the engine is asked for, for each tab. */
interface Wanted {
  status: Schemas['ApprovalView']['status']
  outcome?: 'unknown'
}

const WANTED: Record<InboxTab, Wanted[]> = {
  pending: [{ status: 'pending' }],
  unknown: [{ status: 'consumed', outcome: 'unknown' }],
  decided: [{ status: 'consumed' }, { status: 'approved' }, { status: 'denied' }],
  expired: [{ status: 'expired' }, { status: 'stale' }, { status: 'superseded' }],
}

/** Where each of a tab's lists goes on; null when it ended. */
type Cursors = (string | null)[]

/** The approvals of a tab, page by page. Those that wait are sorted by the time that is left, the others by age. */
export const useInbox = (tab: InboxTab, filter: Filter) =>
  useInfiniteQuery({
    queryKey: [...keys.approvals, tab, filter],
    initialPageParam: WANTED[tab].map((): string | null => ''),
    queryFn: ({ pageParam }) => Promise.all(WANTED[tab].map((wanted, at) => fetchPage(wanted, filter, pageParam[at]))),
    getNextPageParam: (last): Cursors | null => {
      const cursors = last.map((page) => page?.pagination.next_cursor ?? null)
      return cursors.some((cursor) => cursor !== null) ? cursors : null
    },
    select: ({ pages }) =>
      pages
        .flat()
        .flatMap((page) => page?.data ?? [])
        .filter((one) => matches(one, filter, tab))
        .toSorted(tab === 'pending' ? (a, b) => a.expires_at - b.expires_at : (a, b) => b.created_at - a.created_at),
  })

/** How many stand in the tabs that need somebody. */
export function useInboxCounts(): Partial<Record<InboxTab, number>> {
  return { pending: useCount('pending'), unknown: useCount('unknown') }
}

const useCount = (tab: 'pending' | 'unknown'): number =>
  useQuery({
    queryKey: [...keys.approvals, 'count', tab],
    queryFn: () => unwrap(client.GET('/api/v1/agent/approvals', { params: { query: { limit: 1, ...WANTED[tab][0] } } })),
  }).data?.count ?? 0

async function fetchPage(wanted: Wanted, filter: Filter, cursor: string | null | undefined): Promise<Schemas['ApprovalPage'] | null> {
  if (cursor == null) return null
  const decidable = filter.mine && wanted.status === 'pending' ? { decidable: true } : {}
  const query = { limit: SHOWN, ...wanted, ...decidable, ...(cursor && { cursor }) }
  const page = await unwrap(client.GET('/api/v1/agent/approvals', { params: { query } }))
  syncClock(page.now)
  return page
}

/** What a tab's requests can't express is left out here. */
function matches(one: ApprovalView, filter: Filter, tab: InboxTab): boolean {
  if (tab === 'unknown' && one.outcome !== 'unknown') return false
  if (tab === 'decided' && one.outcome === 'unknown') return false
  return (filter.risk === '' || one.risk === filter.risk) && (filter.cluster === '' || clusterOf(one) === filter.cluster)
}

export const clusterOf = (one: ApprovalView): string | null => one.preview?.objects?.[0]?.cluster || null
