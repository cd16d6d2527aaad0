import { client, unwrap } from '../../api/client'
import { Button } from '../../ui/Button'
import { messageOf } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { Form } from '../../ui/Form'
import { Section } from '../../ui/Page'
import { useToast } from '../../ui/Toast'
import { profile as words } from '../../words/en/profile'
import css from './Profile.module.css'

/** Says that the e-mail is not verified, and sends the link again. */
export function Unverified({ email }: { email: string }) {
  const toast = useToast()
  const send = async () => {
    try {
      await unwrap(client.POST('/api/v1/auth/verify/request-verify-token', { body: { email } }))
      toast(words.linkSent)
    } catch (error) {
      toast(messageOf(error), 'danger')
    }
  }
  return (
    <div className={css.notice}>
      <p>{words.unverified}</p>
      <Button onClick={() => void send()}>{words.sendLink}</Button>
    </div>
  )
}

async function link(form: FormData): Promise<void> {
  const body = { current_password: String(form.get('current')), next: '/profile' }
  const { url } = await unwrap(client.POST('/api/v1/auth/oidc/link', { body }))
  location.assign(url)
}

/** Links this account with the OpenID provider. */
export function ProviderLink({ name }: { name: string }) {
  return (
    <Section title={words.provider(name)} lead={words.providerText}>
      <Form submit={words.link} onSubmit={link}>
        <Field label={words.currentPassword}>
          <input name="current" type="password" required autoComplete="current-password" />
        </Field>
      </Form>
    </Section>
  )
}
