import { useState } from 'react'
import { Link, Redirect } from 'wouter'
import { client, unwrap } from '../../api/client'
import { login } from '../../session/login'
import { useSession } from '../../session/session'
import { Field } from '../../ui/Field'
import { Form, textOf } from '../../ui/Form'
import { signIn as words } from '../../words/en/sign-in'
import { Entrance, InsecureWarning, Links } from './Entrance'

/** Create an account: the first one becomes the admin. */
export default function Register() {
  const { app, state, reload } = useSession()
  const [length, setLength] = useState(0)
  if (state === 'in') return <Redirect to="/" replace />
  const register = async (form: FormData) => {
    const [email, password] = [String(form.get('email')), String(form.get('password'))]
    await unwrap(
      client.POST('/api/v1/auth/register/register', { body: { email, password, full_name: textOf(form, 'name') } }),
    )
    await login(email, password)
    await reload()
  }
  return (
    <Entrance title={app?.setup ? words.firstTitle : words.registerTitle}>
      {app?.setup && <p>{words.firstText}</p>}
      <InsecureWarning text={words.insecure} />
      <Form submit={words.create} onSubmit={register}>
        <Field label={words.name}>
          <input name="name" maxLength={100} autoComplete="name" autoFocus />
        </Field>
        <Field label={words.email}>
          <input name="email" type="email" required autoComplete="username" />
        </Field>
        <Field label={words.password} hint={`${words.passwordHint} ${words.length(length)}`}>
          <input
            name="password"
            type="password"
            required
            minLength={12}
            autoComplete="new-password"
            onChange={(event) => setLength(event.target.value.length)}
          />
        </Field>
      </Form>
      {!app?.setup && (
        <Links>
          <Link href="/sign-in">{words.back}</Link>
        </Links>
      )}
    </Entrance>
  )
}
