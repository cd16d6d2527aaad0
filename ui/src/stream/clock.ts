// The engine's clock. A device whose clock is wrong must not show a wrong "time left".
import { useSyncExternalStore } from 'react'

const WORTH_A_CHANGE_MS = 1000

let offset = 0
const listeners = new Set<() => void>()

/** Take over the engine's time from a message that was sent just now. */
export function syncClock(engineTime: number): void {
  const found = engineTime - Date.now()
  if (Math.abs(found - offset) < WORTH_A_CHANGE_MS) return
  offset = found
  for (const listener of listeners) listener()
}

/** The engine's time now, in milliseconds since the epoch. */
export const engineNow = (): number => Date.now() + offset

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The engine's clock minus this device's, in milliseconds. */
export const useClockOffset = (): number => useSyncExternalStore(subscribe, () => offset)
