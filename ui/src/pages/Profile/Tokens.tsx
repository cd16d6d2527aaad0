import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { client, unwrap, type Schemas } from '../../api/client'
import { Button } from '../../ui/Button'
import { CopyButton } from '../../ui/CopyButton'
import { ErrorState } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { ConfirmDialog, Form, textOf } from '../../ui/Form'
import { Section } from '../../ui/Page'
import { Skeleton } from '../../ui/Skeleton'
import { Table, type Column } from '../../ui/Table'
import { visible } from '../../ui/visible'
import { day } from '../../words/format'
import { profile as words } from '../../words/en/profile'
import css from './Profile.module.css'

type Token = Schemas['TokenView']
const KEY = ['tokens'] as const
const DAYS = [7, 30, 90, 365]

/** The person's API tokens: create (shown once), list, revoke. */
export function Tokens() {
  const [made, setMade] = useState<string | null>(null)
  const [revoked, setRevoked] = useState<Token | null>(null)
  const tokens = useQuery({ queryKey: KEY, queryFn: () => unwrap(client.GET('/api/v1/auth/tokens')) })
  return (
    <Section title={words.tokens} lead={words.tokensLead}>
      {tokens.isPending && <Skeleton lines={2} />}
      {tokens.error && <ErrorState error={tokens.error} onRetry={() => void tokens.refetch()} />}
      {tokens.data?.data.length === 0 && <p>{words.noTokens}</p>}
      {tokens.data && tokens.data.data.length > 0 && <TokenTable tokens={tokens.data.data} onRevoke={setRevoked} />}
      {made && (
        <div className={css.made} role="status">
          <p>{words.created}</p>
          <code>{made}</code>
          <CopyButton text={made} label={words.copyToken} />
        </div>
      )}
      <Create onCreated={setMade} />
      {revoked && <Revoke token={revoked} onClose={() => setRevoked(null)} />}
    </Section>
  )
}

function TokenTable({ tokens, onRevoke }: { tokens: Token[]; onRevoke: (token: Token) => void }) {
  return <Table label={words.tokens} rows={tokens} rowKey={(token) => token.id} columns={columnsFor(onRevoke)} />
}

const columnsFor = (onRevoke: (token: Token) => void): Column<Token>[] => [
  { id: 'name', head: words.tokenName, cell: (token) => visible(token.name) },
  { id: 'scopes', head: words.scopes, cell: (token) => token.scopes.join(', ') },
  { id: 'expires', head: words.expires, cell: (token) => day(token.expires_at) },
  {
    id: 'revoke',
    head: <span className="visually-hidden">{words.revoke}</span>,
    align: 'end',
    cell: (token) => <Button onClick={() => onRevoke(token)}>{words.revoke}</Button>,
  },
]

function Create({ onCreated }: { onCreated: (token: string) => void }) {
  const queries = useQueryClient()
  const create = async (form: FormData) => {
    const scopes: ('read' | 'chat')[] = form.get('scope') === 'chat' ? ['read', 'chat'] : ['read']
    const body = { name: textOf(form, 'name') ?? '', scopes, expires_in_days: Number(form.get('days')) }
    const { token } = await unwrap(client.POST('/api/v1/auth/tokens', { body }))
    onCreated(token)
    await queries.invalidateQueries({ queryKey: KEY })
  }
  return (
    <Form submit={words.create} onSubmit={create}>
      <Field label={words.tokenName}>
        <input name="name" required maxLength={100} autoComplete="off" />
      </Field>
      <Field label={words.scopes}>
        <select name="scope" defaultValue="read">
          <option value="read">{words.read}</option>
          <option value="chat">{words.chat}</option>
        </select>
      </Field>
      <Field label={words.days}>
        <select name="days" defaultValue="90">
          {DAYS.map((days) => (
            <option key={days} value={days}>
              {words.daysOption(days)}
            </option>
          ))}
        </select>
      </Field>
    </Form>
  )
}

function Revoke({ token, onClose }: { token: Token; onClose: () => void }) {
  const queries = useQueryClient()
  const revoke = async () => {
    await unwrap(client.DELETE('/api/v1/auth/tokens/{token_id}', { params: { path: { token_id: token.id } } }))
    await queries.invalidateQueries({ queryKey: KEY })
  }
  return (
    <ConfirmDialog title={words.revokeTitle(visible(token.name))} confirm={words.revoke} onConfirm={revoke} onClose={onClose}>
      <p>{words.revokeText}</p>
    </ConfirmDialog>
  )
}
