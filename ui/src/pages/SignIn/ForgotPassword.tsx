import { useState } from 'react'
import { Link } from 'wouter'
import { client, unwrap } from '../../api/client'
import { Field } from '../../ui/Field'
import { Form } from '../../ui/Form'
import { signIn as words } from '../../words/en/sign-in'
import { Entrance } from './Entrance'

/** Ask for a link that resets the password. */
export default function ForgotPassword() {
  const [sent, setSent] = useState(false)
  const send = async (form: FormData) => {
    const body = { email: String(form.get('email')) }
    await unwrap(client.POST('/api/v1/auth/reset-password/forgot-password', { body }))
    setSent(true)
  }
  return (
    <Entrance title={words.forgotTitle}>
      {sent ? (
        <p role="status">{words.sent}</p>
      ) : (
        <Form submit={words.send} onSubmit={send}>
          <p>{words.forgotText}</p>
          <Field label={words.email}>
            <input name="email" type="email" required autoComplete="username" autoFocus />
          </Field>
        </Form>
      )}
      <Link href="/sign-in">{words.back}</Link>
    </Entrance>
  )
}
