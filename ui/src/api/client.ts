import createClient from 'openapi-fetch'
import type { components, paths } from '../generated/api'
import { toProblem, Unreachable } from './problem'
import { refreshSession } from './refresh'

export const API = '/api/v1'

export type Schemas = components['schemas']

/** Typed HTTP client. Requests are made with the session cookie; use `unwrap` to get the body or a `ProblemError`. */
export const client = createClient<paths>({ baseUrl: '', credentials: 'same-origin', fetch: fetchWithSession })

/** Call fetch; after a 401, refresh the session once and repeat the request. */
export async function fetchWithSession(request: Request): Promise<Response> {
  const again = request.clone()
  const response = await reach(request)
  if (response.status !== 401 || new URL(request.url).pathname.startsWith(`${API}/auth/`)) return response
  return (await refreshSession()) ? reach(again) : response
}

async function reach(request: Request): Promise<Response> {
  try {
    return await fetch(request)
  } catch (error) {
    if (request.signal.aborted) throw error
    throw new Unreachable(error)
  }
}

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** Return the body of a successful answer; throw the problem otherwise. */
export async function unwrap<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer
  if (response.ok) return data as T
  throw toProblem(response, error)
}
