import { useState } from 'react'

/** The token of a mailed link. It is taken out of the address, so that it stays out of the history and of referrers. */
export function useLinkToken(): string | null {
  const [token] = useState(() => {
    const found = new URLSearchParams(location.hash.slice(1)).get('token') ?? new URLSearchParams(location.search).get('token')
    if (found) history.replaceState(history.state, '', location.pathname)
    return found
  })
  return token
}
