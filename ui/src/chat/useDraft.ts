import { useCallback, useState } from 'react'

const KEY = 'skyflo.draft.'

/** What the person was writing, kept for each conversation while the browser's tab lives. */
export function useDraft(conversationId: string | null): [string, (text: string) => void] {
  const key = KEY + (conversationId ?? 'new')
  const [draft, setDraft] = useState(() => ({ key, text: sessionStorage.getItem(key) ?? '' }))
  const text = draft.key === key ? draft.text : (sessionStorage.getItem(key) ?? '')
  const change = useCallback(
    (next: string) => {
      if (next === '') sessionStorage.removeItem(key)
      else sessionStorage.setItem(key, next)
      setDraft({ key, text: next })
    },
    [key],
  )
  return [text, change]
}
