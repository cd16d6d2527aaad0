import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from 'react'

const NEAR_PX = 60

/** Keep the box scrolled to its end while the reader is there; let go as soon as the reader scrolls up. */
export function useStickToEnd(box: RefObject<HTMLElement | null>, content: unknown) {
  const stuck = useRef(true)
  const [atEnd, setAtEnd] = useState(true)

  const toEnd = useCallback(() => {
    stuck.current = true
    setAtEnd(true)
    box.current?.scrollTo({ top: box.current.scrollHeight })
  }, [box])

  const onScroll = useCallback(() => {
    const element = box.current
    if (!element) return
    const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX
    if (near) stuck.current = true
    setAtEnd(near || stuck.current)
  }, [box])

  const letGo = useCallback(() => {
    stuck.current = false
  }, [])
  useLetGo(box, letGo)

  useLayoutEffect(() => {
    const element = box.current
    if (stuck.current && element && !holdsFocusedCard(element)) element.scrollTop = element.scrollHeight
    // oxlint-disable-next-line react/exhaustive-deps -- runs when the content changes
  }, [box, content])

  useEffect(() => keepAtEnd(box.current, stuck), [box])
  return { atEnd, toEnd, letGo, onScroll }
}

/** A wheel, a touch or a key upwards lets go at once. */
function useLetGo(box: RefObject<HTMLElement | null>, letGo: () => void): void {
  useEffect(() => {
    const element = box.current
    if (!element) return undefined
    const wheel = (event: WheelEvent) => event.deltaY < 0 && letGo()
    const key = (event: KeyboardEvent) => ['PageUp', 'ArrowUp', 'Home'].includes(event.key) && letGo()
    const listening = new AbortController()
    element.addEventListener('wheel', wheel, { passive: true, signal: listening.signal })
    element.addEventListener('touchmove', letGo, { passive: true, signal: listening.signal })
    element.addEventListener('keydown', key, { signal: listening.signal })
    return () => listening.abort()
  }, [box, letGo])
}

/** Rows grow after they are shown (code is coloured, fonts load): follow that too. */
function keepAtEnd(element: HTMLElement | null, stuck: RefObject<boolean>): (() => void) | undefined {
  const column = element?.firstElementChild
  if (!element || !column) return undefined
  const observer = new ResizeObserver(() => {
    if (stuck.current && !holdsFocusedCard(element)) element.scrollTop = element.scrollHeight
  })
  observer.observe(column)
  return () => observer.disconnect()
}

/** A card that a person is busy with is never scrolled away. */
const holdsFocusedCard = (element: HTMLElement): boolean =>
  element.contains(document.activeElement?.closest('[data-call]') ?? null)
