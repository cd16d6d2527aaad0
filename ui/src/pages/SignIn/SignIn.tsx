import { Link, Redirect, useSearchParams } from 'wouter'
import { SignInForm } from '../../session/SignInForm'
import { useSession } from '../../session/session'
import { signIn as words } from '../../words/en/sign-in'
import { Entrance, Links } from './Entrance'

export default function SignIn() {
  const [search] = useSearchParams()
  const { app, state } = useSession()
  if (state === 'in') return <Redirect to={pathOf(search.get('next'))} replace />
  if (app?.setup && !app.local_mode) return <Redirect to="/register" replace />
  const local = app?.local_mode ?? false
  return (
    <Entrance title={local ? words.localTitle : words.title}>
      {local && <OtherAccount />}
      {!app?.setup && <SignInForm />}
      {app && !local && (
        <Links>
          {app.reset_by_mail ? <Link href="/forgot-password">{words.forgot}</Link> : <p>{words.noMail}</p>}
          {app.registration && <Link href="/register">{words.register}</Link>}
        </Links>
      )}
    </Entrance>
  )
}

/** In local mode, the account that runs the engine needs no sign-in; others of the machine open an address with a key. */
function OtherAccount() {
  const refused = document.documentElement.dataset['key'] === 'refused'
  return (
    <>
      <p role={refused ? 'alert' : undefined}>{refused ? words.keyRefused : words.otherAccount}</p>
      <p>{words.openWithKey}</p>
    </>
  )
}

/** Only a path of this page: never another site. */
function pathOf(next: string | null): string {
  return next && /^\/(?![/\\])/.test(next) ? next : '/'
}
