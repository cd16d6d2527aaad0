import { createContext, use, useEffect } from 'react'

/** What a search in the conversation found: the query, and the row that is shown now. */
export interface Found {
  query: string
  row: string
}

export const FoundContext = createContext<Found | null>(null)

/** Call `open` when the search shows this row and the text in it that is folded away. */
export function useOpenWhenFound(row: string, textOf: () => string, open: () => void): void {
  const found = use(FoundContext)
  const wanted = found !== null && found.row === row && textOf().toLowerCase().includes(found.query)
  useEffect(() => {
    if (wanted) open()
    // oxlint-disable-next-line react/exhaustive-deps -- once for each thing that is found
  }, [wanted])
}
