import { useEffect, useRef } from 'react'

const WITHIN_MS = 2000

/** Esc, and Esc again within two seconds. A single Esc closes things, and is too easy to hit. */
export function useDoubleEscape(enabled: boolean, action: () => void, onFirst: () => void): void {
  const current = useRef({ action, onFirst })
  useEffect(() => {
    current.current = { action, onFirst }
  })
  useEffect(() => {
    if (!enabled) return undefined
    let first = -WITHIN_MS
    const press = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open], :popover-open')) return
      if (event.timeStamp - first < WITHIN_MS) {
        first = -WITHIN_MS
        current.current.action()
      } else {
        first = event.timeStamp
        current.current.onFirst()
      }
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [enabled])
}
