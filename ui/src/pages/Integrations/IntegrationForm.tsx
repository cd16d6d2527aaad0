import { client, unwrap, type Schemas } from '../../api/client'
import { Dialog } from '../../ui/Dialog'
import { Field } from '../../ui/Field'
import { Form, textOf } from '../../ui/Form'
import { visible } from '../../ui/visible'
import { integrations as words } from '../../words/en/integrations'
import { addressOf } from './address'

type Integration = Schemas['IntegrationView']

/** Connect Jenkins, or change a connection. Credentials that are set are never shown. */
export function IntegrationForm({ integration, onClose }: { integration?: Integration; onClose: () => void }) {
  const save = async (form: FormData) => {
    const body = {
      name: textOf(form, 'name'),
      metadata: { ...integration?.metadata, api_url: textOf(form, 'address') ?? '' },
    }
    const credentials = credentialsOf(form)
    if (integration) {
      const params = { path: { integration_id: integration.id } }
      const change = { ...body, ...(credentials && { credentials }) }
      await unwrap(client.PATCH('/api/v1/integrations/{integration_id}', { params, body: change }))
    } else {
      const created = { ...body, provider: 'jenkins', credentials: credentials ?? {} }
      await unwrap(client.POST('/api/v1/integrations', { body: created }))
    }
    onClose()
  }
  return (
    <Dialog title={integration ? words.editTitle(visible(integration.name)) : words.addTitle} onClose={onClose}>
      <Form submit={integration ? words.edit : words.add} onSubmit={save} onCancel={onClose}>
        <Field label={words.name}>
          <input name="name" defaultValue={integration?.name} placeholder={words.namePlaceholder} maxLength={100} />
        </Field>
        <Field label={words.address} hint={words.addressHint}>
          <input name="address" type="url" required defaultValue={integration && addressOf(integration)} />
        </Field>
        {integration && <p>{words.keep}</p>}
        <Field label={words.user}>
          <input name="username" required={!integration} autoComplete="off" />
        </Field>
        <Field label={words.token} hint={words.tokenHint}>
          <input name="api_token" type="password" required={!integration} autoComplete="off" />
        </Field>
      </Form>
    </Dialog>
  )
}

function credentialsOf(form: FormData): Record<string, string> | null {
  const [username, token] = [textOf(form, 'username'), textOf(form, 'api_token')]
  if (username === null && token === null) return null
  return { username: username ?? '', api_token: token ?? '' }
}
