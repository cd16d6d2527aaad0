import type { Call } from '../stream/state'

/** The result of a call as text: its text blocks, or the error. */
export function textOf(call: Call): string {
  if (call.error) return call.error
  return (call.result ?? []).map((block) => block.text ?? JSON.stringify(block, null, 2)).join('\n')
}
