import { useState } from 'react'
import { useLocation, useParams } from 'wouter'
import { useCardKeys } from '../../cards/useCardKeys'
import { ErrorState } from '../../ui/ErrorState'
import { LoadMore } from '../../ui/Form'
import { Page } from '../../ui/Page'
import { Skeleton } from '../../ui/Skeleton'
import { inbox } from '../../words/en/inbox'
import { ApprovalDetail } from './ApprovalDetail'
import { Filters, noFilter, type Filter } from './Filters'
import css from './Inbox.module.css'
import { InboxList } from './InboxList'
import { NothingHere } from './NothingHere'
import { NotifyMe } from './NotifyMe'
import { useInbox, useInboxCounts, type InboxTab } from './useInbox'
import { useWide } from '../../ui/useWide'

const TABS: InboxTab[] = ['pending', 'unknown', 'decided', 'expired']

/** All changes that the person may see, by what is to be done with them. Wide screens show the chosen one beside. */
export default function Inbox() {
  const { callId } = useParams<{ callId?: string }>()
  const [, go] = useLocation()
  const [tab, setTab] = useState<InboxTab>('pending')
  const [filter, setFilter] = useState<Filter>(noFilter)
  const wide = useWide()
  const counts = useInboxCounts()
  const { data, error, isPending, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInbox(tab, filter)
  useCardKeys()

  const first = useFirst(data?.[0]?.call_id, tab, filter)
  const chosen = callId ?? (wide ? first : undefined)
  if (callId && !wide) {
    return (
      <Page title={inbox.title}>
        <ApprovalDetail callId={callId} />
      </Page>
    )
  }
  return (
    <Page title={inbox.title} lead={inbox.lead} width="wide" actions={<NotifyMe />}>
      <div className={css.controls}>
        <div className={css.tabs} role="group" aria-label={inbox.title}>
          {TABS.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={tab === one}
              onClick={() => {
                setTab(one)
                if (callId) go('/approvals')
              }}
            >
              {inbox.tabs[one]}
              {(counts[one] ?? 0) > 0 && <b data-tone={one}>{counts[one]}</b>}
            </button>
          ))}
        </div>
        <Filters filter={filter} onChange={setFilter} page={data ?? []} />
      </div>
      {isPending && <Skeleton lines={5} />}
      {error && <ErrorState error={error} onRetry={() => void refetch()} />}
      {data?.length === 0 && !hasNextPage && !chosen && <NothingHere tab={tab} />}
      {data && (data.length > 0 || hasNextPage || chosen) && (
        <div className={css.split}>
          <div className={css.pages}>
            <InboxList approvals={data} chosen={chosen} named={callId} />
            {hasNextPage && <LoadMore busy={isFetchingNextPage} onMore={() => void fetchNextPage()} />}
          </div>
          {wide && chosen && (
            <div className={css.detail}>
              <ApprovalDetail key={chosen} callId={chosen} />
            </div>
          )}
        </div>
      )}
    </Page>
  )
}

/** The change that was the first one when the list was opened, also once it left the list: its outcome is to be seen. */
function useFirst(now: string | undefined, tab: InboxTab, filter: Filter): string | undefined {
  const [kept, setKept] = useState<{ id: string; tab: InboxTab; filter: Filter } | null>(null)
  const fits = kept?.tab === tab && kept.filter === filter
  if (now !== undefined && !fits) setKept({ id: now, tab, filter })
  return fits ? kept.id : now
}
