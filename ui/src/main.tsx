import { QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { createQueryClient } from './api/queries'
import { App } from './App'
import { SessionProvider } from './session/session'
import { FeedProvider } from './stream/feed'
import './styles/tokens.css'
import './styles/base.css'
import { followTheme } from './ui/theme'
import { ToastProvider } from './ui/Toast'

followTheme()

const root = document.querySelector('#root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={createQueryClient()}>
        <SessionProvider>
          <FeedProvider>
            <ToastProvider>
              <App />
            </ToastProvider>
          </FeedProvider>
        </SessionProvider>
      </QueryClientProvider>
    </StrictMode>,
  )
}
