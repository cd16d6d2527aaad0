import { useDeferredValue, useEffect, useMemo, useState } from 'react'
import type { Found } from '../cards/found'
import type { Conversation } from '../stream/state'
import { findRows } from './find'
import { FindBar } from './FindBar'
import { rowsOf } from './rows'
import { useHighlights } from './useHighlights'

const MOST_ROWS = 20_000

interface Props {
  conversation: Conversation
  hasOlder: boolean
  readOlder: () => void
  /** Called with what is to be shown; null when there is nothing. */
  onFound: (found: Found | null) => void
  onClose: () => void
}

/** Search in a conversation, also in older messages that were not read yet. The newest match is shown first. */
export default function Find({ conversation, hasOlder, readOlder, onFound, onClose }: Props) {
  const [query, setQuery] = useState('')
  const [row, setRow] = useState<string | null>(null)
  const rows = useMemo(() => rowsOf(conversation), [conversation])
  const wanted = useDeferredValue(query.trim().toLowerCase())
  const matches = useMemo(() => findRows(rows, wanted), [rows, wanted])
  const reading = wanted !== '' && hasOlder && rows.length < MOST_ROWS
  const known = row === null ? -1 : matches.indexOf(row)
  const at = known < 0 ? matches.length - 1 : known
  const shown = matches[at]

  useEffect(() => {
    if (reading) readOlder()
    // oxlint-disable-next-line react/exhaustive-effect-dependencies -- goes on when the rows are there
  }, [reading, readOlder, rows])
  useEffect(() => onFound(wanted === '' || shown === undefined ? null : { query: wanted, row: shown }), [onFound, shown, wanted])
  useEffect(() => () => onFound(null), [onFound])
  useHighlights(wanted)

  return (
    <FindBar
      query={query}
      onQuery={setQuery}
      at={at}
      matches={matches.length}
      reading={reading}
      onStep={(by) => setRow(matches[(at + by + matches.length) % matches.length] ?? null)}
      onClose={onClose}
    />
  )
}
