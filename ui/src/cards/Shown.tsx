import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { client, unwrap } from '../api/client'
import { keys } from '../api/queries'
import { DiffView } from '../diff/DiffView'
import type { Call } from '../stream/state'
import { ErrorNote } from '../ui/ErrorState'
import { Tabs } from '../ui/Tabs'
import { dateTime } from '../words/format'
import { en } from '../words/en'
import { AccessLine } from './AccessLine'
import css from './ApprovalCard.module.css'
import { JsonView } from './JsonView'

interface Props {
  call: Call
  folded: boolean
  onAllShown: () => void
  onArgsShown: () => void
}

/** What the person sees before deciding: the diff by object, the arguments, access, history, the raw data. */
export function Shown({ call, folded, onAllShown, onArgsShown }: Props) {
  const tabs = <ShownTabs call={call} onAllShown={onAllShown} onArgsShown={onArgsShown} />
  if (!folded) return tabs
  return (
    <details className={css.fold}>
      <summary>{en.cards.wasShown}</summary>
      {tabs}
    </details>
  )
}

function ShownTabs({ call, onAllShown, onArgsShown }: Omit<Props, 'folded'>) {
  const { approval } = call
  const diff = approval?.preview?.diff
  const digest = approval?.digest ?? ''
  const startsWithArgs = !diff && (approval?.preview === null || Boolean(approval?.preview?.noPreview))
  useEffect(() => {
    if (startsWithArgs) onArgsShown()
  }, [onArgsShown, startsWithArgs])
  return (
    <Tabs
      label={en.cards.shown}
      start={startsWithArgs ? 'args' : 'diff'}
      onOpen={(id) => id === 'args' && onArgsShown()}
      end={
        <code className={css.digest} title={en.cards.digest(digest)}>
          #{digest.slice(0, 8)}
        </code>
      }
      tabs={[
        {
          id: 'diff',
          label: en.cards.tabs.diff,
          content: diff ? <DiffView diff={diff} onAllShown={onAllShown} /> : <p>{en.cards.noDiff}</p>,
        },
        { id: 'args', label: en.cards.tabs.args, content: <JsonView value={call.args} label={en.cards.tabs.args} /> },
        { id: 'access', label: en.cards.tabs.access, content: <Access call={call} /> },
        { id: 'history', label: en.cards.tabs.history, content: <History callId={call.id} /> },
        { id: 'raw', label: en.cards.tabs.raw, content: <JsonView value={call} label={en.cards.tabs.raw} /> },
      ]}
    />
  )
}

function Access({ call }: { call: Call }) {
  const { approval } = call
  const allowed = approval?.preview?.allowed
  return (
    <div className={css.facts}>
      {allowed ? <AccessLine allowed={allowed} /> : <p>{en.cards.accessUnknown}</p>}
      {approval && approval.deciders.length > 0 && <p>{en.cards.whoMay(approval.deciders.join(', '))}</p>}
      <p>
        {en.cards.rule} <code>{approval?.rule ?? '–'}</code>
      </p>
    </div>
  )
}

function History({ callId }: { callId: string }) {
  const { data, error } = useQuery({
    queryKey: keys.approval(callId),
    queryFn: () => unwrap(client.GET('/api/v1/agent/approvals/{call_id}', { params: { path: { call_id: callId } } })),
  })
  if (error) return <ErrorNote error={error} />
  return (
    <ol className={css.history}>
      {data?.history.map((entry) => (
        <li key={`${entry.what}-${entry.at}`}>
          <time dateTime={new Date(entry.at).toISOString()}>{dateTime(entry.at)}</time>
          <span>
            {en.cards.history[entry.what] ?? entry.what}
            {entry.by ? ` · ${entry.by}` : ''}
            {entry.detail ? `: ${entry.detail}` : ''}
          </span>
        </li>
      ))}
    </ol>
  )
}
