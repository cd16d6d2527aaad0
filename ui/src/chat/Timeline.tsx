import { ArrowDown } from 'lucide-react'
import { Suspense, useEffect, useMemo, useRef, useState, type ReactNode, type RefObject } from 'react'
import type { VirtualizerHandle } from 'virtua'
import type { CardActions } from '../cards/ApprovalCard'
import { FoundContext, type Found } from '../cards/found'
import type { Conversation } from '../stream/state'
import { Button } from '../ui/Button'
import { deferred } from '../ui/deferred'
import { en } from '../words/en'
import type { AnswerActions } from './AnswerFoot'
import { RowView } from './RowView'
import { mustStay, rowsOf, type Row } from './rows'
import css from './Timeline.module.css'
import { useStickToEnd } from './useStickToEnd'

const { Component: VirtualRows, preload } = deferred(() => import('./VirtualRows'))
const VIRTUAL_FROM_ROWS = 150
const READ_OLDER_FROM_PX = 800

/** Load what long conversations need, before they are there. */
export const preloadTimeline = preload

interface Props {
  conversation: Conversation
  actions: CardActions & AnswerActions
  hasOlder: boolean
  readOlder: () => void
  /** The row to show, when a search is open. */
  found: Found | null
  /** Shown behind the last row. */
  children?: ReactNode
  /** Shown above the rows, without moving them. */
  overlay?: ReactNode
}

/** The conversation, scrolled to its end while the reader is there. Long ones keep only the visible rows in the page. */
export function Timeline({ conversation, actions, hasOlder, readOlder, found, children, overlay }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const list = useRef<VirtualizerHandle>(null)
  const rows = useMemo(() => rowsOf(conversation), [conversation])
  const { atEnd, toEnd, letGo, onScroll } = useStickToEnd(box, conversation)
  const virtual = useVirtual(rows.length >= VIRTUAL_FROM_ROWS || hasOlder)
  const older = useRowsAbove(rows)
  useReadOlder(box, hasOlder, readOlder)
  useLinkedCard(rows, list)
  useShowFound(found, rows, list, letGo)
  const kept = useMemo(() => rows.flatMap((row, index) => (mustStay(row) || row.id === found?.row ? [index] : [])), [found, rows])

  const view = (row: Row) => (
    <div key={row.id} className={css.row} data-kind={row.kind} data-row={row.id} data-found={row.id === found?.row}>
      <RowView row={row} actions={actions} />
    </div>
  )
  return (
    <div className={css.frame}>
      <div ref={box} className={css.scroll} tabIndex={0} role="log" aria-label={en.chat.log} aria-live="off" onScroll={onScroll}>
        <div className={css.column}>
          <FoundContext value={found}>
            {virtual ? (
              <Suspense>
                <VirtualRows rows={rows} list={list} box={box} kept={kept} shift={older}>
                  {view}
                </VirtualRows>
              </Suspense>
            ) : (
              rows.map(view)
            )}
          </FoundContext>
          {children}
        </div>
      </div>
      {overlay}
      {!atEnd && (
        <div className={css.new}>
          <Button onClick={toEnd}>
            <ArrowDown size={15} aria-hidden />
            {en.chat.newBelow}
          </Button>
        </div>
      )}
    </div>
  )
}

/** Once only the visible rows are kept in the page, that stays so: a change would move what is read. */
function useVirtual(wanted: boolean): boolean {
  const [virtual, setVirtual] = useState(wanted)
  if (wanted && !virtual) setVirtual(true)
  return virtual || wanted
}

/** Whether rows were added above the first one since the last render: what is read then keeps its place. */
function useRowsAbove(rows: readonly Row[]): boolean {
  const [last, setLast] = useState({ rows, above: false })
  if (last.rows !== rows) {
    const before = last.rows[0]?.id
    const above = before !== undefined && rows[0]?.id !== before && rows.some((row) => row.id === before)
    setLast({ rows, above })
  }
  return last.above
}

/** Read older messages while the top of the conversation is near. */
function useReadOlder(box: RefObject<HTMLDivElement | null>, hasOlder: boolean, readOlder: () => void): void {
  useEffect(() => {
    const element = box.current
    const column = element?.firstElementChild
    if (!hasOlder || !element || !column) return undefined
    const look = () => {
      if (element.scrollTop < READ_OLDER_FROM_PX && column.querySelector('[data-row]')) readOlder()
    }
    const observer = new ResizeObserver(look)
    observer.observe(column)
    element.addEventListener('scroll', look, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener('scroll', look)
    }
  }, [box, hasOlder, readOlder])
}

/** Scroll to the row that a search found. */
function useShowFound(found: Found | null, rows: readonly Row[], list: RefObject<VirtualizerHandle | null>, letGo: () => void): void {
  const index = found ? rows.findIndex((row) => row.id === found.row) : -1
  useEffect(() => {
    if (!found || index < 0) return undefined
    letGo()
    list.current?.scrollToIndex(index, { align: 'center' })
    const frame = requestAnimationFrame(() => {
      const row = document.querySelector<HTMLElement>(`[data-row="${CSS.escape(found.row)}"]`)
      for (const folded of row?.querySelectorAll('details') ?? []) folded.open = true
      row?.scrollIntoView({ block: 'nearest' })
    })
    return () => cancelAnimationFrame(frame)
    // oxlint-disable-next-line react/exhaustive-deps -- rows that are read meanwhile move nothing
  }, [found?.row, letGo, list])
}

/** Scroll to the card that the address names, once it is there. */
function useLinkedCard(rows: readonly Row[], list: RefObject<VirtualizerHandle | null>): void {
  const done = useRef(false)
  const wanted = /^#call[=-]/.test(location.hash) ? location.hash.slice('#call='.length) : null
  const index = wanted === null ? -1 : rows.findIndex((row) => row.id === wanted)
  useEffect(() => {
    if (index < 0 || done.current) return
    done.current = true
    list.current?.scrollToIndex(index, { align: 'center' })
    requestAnimationFrame(() => {
      const card = document.querySelector<HTMLElement>(`[id="call-${location.hash.replace(/^#call[=-]/, '')}"]`)
      card?.scrollIntoView({ block: 'center' })
      card?.focus()
    })
  }, [index, list])
}
