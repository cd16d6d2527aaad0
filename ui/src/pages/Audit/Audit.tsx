import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'wouter'
import { client, unwrap, type Schemas } from '../../api/client'
import { Button } from '../../ui/Button'
import { EmptyState } from '../../ui/EmptyState'
import { ErrorState } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { Filters, LoadMore } from '../../ui/Form'
import { Page } from '../../ui/Page'
import { Skeleton } from '../../ui/Skeleton'
import { Table } from '../../ui/Table'
import { visible } from '../../ui/visible'
import { useDelayed } from '../../ui/useDelayed'
import { audit as words } from '../../words/en/audit'
import { dateTime } from '../../words/format'
import css from './Audit.module.css'
import { Verification } from './Verification'

type Entry = Schemas['AuditItem']
type Filter = { actor?: string; action?: string; since?: number; until?: number }
const PAGE = 50

export default function Audit() {
  const [fields, setFields] = useState({ actor: '', action: '', since: '', until: '' })
  const filter = toFilter(useDelayed(fields))
  const found = useEntries(filter)
  const entries = found.data?.pages.flatMap((page) => page.data) ?? []
  const field = (name: keyof typeof fields, type: string) => (
    <Field label={words[name]}>
      <input
        type={type}
        value={fields[name]}
        onChange={(event) => setFields({ ...fields, [name]: event.target.value })}
      />
    </Field>
  )
  return (
    <Page
      title={words.title}
      lead={words.lead}
      width="wide"
      actions={<Button onClick={() => location.assign(exportAddress(filter))}>{words.export}</Button>}
    >
      <Verification />
      <Filters>
        {field('action', 'search')}
        {field('actor', 'search')}
        {field('since', 'datetime-local')}
        {field('until', 'datetime-local')}
      </Filters>
      {found.isPending && <Skeleton lines={8} />}
      {found.error && <ErrorState error={found.error} onRetry={() => void found.refetch()} />}
      {found.isSuccess && entries.length === 0 && <EmptyState title={words.none}>{words.noneText}</EmptyState>}
      {entries.length > 0 && (
        <Table label={words.title} rows={entries} rowKey={(entry) => entry.hash} columns={columns} />
      )}
      {found.hasNextPage && <LoadMore busy={found.isFetchingNextPage} onMore={() => void found.fetchNextPage()} />}
    </Page>
  )
}

const time = (text: string): number | undefined => (text ? new Date(text).getTime() : undefined)

function toFilter(fields: { actor: string; action: string; since: string; until: string }): Filter {
  const [since, until] = [time(fields.since), time(fields.until)]
  return {
    ...(fields.actor.trim() && { actor: fields.actor.trim() }),
    ...(fields.action.trim() && { action: fields.action.trim() }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  }
}

const useEntries = (filter: Filter) =>
  useInfiniteQuery({
    queryKey: ['audit', filter],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      unwrap(
        client.GET('/api/v1/audit', {
          params: { query: { ...filter, limit: PAGE, ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (last) => last.pagination.next_cursor,
  })

function exportAddress(filter: Filter): string {
  const query = Object.entries(filter).map(([name, value]) => [name, String(value)])
  return `/api/v1/audit/export?${new URLSearchParams(query)}`
}

const columns = [
  { id: 'what', head: words.what, cell: (entry: Entry) => <code>{visible(entry.action)}</code> },
  { id: 'who', head: words.who, cell: (entry: Entry) => <span title={entry.actor}>{visible(entry.actor_name)}</span> },
  { id: 'at', head: words.at, cell: (entry: Entry) => dateTime(entry.at) },
  { id: 'details', head: words.details, cell: (entry: Entry) => <Details entry={entry} /> },
]

function Details({ entry }: { entry: Entry }) {
  const conversation = conversationOf(entry)
  return (
    <>
      {conversation && (
        <div className={css.link}>
          <Link href={`/c/${conversation}`}>{words.conversation}</Link>
        </div>
      )}
      <details>
        <summary>{words.show}</summary>
        <pre className={css.body}>{visible(JSON.stringify(entry.body, null, 2))}</pre>
      </details>
    </>
  )
}

function conversationOf(entry: Entry): string | null {
  const { body } = entry
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return null
  const id = (body as Record<string, unknown>)['conversation_id']
  return typeof id === 'string' ? id : null
}
