import { useEffect } from 'react'

/** Ctrl F searches in the conversation. While that search is open, Ctrl F is the browser's. */
export function useFindKey(enabled: boolean, open: () => void): void {
  useEffect(() => {
    if (!enabled) return undefined
    const press = (event: KeyboardEvent) => {
      if (event.key !== 'f' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return
      if (document.querySelector('dialog[open]')) return
      event.preventDefault()
      open()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [enabled, open])
}
