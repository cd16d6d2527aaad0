import { isOpen, type Call, type Conversation, type Item, type Run } from '../stream/state'

export type Row =
  | Exclude<Item, { kind: 'call' }>
  | { kind: 'reads'; id: string; runId: string; calls: Call[] }
  | { kind: 'change'; id: string; runId: string; call: Call }
  | { kind: 'foot'; id: string; runId: string; run: Run; texts: readonly string[] }

/** What the conversation shows, from top to bottom: reads in a row are one, and each answer ends with its foot. */
export function rowsOf(conversation: Conversation): Row[] {
  const rows: Row[] = []
  let texts: string[] = []
  conversation.items.forEach((item, index) => {
    addItem(rows, conversation, item)
    if (item.kind === 'user') return
    if (item.kind === 'text') texts.push(item.text)
    if (conversation.items[index + 1]?.runId === item.runId) return
    const run = conversation.runs[item.runId]
    if (run && hasRested(run)) rows.push({ kind: 'foot', id: `${run.id}:foot`, runId: run.id, run, texts })
    texts = []
  })
  return rows
}

const hasRested = (run: Run): boolean => run.phase !== 'running' && run.phase !== 'awaiting_approval'

function addItem(rows: Row[], conversation: Conversation, item: Item): void {
  if (item.kind !== 'call') {
    rows.push(item)
    return
  }
  const call = conversation.calls[item.id]
  if (!call) return
  if (call.approval || call.requiresApproval) {
    rows.push({ kind: 'change', id: call.id, runId: call.runId, call })
    return
  }
  const last = rows.at(-1)
  if (last?.kind === 'reads' && last.runId === call.runId) last.calls.push(call)
  else rows.push({ kind: 'reads', id: readsId(call), runId: call.runId, calls: [call] })
}

/** The id of the row of reads that begins with this call. */
export const readsId = (first: Call): string => `reads-${first.id}`

/** Rows that must stay in the page wherever it is scrolled to: what waits, and what still grows. */
export const mustStay = (row: Row): boolean => row.kind === 'change' && isOpen(row.call)
