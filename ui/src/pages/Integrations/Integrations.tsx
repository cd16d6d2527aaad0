import { useQueryClient } from '@tanstack/react-query'
import { CircleAlert, CircleCheck, CircleMinus } from 'lucide-react'
import { useState } from 'react'
import { client, unwrap, type Schemas } from '../../api/client'
import { useLinkedPages } from '../../api/paging'
import { Button } from '../../ui/Button'
import { EmptyState } from '../../ui/EmptyState'
import { ErrorState, messageOf } from '../../ui/ErrorState'
import { ConfirmDialog, LoadMore } from '../../ui/Form'
import { Page } from '../../ui/Page'
import { Pill } from '../../ui/Pill'
import { Skeleton } from '../../ui/Skeleton'
import { useToast } from '../../ui/Toast'
import { visible } from '../../ui/visible'
import { integrations as words } from '../../words/en/integrations'
import css from './Integrations.module.css'
import { addressOf } from './address'
import { IntegrationForm } from './IntegrationForm'

type Integration = Schemas['IntegrationView']
type Action = { kind: 'add' } | { kind: 'edit' | 'remove'; integration: Integration }
const KEY = ['integrations'] as const
const PAGE = 50

export default function Integrations() {
  const [action, setAction] = useState<Action | null>(null)
  const queries = useQueryClient()
  const found = useLinkedPages(KEY, (cursor) =>
    client.GET('/api/v1/integrations', { params: { query: { limit: PAGE, ...cursor } } }),
  )
  const rows = found.data?.pages.flatMap((page) => page.rows) ?? []
  const close = () => {
    setAction(null)
    void queries.invalidateQueries({ queryKey: KEY })
  }
  return (
    <Page
      title={words.title}
      lead={words.lead}
      actions={
        <Button kind="primary" onClick={() => setAction({ kind: 'add' })}>
          {words.add}
        </Button>
      }
    >
      {found.isPending && <Skeleton />}
      {found.error && <ErrorState error={found.error} onRetry={() => void found.refetch()} />}
      {found.isSuccess && rows.length === 0 && <EmptyState title={words.none}>{words.noneText}</EmptyState>}
      <div className={css.cards}>
        {rows.map((integration) => (
          <Card key={integration.id} integration={integration} onAction={setAction} onChanged={close} />
        ))}
      </div>
      {found.hasNextPage && <LoadMore busy={found.isFetchingNextPage} onMore={() => void found.fetchNextPage()} />}
      {action?.kind === 'add' && <IntegrationForm onClose={close} />}
      {action?.kind === 'edit' && <IntegrationForm integration={action.integration} onClose={close} />}
      {action?.kind === 'remove' && <Remove integration={action.integration} onClose={close} />}
    </Page>
  )
}

interface CardProps {
  integration: Integration
  onAction: (action: Action) => void
  onChanged: () => void
}

function Card({ integration, onAction, onChanged }: CardProps) {
  const toast = useToast()
  const active = integration.status !== 'disabled'
  const toggle = async () => {
    const params = { path: { integration_id: integration.id } }
    try {
      const body = { status: active ? 'disabled' : 'active' } as const
      await unwrap(client.PATCH('/api/v1/integrations/{integration_id}', { params, body }))
      onChanged()
    } catch (error) {
      toast(messageOf(error), 'danger')
    }
  }
  return (
    <section className={css.card}>
      <div className={css.head}>
        <h2>{visible(integration.name)}</h2>
        <Status status={integration.status} />
      </div>
      <dl className={css.facts}>
        <dt>{words.address}</dt>
        <dd>{visible(addressOf(integration))}</dd>
        <dt>{words.set}</dt>
        <dd>{integration.credentials_set.join(', ')}</dd>
        {integration.credentials_ref && (
          <>
            <dt>{words.storedIn}</dt>
            <dd>
              <code>{integration.credentials_ref}</code>
            </dd>
          </>
        )}
      </dl>
      <div className={css.buttons}>
        <Button onClick={() => onAction({ kind: 'edit', integration })}>{words.edit}</Button>
        <Button onClick={() => void toggle()}>{active ? words.disable : words.enable}</Button>
        <Button onClick={() => onAction({ kind: 'remove', integration })}>{words.remove}</Button>
      </div>
    </section>
  )
}

const LOOK = {
  active: { tone: 'ok', icon: CircleCheck },
  disabled: { tone: 'idle', icon: CircleMinus },
  error: { tone: 'danger', icon: CircleAlert },
} as const

function Status({ status }: { status: Integration['status'] }) {
  return <Pill {...LOOK[status]}>{words.statuses[status]}</Pill>
}

function Remove({ integration, onClose }: { integration: Integration; onClose: () => void }) {
  const toast = useToast()
  const remove = async () => {
    const params = { path: { integration_id: integration.id } }
    const { credentials } = await unwrap(client.DELETE('/api/v1/integrations/{integration_id}', { params }))
    toast(credentials === 'removed' ? words.removed : words.leaving)
  }
  return (
    <ConfirmDialog
      title={words.removeTitle(visible(integration.name))}
      confirm={words.remove}
      onConfirm={remove}
      onClose={onClose}
    >
      <p>{words.removeText}</p>
    </ConfirmDialog>
  )
}
