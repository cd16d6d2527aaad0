import { useCallback, useEffect, useRef, useState } from 'react'

const SEEN_AFTER_MS = 600
const STEADY_AFTER_MS = 400

/** Whether the element has been in view for 600 ms. Give the returned ref to its first screen. */
export function useSeen(): [boolean, (element: Element | null) => void] {
  const [seen, setSeen] = useState(false)
  const stop = useRef<(() => void) | null>(null)
  const watch = useCallback((element: Element | null) => {
    stop.current?.()
    stop.current = element && observe(element, () => setSeen(true))
  }, [])
  return [seen, watch]
}

function observe(element: Element, onSeen: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const observer = new IntersectionObserver(([entry]) => {
    clearTimeout(timer)
    if (entry?.isIntersecting) timer = setTimeout(onSeen, SEEN_AFTER_MS)
  })
  observer.observe(element)
  return () => {
    clearTimeout(timer)
    observer.disconnect()
  }
}

/**
 * `new` for 400 ms from the first time on, `changed` for 400 ms after `version` changed, then `steady`: a click that was
 * meant for what stood here before does nothing.
 */
export function useSteady(version: string): 'new' | 'changed' | 'steady' {
  const [steady, setSteady] = useState('')
  const [first] = useState(version)
  useEffect(() => {
    const timer = setTimeout(() => setSteady(version), STEADY_AFTER_MS)
    return () => clearTimeout(timer)
  }, [version])
  if (steady === version) return 'steady'
  return version === first ? 'new' : 'changed'
}
