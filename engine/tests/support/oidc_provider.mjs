// A certified OpenID provider (npm oidc-provider) for tests, on loopback: `node oidc_provider.mjs <package> <port>`.
// Its sign-in page takes a name and no password; PUT /people/<name> says what it tells of that person.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { pathToFileURL } from 'node:url'

const [, , main, port] = process.argv
const { default: Provider } = await import(pathToFileURL(main))
const issuer = `http://127.0.0.1:${port}`
const people = new Map()

const key = (type, options, rest) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), ...rest })
const client = (id, rest) => ({
  client_id: id,
  redirect_uris: ['https://testserver/api/v1/auth/oidc/callback'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  ...rest,
})

const provider = new Provider(issuer, {
  clients: [
    client('confidential', { client_secret: 'the secret/of:the client' }),
    client('posting', { client_secret: 'posted', token_endpoint_auth_method: 'client_secret_post' }),
    client('public', { token_endpoint_auth_method: 'none' }),
    client('elliptic', { token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256' }),
  ],
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, { use: 'sig', kid: 'rsa' }),
      key('ec', { namedCurve: 'P-256' }, { use: 'sig', kid: 'ec', alg: 'ES256' }),
    ],
  },
  cookies: { keys: ['of the tests'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 600, IdToken: 300, Interaction: 600, Session: 600 },
  findAccount: (_, id) => people.has(id) && { accountId: id, claims: async () => ({ sub: id, ...people.get(id) }) },
  loadExistingGrant: async ({ oidc }) => {
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
    grant.addOIDCScope('openid email profile groups')
    await grant.save()
    return grant
  },
})

const read = async (request) => {
  let body = ''
  for await (const chunk of request) body += chunk
  return body
}

createServer(async (request, response) => {
  const [, place, name] = new URL(request.url, issuer).pathname.split('/')
  if (place === 'people') {
    people.set(name, JSON.parse(await read(request)))
    response.writeHead(204).end()
  } else if (place === 'interaction' && request.method === 'POST') {
    const login = new URLSearchParams(await read(request)).get('login')
    const result = login ? { login: { accountId: login } } : { error: 'access_denied' }
    await provider.interactionFinished(request, response, result)
  } else if (place === 'interaction') {
    response.writeHead(200, { 'Content-Type': 'text/html' })
    response.end('<form method="post">Name: <input name="login"> <button>Sign in</button></form>')
  } else {
    provider.callback()(request, response)
  }
}).listen(Number(port), '127.0.0.1')
