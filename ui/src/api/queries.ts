import { QueryClient } from '@tanstack/react-query'
import { ProblemError } from './problem'

/** Query keys, so that the live feed knows what to invalidate. */
export const keys = {
  app: ['app'] as const,
  me: ['me'] as const,
  ready: ['ready'] as const,
  conversations: ['conversations'] as const,
  approvals: ['approvals'] as const,
  approval: (id: string) => ['approval', id] as const,
}

export const createQueryClient = (): QueryClient =>
  new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5000,
        retry: (failures, error) => failures < 2 && !(error instanceof ProblemError && error.status < 500),
      },
    },
  })
