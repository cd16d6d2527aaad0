import { client, unwrap } from '../api/client'
import { en } from '../words/en'

/** Begin a session with e-mail and password. Rejects also when the browser does not keep the session's cookie. */
export async function login(username: string, password: string): Promise<void> {
  await unwrap(
    client.POST('/api/v1/auth/jwt/login', {
      body: { username, password },
      bodySerializer: (body) => new URLSearchParams({ username: body.username, password: body.password }),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    }),
  )
  const { response } = await client.GET('/api/v1/auth/me')
  if (response.status === 401) throw new Error(en.signIn.notKept)
}
