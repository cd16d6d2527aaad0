import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import { client, unwrap } from '../../api/client'
import { ErrorNote } from '../../ui/ErrorState'
import { signIn as words } from '../../words/en/sign-in'
import { Entrance } from './Entrance'
import { useLinkToken } from './token'

/** Follows the link of a verification mail. */
export default function VerifyEmail() {
  const token = useLinkToken()
  const verified = useQuery({
    queryKey: ['verify', token],
    enabled: token !== null,
    retry: false,
    staleTime: Infinity,
    queryFn: () => unwrap(client.POST('/api/v1/auth/verify/verify', { body: { token: token ?? '' } })),
  })
  return (
    <Entrance title={words.verifyTitle}>
      {token === null && <p>{words.noToken}</p>}
      {token !== null && verified.isPending && <p>{words.verifying}</p>}
      {verified.error && <ErrorNote error={verified.error} />}
      {verified.data && <p role="status">{words.verified}</p>}
      <Link href="/">{words.goOn}</Link>
    </Entrance>
  )
}
