import { useLayoutEffect, useRef, type RefObject } from 'react'

/** Show each place from its top. Give the returned ref to the box that scrolls. */
export function usePageScroll(place: string): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null)
  const shown = useRef(place)
  useLayoutEffect(() => {
    if (shown.current === place) return
    shown.current = place
    box.current?.scrollTo({ top: 0 })
  }, [place])
  return box
}
