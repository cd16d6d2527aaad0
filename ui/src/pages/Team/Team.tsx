import { Ellipsis } from 'lucide-react'
import { useState } from 'react'
import { client, type Schemas } from '../../api/client'
import { useLinkedPages } from '../../api/paging'
import { useSession } from '../../session/session'
import { Button } from '../../ui/Button'
import { EmptyState } from '../../ui/EmptyState'
import { ErrorState } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { Filters, LoadMore } from '../../ui/Form'
import { Menu } from '../../ui/Menu'
import { Page } from '../../ui/Page'
import { Pill } from '../../ui/Pill'
import { Skeleton } from '../../ui/Skeleton'
import { Table, type Column } from '../../ui/Table'
import { Ago } from '../../ui/Time'
import { visible } from '../../ui/visible'
import { team as words } from '../../words/en/team'
import { AddMember, EditMember, nameOf, RemoveMember, useSaveMember } from './MemberForms'

type Member = Schemas['Member']
type Status = keyof typeof words.statuses
type Action = { kind: 'add' } | { kind: 'edit' | 'remove'; member: Member }
const PAGE = 100

export default function Team() {
  const [status, setStatus] = useState<Status>('active')
  const [action, setAction] = useState<Action | null>(null)
  const members = useMembers(status)
  const { app } = useSession()
  const rows = members.data?.pages.flatMap((page) => page.rows) ?? []
  const close = () => setAction(null)

  return (
    <Page
      title={words.title}
      lead={words.lead}
      width="wide"
      actions={
        <Button kind="primary" onClick={() => setAction({ kind: 'add' })}>
          {words.add}
        </Button>
      }
    >
      <Filters>
        <Field label={words.status}>
          <select value={status} onChange={(event) => setStatus(event.target.value as Status)}>
            {Object.entries(words.statuses).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </Field>
      </Filters>
      {members.isPending && <Skeleton lines={6} />}
      {members.error && <ErrorState error={members.error} onRetry={() => void members.refetch()} />}
      {members.isSuccess && rows.length === 0 && (
        <EmptyState title={words.none}>
          <p>{app?.local_mode ? words.localMode : words.noneText}</p>
        </EmptyState>
      )}
      {rows.length > 0 && <Members members={rows} onAction={setAction} />}
      {members.hasNextPage && <LoadMore busy={members.isFetchingNextPage} onMore={() => void members.fetchNextPage()} />}
      {action?.kind === 'add' && <AddMember onClose={close} />}
      {action?.kind === 'edit' && <EditMember member={action.member} onClose={close} />}
      {action?.kind === 'remove' && <RemoveMember member={action.member} onClose={close} />}
    </Page>
  )
}

const useMembers = (status: Status) =>
  useLinkedPages(['members', status], (cursor) =>
    client.GET('/api/v1/team/members', { params: { query: { status, limit: PAGE, ...cursor } } }),
  )

function Members({ members, onAction }: { members: Member[]; onAction: (action: Action) => void }) {
  const { user } = useSession()
  const save = useSaveMember()
  const columns = columnsFor(user?.id, onAction, (member) => void save(member, { status: 'active' }))
  return <Table label={words.title} rows={members} rowKey={(member) => member.id} columns={columns} />
}

function columnsFor(
  you: string | undefined,
  onAction: (action: Action) => void,
  onRestore: (member: Member) => void,
): Column<Member>[] {
  const restoreOrRemove = (member: Member) =>
    member.status === 'active'
      ? { label: words.remove, danger: true, onSelect: () => onAction({ kind: 'remove', member }) }
      : { label: words.restore, onSelect: () => onRestore(member) }
  return [
    { id: 'name', head: words.name, cell: (member) => <Name member={member} isYou={member.id === you} /> },
    { id: 'role', head: words.role, cell: (member) => words.roleNames[member.role] },
    { id: 'kubernetes', head: words.kubernetes, cell: describeKubernetes },
    { id: 'since', head: words.since, cell: (member) => <Ago at={member.created_at} /> },
    {
      id: 'actions',
      head: <span className="visually-hidden">{words.edit}</span>,
      align: 'end',
      cell: (member) => (
        <Menu
          label={words.actions(nameOf(member))}
          trigger={<Ellipsis size={18} aria-hidden />}
          items={[{ label: words.edit, onSelect: () => onAction({ kind: 'edit', member }) }, restoreOrRemove(member)]}
        />
      ),
    },
  ]
}

const describeKubernetes = (member: Member): string =>
  [member.kubernetes_user, ...member.kubernetes_groups].filter(Boolean).map((name) => visible(name ?? '')).join(', ')

function Name({ member, isYou }: { member: Member; isYou: boolean }) {
  return (
    <>
      {nameOf(member)} {isYou && <Pill tone="note">{words.you}</Pill>}
      {member.status === 'inactive' && <Pill>{words.removed}</Pill>}
      {member.name && (
        <div>
          <small>{visible(member.email)}</small>
        </div>
      )}
    </>
  )
}
