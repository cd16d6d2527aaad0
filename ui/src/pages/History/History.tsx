import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { Ellipsis, Hourglass, LoaderCircle } from 'lucide-react'
import { useState } from 'react'
import { WindowVirtualizer } from 'virtua'
import { Link } from 'wouter'
import { client, unwrap, type Schemas } from '../../api/client'
import { keys } from '../../api/queries'
import { Dialog } from '../../ui/Dialog'
import { EmptyState } from '../../ui/EmptyState'
import { ErrorState } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { ConfirmDialog, Filters, Form, LoadMore, textOf } from '../../ui/Form'
import { Menu } from '../../ui/Menu'
import { Page } from '../../ui/Page'
import { Pill } from '../../ui/Pill'
import { Skeleton } from '../../ui/Skeleton'
import { Ago } from '../../ui/Time'
import { useToast } from '../../ui/Toast'
import { useDelayed } from '../../ui/useDelayed'
import { visible } from '../../ui/visible'
import { history as words } from '../../words/en/history'
import css from './History.module.css'

type Summary = Schemas['ConversationSummary']
type Action = { kind: 'rename' | 'remove'; conversation: Summary }
const PAGE = 50

export default function History() {
  const [search, setSearch] = useState('')
  const [state, setState] = useState('')
  const [action, setAction] = useState<Action | null>(null)
  const query = useDelayed(search.trim())
  const found = useConversations(query)
  const rows = (found.data?.pages.flatMap((page) => page.data) ?? []).filter((row) => !state || row.active_run)

  return (
    <Page title={words.title} lead={words.lead}>
      <Filters>
        <Field label={words.search}>
          <input type="search" value={search} maxLength={200} onChange={(event) => setSearch(event.target.value)} />
        </Field>
        <Field label={words.state}>
          <select value={state} onChange={(event) => setState(event.target.value)}>
            <option value="">{words.anyState}</option>
            <option value="active">{words.active}</option>
          </select>
        </Field>
      </Filters>
      {found.isPending && <Skeleton lines={8} />}
      {found.error && <ErrorState error={found.error} onRetry={() => void found.refetch()} />}
      {found.isSuccess && rows.length === 0 && !found.hasNextPage && <Nothing searched={query !== '' || state !== ''} />}
      {rows.length > 0 && (
        <div className={css.list}>
          <WindowVirtualizer>
            {rows.map((conversation) => (
              <Row key={conversation.id} conversation={conversation} onAction={setAction} />
            ))}
          </WindowVirtualizer>
        </div>
      )}
      {found.hasNextPage && <LoadMore busy={found.isFetchingNextPage} onMore={() => void found.fetchNextPage()} />}
      {action?.kind === 'rename' && <Rename conversation={action.conversation} onClose={() => setAction(null)} />}
      {action?.kind === 'remove' && <Remove conversation={action.conversation} onClose={() => setAction(null)} />}
    </Page>
  )
}

const useConversations = (query: string) =>
  useInfiniteQuery({
    queryKey: [...keys.conversations, 'history', query],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      unwrap(
        client.GET('/api/v1/conversations', {
          params: { query: { limit: PAGE, ...(query && { query }), ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (last) => last.pagination.next_cursor,
  })

function Nothing({ searched }: { searched: boolean }) {
  if (searched) return <EmptyState title={words.noMatch}>{words.noMatchText}</EmptyState>
  return (
    <EmptyState title={words.none}>
      <p>{words.noneText}</p>
      <Link href="/">{words.start}</Link>
    </EmptyState>
  )
}

function Row({ conversation, onAction }: { conversation: Summary; onAction: (action: Action) => void }) {
  const title = visible(conversation.title) || words.untitled
  const download = (format: 'markdown' | 'json') =>
    location.assign(`/api/v1/conversations/${conversation.id}/export?format=${format}`)
  return (
    <div className={css.row}>
      <Link href={`/c/${conversation.id}`}>{title}</Link>
      {conversation.active_run && <RunState state={conversation.active_run.state} />}
      <span className={css.when}>
        <Ago at={conversation.updated_at} />
      </span>
      <Menu
        label={words.actions(title)}
        trigger={<Ellipsis size={18} aria-hidden />}
        items={[
          { label: words.rename, onSelect: () => onAction({ kind: 'rename', conversation }) },
          { label: words.exportMarkdown, onSelect: () => download('markdown') },
          { label: words.exportJson, onSelect: () => download('json') },
          { label: words.remove, danger: true, onSelect: () => onAction({ kind: 'remove', conversation }) },
        ]}
      />
    </div>
  )
}

function RunState({ state }: { state: string }) {
  if (state === 'awaiting_approval') {
    return (
      <Pill tone="wait" icon={Hourglass}>
        {words.waiting}
      </Pill>
    )
  }
  return (
    <Pill tone="note" icon={LoaderCircle} spinning={state === 'running'}>
      {state === 'queued' ? words.queued : words.running}
    </Pill>
  )
}

function Rename({ conversation, onClose }: { conversation: Summary; onClose: () => void }) {
  const queries = useQueryClient()
  const save = async (form: FormData) => {
    const params = { path: { conversation_id: conversation.id } }
    await unwrap(
      client.PATCH('/api/v1/conversations/{conversation_id}', { params, body: { title: textOf(form, 'title') ?? '' } }),
    )
    await queries.invalidateQueries({ queryKey: keys.conversations })
    onClose()
  }
  return (
    <Dialog title={words.renameTitle} onClose={onClose}>
      <Form submit={words.rename} onSubmit={save} onCancel={onClose}>
        <Field label={words.name}>
          <input name="title" defaultValue={conversation.title} maxLength={200} required autoFocus />
        </Field>
      </Form>
    </Dialog>
  )
}

function Remove({ conversation, onClose }: { conversation: Summary; onClose: () => void }) {
  const queries = useQueryClient()
  const toast = useToast()
  const remove = async () => {
    const params = { path: { conversation_id: conversation.id } }
    await unwrap(client.DELETE('/api/v1/conversations/{conversation_id}', { params }))
    await queries.invalidateQueries({ queryKey: keys.conversations })
    toast(words.removed)
  }
  return (
    <ConfirmDialog title={words.removeTitle} confirm={words.remove} onConfirm={remove} onClose={onClose}>
      <p>
        <b>{visible(conversation.title) || words.untitled}</b>
      </p>
      <p>{words.removeText}</p>
    </ConfirmDialog>
  )
}
