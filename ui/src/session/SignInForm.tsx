import { useState } from 'react'
import { Field } from '../ui/Field'
import { Form } from '../ui/Form'
import { en } from '../words/en'
import { login } from './login'
import { useSession } from './session'
import css from './SignInForm.module.css'

/** E-mail and password, and the OpenID provider where one is configured. Used by the sign-in page and the dialog. */
export function SignInForm() {
  const { app, reload } = useSession()
  const [visible, setVisible] = useState(false)

  const signIn = async (form: FormData) => {
    await login(String(form.get('email')), String(form.get('password')))
    await reload()
  }

  return (
    <div className={css.stack}>
      <Form submit={en.signIn.submit} onSubmit={signIn}>
        <Field label={en.signIn.email}>
          <input name="email" type="email" autoComplete="username" required autoFocus />
        </Field>
        <Field
          label={en.signIn.password}
          action={
            <button type="button" aria-pressed={visible} onClick={() => setVisible(!visible)}>
              {visible ? en.signIn.hide : en.signIn.show}
            </button>
          }
        >
          <input name="password" type={visible ? 'text' : 'password'} autoComplete="current-password" required />
        </Field>
      </Form>
      {app?.oidc && (
        <a className={css.provider} href={`/api/v1/auth/oidc/login?next=${encodeURIComponent(location.pathname)}`}>
          {en.signIn.provider(app.oidc.name)}
        </a>
      )}
    </div>
  )
}
