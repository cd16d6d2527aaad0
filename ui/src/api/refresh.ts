// One refresh at a time: requests that meet a 401 together share it.

let running: Promise<boolean> | null = null
const listeners = new Set<() => void>()

/** Exchange the refresh cookie for a new session. Returns false when the person has to sign in again. */
export function refreshSession(): Promise<boolean> {
  running ??= refresh().finally(() => {
    running = null
  })
  return running
}

/** Call the listener when the session ended and could not be refreshed. Returns how to unsubscribe. */
export function onSessionEnd(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

async function refresh(): Promise<boolean> {
  const response = await fetch('/api/v1/auth/refresh', { method: 'POST', credentials: 'same-origin' }).catch(() => null)
  if (response?.ok) return true
  if (response) for (const listener of listeners) listener()
  return false
}
