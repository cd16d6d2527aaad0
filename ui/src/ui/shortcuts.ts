import { useEffect, useRef } from 'react'

const OFF_KEY = 'skyflo.single-keys'
const SEQUENCE_MS = 1200

/** Single keys may be switched off (WCAG 2.1.4): they get in the way of speech input. */
export const singleKeysAreOn = (): boolean => localStorage.getItem(OFF_KEY) !== 'off'
export const setSingleKeys = (on: boolean): void => {
  if (on) localStorage.removeItem(OFF_KEY)
  else localStorage.setItem(OFF_KEY, 'off')
}

/** Keys and what they do: a single key ("n"), or two after each other ("g a"). */
export type Shortcuts = Record<string, (event: KeyboardEvent) => void>

/** Listen for single keys. They are ignored in fields, with modifiers, and while a dialog is open. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const current = useRef(shortcuts)
  useEffect(() => {
    current.current = shortcuts
  })
  useEffect(() => {
    let first = ''
    let at = 0
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !singleKeysAreOn()) return
      if (isTyping(event.target) || document.querySelector('dialog[open]')) return
      const pair = event.timeStamp - at < SEQUENCE_MS ? `${first} ${event.key}` : ''
      const action = current.current[pair] ?? current.current[event.key]
      first = event.key
      at = event.timeStamp
      if (!action) return
      event.preventDefault()
      first = ''
      action(event)
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null
}
