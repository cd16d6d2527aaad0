// Every state of the approval card on one page, for pictures that a person looks at. Not part of the product.
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { keys } from '../../src/api/queries'
import { ApprovalCard } from '../../src/cards/ApprovalCard'
import { ReadGroup } from '../../src/cards/ToolCard'
import { SessionProvider } from '../../src/session/session'
import '../../src/styles/base.css'
import '../../src/styles/tokens.css'
import { ToastProvider } from '../../src/ui/Toast'
import { calls, reads } from './calls'
import css from './states.module.css'

document.documentElement.dataset['theme'] = new URLSearchParams(location.search).get('theme') ?? 'light'

const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity, retry: false, enabled: false } } })
queries.setQueryData(keys.me, { id: 'me', email: 'ana@example.com', full_name: 'Ana Lima', role: 'approver', is_superuser: false })
queries.setQueryData(keys.app, { version: '0', local_mode: true })

const root = document.querySelector('#root')
if (root) {
  createRoot(root).render(
    <QueryClientProvider client={queries}>
      <SessionProvider>
        <ToastProvider>
          <main className={css.states}>
            <h1>Card states</h1>
            <ReadGroup id="reads" calls={reads} />
            {calls.map((call) => (
              <ApprovalCard key={call.id} call={call} actions={{ decide: async () => {}, suggest: () => {}, newerThan: () => 'newer' }} />
            ))}
          </main>
        </ToastProvider>
      </SessionProvider>
    </QueryClientProvider>,
  )
}
