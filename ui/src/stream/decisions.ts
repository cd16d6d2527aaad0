// Decisions on their way to the engine. They outlive the card that sent them, and every lost connection but a reload.
import { useSyncExternalStore } from 'react'
import type { Schemas } from '../api/client'
import { sendUntilAnswered, type Link } from './sse'

const sending = new Map<string, Schemas['DecisionRequest']>()
const listeners = new Set<() => void>()

/**
 * Send a decision until the engine answers it. The engine records the same decision of the same person once.
 * Rejects with a `ProblemError` when the engine refuses. The run that goes on is not followed here.
 */
export async function sendDecision(
  callId: string,
  body: Schemas['DecisionRequest'],
  onLink?: (link: Link) => void,
): Promise<void> {
  change(() => sending.set(callId, body))
  try {
    await sendUntilAnswered(`/agent/approvals/${callId}`, body, onLink)
  } finally {
    change(() => sending.delete(callId))
  }
}

/** The decision on this call that is on its way. */
export const useSending = (callId: string): Schemas['DecisionRequest'] | undefined =>
  useSyncExternalStore(subscribe, () => sending.get(callId))

function change(apply: () => void): void {
  apply()
  // Only a reload or a closed tab would lose the decision: let the browser ask.
  if (sending.size > 0) addEventListener('beforeunload', ask)
  else removeEventListener('beforeunload', ask)
  for (const listener of listeners) listener()
}

const ask = (event: Event): void => event.preventDefault()

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
