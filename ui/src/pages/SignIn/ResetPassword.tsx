import { useState } from 'react'
import { Link } from 'wouter'
import { client, unwrap } from '../../api/client'
import { Field } from '../../ui/Field'
import { Form } from '../../ui/Form'
import { signIn as words } from '../../words/en/sign-in'
import { Entrance } from './Entrance'
import { useLinkToken } from './token'

/** Set a new password by the link of a mail or of an admin. */
export default function ResetPassword() {
  const token = useLinkToken()
  const [done, setDone] = useState(false)
  const reset = async (form: FormData) => {
    const body = { token: token ?? '', password: String(form.get('password')) }
    await unwrap(client.POST('/api/v1/auth/reset-password/reset-password', { body }))
    setDone(true)
  }
  return (
    <Entrance title={words.resetTitle}>
      {token === null && <p>{words.noToken}</p>}
      {done && <p role="status">{words.done}</p>}
      {token !== null && !done && (
        <Form submit={words.set} onSubmit={reset}>
          <Field label={words.newPassword} hint={words.passwordHint}>
            <input name="password" type="password" required minLength={12} autoComplete="new-password" autoFocus />
          </Field>
        </Form>
      )}
      <Link href="/sign-in">{words.back}</Link>
    </Entrance>
  )
}
