import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, use, useCallback, useEffect, useMemo, useState, type ReactNode } from 'react'
import { client, unwrap, type Schemas } from '../api/client'
import { ProblemError } from '../api/problem'
import { keys } from '../api/queries'
import { onSessionEnd } from '../api/refresh'
import { loadApp, type App } from './app'

export type User = Schemas['UserView']
export type Role = 'viewer' | 'member' | 'approver' | 'admin'

export interface Session {
  app: App | undefined
  user: User | undefined
  /** loading: not known yet. out: nobody is signed in. ended: a session ended while the page was open. */
  state: 'loading' | 'in' | 'out' | 'ended' | 'unreachable'
  error: Error | null
  reload: () => Promise<void>
}

const SessionContext = createContext<Session | null>(null)

/** The application's settings and who is signed in. */
export function useSession(): Session {
  const session = use(SessionContext)
  if (!session) throw new Error('useSession needs a SessionProvider above it')
  return session
}

const RANK: Role[] = ['viewer', 'member', 'approver', 'admin']

/** Whether the signed-in person has at least this role. */
export function hasRole(user: User | undefined, role: Role): boolean {
  return user !== undefined && (user.is_superuser || RANK.indexOf(user.role as Role) >= RANK.indexOf(role))
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient()
  const [ended, setEnded] = useState(false)
  const app = useQuery({ queryKey: keys.app, queryFn: loadApp, staleTime: 60_000 })
  const me = useQuery({ queryKey: keys.me, queryFn: () => unwrap(client.GET('/api/v1/auth/me')), staleTime: 60_000 })
  const user = me.data

  useEffect(() => onSessionEnd(() => setEnded(true)), [])

  const reload = useCallback(async () => {
    setEnded(false)
    await queries.invalidateQueries()
  }, [queries])

  const session = useMemo((): Session => {
    const signedOut = me.error instanceof ProblemError && me.error.status === 401
    const state = ended && user ? 'ended' : user ? 'in' : signedOut ? 'out' : me.error ? 'unreachable' : 'loading'
    return { app: app.data, user, state, error: me.error ?? app.error, reload }
  }, [app.data, app.error, ended, me.error, reload, user])

  return <SessionContext value={session}>{children}</SessionContext>
}
