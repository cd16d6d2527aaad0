import type { Schemas } from '../../api/client'

/** Where the service answers. */
export function addressOf(integration: Schemas['IntegrationView']): string {
  const address = integration.metadata['api_url']
  return typeof address === 'string' ? address : ''
}
