import { useState } from 'react'
import { client, unwrap } from '../../api/client'
import { useSession, type User } from '../../session/session'
import { Field } from '../../ui/Field'
import { Form, textOf } from '../../ui/Form'
import { Page, Section } from '../../ui/Page'
import { setSingleKeys, singleKeysAreOn } from '../../ui/shortcuts'
import { setTheme, storedTheme, type Theme } from '../../ui/theme'
import { useToast } from '../../ui/Toast'
import { Budgets } from '../Analytics/Budgets'
import { profile as words } from '../../words/en/profile'
import { ProviderLink, Unverified } from './Identity'
import css from './Profile.module.css'
import { Tokens } from './Tokens'

export default function Profile() {
  const { app, user } = useSession()
  if (!user) return null
  return (
    <Page title={words.title}>
      {app?.local_mode ? (
        <p>{words.local}</p>
      ) : (
        <>
          <Account user={user} />
          <Password />
          {app?.oidc && <ProviderLink name={app.oidc.name} />}
          <Tokens />
        </>
      )}
      <Budgets />
      <Appearance />
    </Page>
  )
}

function Account({ user }: { user: User }) {
  const { reload } = useSession()
  const toast = useToast()
  const [email, setEmail] = useState(user.email)
  const save = async (form: FormData) => {
    const moved = email !== user.email
    const body = {
      full_name: textOf(form, 'name'),
      ...(moved && { email, current_password: String(form.get('current')) }),
    }
    await unwrap(client.PATCH('/api/v1/auth/me', { body }))
    await reload()
    toast(words.saved)
  }
  return (
    <Section title={words.account}>
      {!user.is_verified && <Unverified email={user.email} />}
      <Form submit={words.save} onSubmit={save}>
        <Field label={words.name}>
          <input name="name" defaultValue={user.full_name ?? ''} maxLength={100} autoComplete="name" />
        </Field>
        <Field label={words.email} hint={words.emailHint}>
          <input type="email" required value={email} autoComplete="email" onChange={(event) => setEmail(event.target.value)} />
        </Field>
        {email !== user.email && (
          <Field label={words.currentPassword} hint={words.currentPasswordHint}>
            <input name="current" type="password" required autoComplete="current-password" />
          </Field>
        )}
      </Form>
    </Section>
  )
}

function Password() {
  const toast = useToast()
  const [round, setRound] = useState(0)
  const save = async (form: FormData) => {
    const body = { current_password: String(form.get('current')), new_password: String(form.get('new')) }
    await unwrap(client.PATCH('/api/v1/auth/users/me/password', { body }))
    setRound(round + 1)
    toast(words.passwordChanged)
  }
  return (
    <Section title={words.password}>
      <Form key={round} submit={words.changePassword} onSubmit={save}>
        <Field label={words.currentPassword}>
          <input name="current" type="password" required autoComplete="current-password" />
        </Field>
        <Field label={words.newPassword} hint={words.passwordHint}>
          <input name="new" type="password" required minLength={12} autoComplete="new-password" />
        </Field>
      </Form>
    </Section>
  )
}

function Appearance() {
  const [theme, choose] = useState(storedTheme)
  const [keys, setKeys] = useState(singleKeysAreOn)
  return (
    <Section title={words.appearance}>
      <div className={css.choices}>
        <Field label={words.theme}>
          <select
            value={theme}
            onChange={(event) => {
              const wanted = event.target.value as Theme
              setTheme(wanted)
              choose(wanted)
            }}
          >
            {Object.entries(words.themes).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </Field>
        <Field label={words.singleKeys} hint={words.singleKeysHint}>
          <select
            value={keys ? 'on' : 'off'}
            onChange={(event) => {
              setSingleKeys(event.target.value === 'on')
              setKeys(event.target.value === 'on')
            }}
          >
            <option value="on">{words.on}</option>
            <option value="off">{words.off}</option>
          </select>
        </Field>
      </div>
    </Section>
  )
}
