import { Suspense, type ReactNode } from 'react'
import { Link, Redirect, Route, Switch, useLocation } from 'wouter'
import { Chat } from './chat/Chat'
import { CHAT_PATH, routes } from './routes'
import { SignInForm } from './session/SignInForm'
import { useSession } from './session/session'
import { Dialog } from './ui/Dialog'
import { EmptyState } from './ui/EmptyState'
import { ErrorState } from './ui/ErrorState'
import { Page } from './ui/Page'
import { Shell } from './ui/Shell'
import { Skeleton } from './ui/Skeleton'
import { en } from './words/en'

export function App() {
  return (
    <Suspense fallback={<Skeleton />}>
      <Switch>
        {routes.map(({ path, page: PageComponent, open }) =>
          open ? (
            <Route key={path} path={path}>
              <PageComponent />
            </Route>
          ) : null,
        )}
        <Route>
          <SignedIn>
            <Pages />
          </SignedIn>
        </Route>
      </Switch>
    </Suspense>
  )
}

function Pages() {
  return (
    <Suspense fallback={<Skeleton />}>
      <Switch>
        <Route path={CHAT_PATH}>{(groups) => <Chat conversationId={groups.id} />}</Route>
        {routes.map(({ path, match, page: PageComponent }) => (
          <Route key={path} path={match ?? path}>
            <PageComponent />
          </Route>
        ))}
        <Route>
          <NotFound />
        </Route>
      </Switch>
    </Suspense>
  )
}

/** Shows the children to signed-in people, and the way to sign in to others. */
function SignedIn({ children }: { children: ReactNode }) {
  const [at] = useLocation()
  const { app, state, error, reload } = useSession()
  if (state === 'loading') return <Skeleton />
  if (state === 'unreachable') {
    return (
      <Page title={en.session.unreachableTitle}>
        <ErrorState error={error} onRetry={() => void reload()} />
      </Page>
    )
  }
  if (state === 'out') {
    return <Redirect to={app?.setup && !app.local_mode ? '/register' : `/sign-in?next=${encodeURIComponent(at)}`} />
  }
  return (
    <>
      <Shell>{children}</Shell>
      {state === 'ended' && (
        <Dialog title={en.session.ended} onClose={() => {}} closable={false}>
          <p>{en.session.endedText}</p>
          <SignInForm />
        </Dialog>
      )}
    </>
  )
}

function NotFound() {
  return (
    <Page title={en.notFound.title}>
      <EmptyState title={en.notFound.title}>
        <p>{en.notFound.text}</p>
        <Link href="/">{en.notFound.home}</Link>
      </EmptyState>
    </Page>
  )
}
