import { useMemo } from 'react'
import { engineNow } from '../stream/clock'
import type { Call, Conversation } from '../stream/state'
import { Dialog } from '../ui/Dialog'
import { visible } from '../ui/visible'
import { duration } from '../words/format'
import { en } from '../words/en'
import css from './RunTimeline.module.css'

interface Bar {
  id: string
  label: string
  kind: 'generation' | 'read' | 'change' | 'wait'
  from: number
  to: number
  target: string
}

const ROW = 26
const LABEL = 190
const WIDTH = 600

/** When the run did what: model calls, reads, changes, and the time that it waited for a person. */
export default function RunTimeline({ conversation, runId, onClose }: { conversation: Conversation; runId: string; onClose: () => void }) {
  const bars = useMemo(() => barsOf(conversation, runId), [conversation, runId])
  const start = Math.min(...bars.map((bar) => bar.from))
  const end = Math.max(...bars.map((bar) => bar.to))
  const scale = (at: number) => LABEL + ((at - start) / Math.max(1, end - start)) * (WIDTH - LABEL - 60)
  return (
    <Dialog title={en.chat.timeline.title} shape="drawer" onClose={onClose}>
      {bars.length === 0 ? (
        <p>{en.chat.timeline.empty}</p>
      ) : (
        <>
          <p className={css.total}>{en.chat.timeline.total(duration(end - start))}</p>
          <svg className={css.chart} viewBox={`0 0 ${WIDTH} ${bars.length * ROW}`} role="img" aria-label={en.chat.timeline.title}>
            {bars.map((bar, index) => (
              <g key={bar.id} data-kind={bar.kind}>
                <text x="0" y={index * ROW + 17}>
                  {short(bar.label)}
                </text>
                <rect
                  x={scale(bar.from)}
                  y={index * ROW + 6}
                  width={Math.max(3, scale(bar.to) - scale(bar.from))}
                  height={ROW - 12}
                  rx="3"
                />
                <text data-part="time" x={scale(bar.to) + 6} y={index * ROW + 17}>
                  {duration(bar.to - bar.from)}
                </text>
              </g>
            ))}
          </svg>
          <table className="visually-hidden">
            <tbody>
              {bars.map((bar) => (
                <tr key={bar.id}>
                  <th scope="row">{bar.label}</th>
                  <td>{duration(bar.to - bar.from)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </Dialog>
  )
}

const LONGEST_LABEL = 26
const short = (label: string): string => (label.length > LONGEST_LABEL ? `${label.slice(0, LONGEST_LABEL - 1)}…` : label)

function barsOf(conversation: Conversation, runId: string): Bar[] {
  const run = conversation.runs[runId]
  const calls = Object.values(conversation.calls).filter((call) => call.runId === runId)
  const generations = (run?.generations ?? []).map((one): Bar => ({
    id: one.id,
    label: en.chat.timeline.generation,
    kind: 'generation',
    from: one.startedAt,
    to: one.endedAt ?? engineNow(),
    target: one.id,
  }))
  return [...generations, ...calls.flatMap(barsOfCall)].toSorted((a, b) => a.from - b.from)
}

function barsOfCall(call: Call): Bar[] {
  const label = visible(call.approval?.preview?.summary ?? call.title)
  const kind = call.approval ? 'change' : 'read'
  const ran: Bar = { id: call.id, label, kind, from: call.startedAt, to: call.endedAt ?? engineNow(), target: call.id }
  const decidedAt = call.approval?.decidedAt
  if (!call.approval || !call.requestedAt) return [ran]
  const waited: Bar = { ...ran, id: `${call.id}:wait`, label: en.chat.timeline.waiting, kind: 'wait', from: call.requestedAt, to: decidedAt ?? call.endedAt ?? engineNow() }
  return decidedAt && call.status !== 'denied' ? [waited, ran] : [waited]
}
