import { useEffect } from 'react'

const NAME = 'found'
const MOST = 500

/** Mark the query in the rows that are in the page. The text itself is not touched. */
export function useHighlights(query: string): void {
  useEffect(() => {
    const element = document.querySelector<HTMLElement>('[role=log]')
    if (!element || !query || !('highlights' in CSS)) return undefined
    let frame = 0
    const mark = () => {
      frame = 0
      CSS.highlights.set(NAME, new Highlight(...rangesOf(element, query)))
    }
    const observer = new MutationObserver(() => {
      frame ||= requestAnimationFrame(mark)
    })
    observer.observe(element, { childList: true, subtree: true, characterData: true })
    mark()
    return () => {
      observer.disconnect()
      cancelAnimationFrame(frame)
      CSS.highlights.delete(NAME)
    }
  }, [query])
}

function rangesOf(element: HTMLElement, query: string): Range[] {
  const ranges: Range[] = []
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node && ranges.length < MOST; node = walker.nextNode()) {
    const text = (node.nodeValue ?? '').toLowerCase()
    for (let at = text.indexOf(query); at >= 0 && ranges.length < MOST; at = text.indexOf(query, at + query.length)) {
      if (at + query.length > (node.nodeValue ?? '').length) break
      const range = new Range()
      range.setStart(node, at)
      range.setEnd(node, at + query.length)
      ranges.push(range)
    }
  }
  return ranges
}
