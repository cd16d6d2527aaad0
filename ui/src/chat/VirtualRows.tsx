import type { ReactElement, RefObject } from 'react'
import { Virtualizer, type VirtualizerHandle } from 'virtua'
import type { Row } from './rows'

interface Props {
  rows: Row[]
  list: RefObject<VirtualizerHandle | null>
  box: RefObject<HTMLElement | null>
  kept: number[]
  /** Whether rows were added above: then what is read keeps its place. */
  shift: boolean
  children: (row: Row) => ReactElement
}

/** The rows that can be seen, and those that must stay in the page. */
export default function VirtualRows({ rows, list, box, kept, shift, children }: Props) {
  return (
    <Virtualizer ref={list} scrollRef={box} keepMounted={kept} shift={shift} data={rows}>
      {children}
    </Virtualizer>
  )
}
