// Search in the rows of a conversation. The browser's own search does not see rows that are scrolled out of the page.
import { textOf } from '../cards/resultText'
import { briefOf } from '../cards/ToolCard'
import type { Call } from '../stream/state'
import type { Row } from './rows'

/** The ids of the rows that contain the query, from top to bottom. The query is in lower case. */
export function findRows(rows: readonly Row[], query: string): string[] {
  if (query === '') return []
  return rows.filter((row) => textOfRow(row).some((text) => text.toLowerCase().includes(query))).map((row) => row.id)
}

function textOfRow(row: Row): string[] {
  switch (row.kind) {
    case 'user':
    case 'text':
    case 'thinking':
    case 'summary':
    case 'note':
      return [row.text]
    case 'reads':
      return row.calls.flatMap(textOfCall)
    case 'change':
      return [...textOfCall(row.call), row.call.approval?.preview?.summary ?? '', row.call.approval?.preview?.diff ?? '', row.call.approval?.reason ?? '']
    case 'foot':
      return []
  }
}

const textOfCall = (call: Call): string[] => [call.title, call.tool, briefOf(call), textOf(call)]
