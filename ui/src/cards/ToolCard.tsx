import { ChevronRight, CircleAlert, CircleCheck, LoaderCircle } from 'lucide-react'
import { memo, useState } from 'react'
import { isOpen, type Call } from '../stream/state'
import { visible } from '../ui/visible'
import { duration } from '../words/format'
import { en } from '../words/en'
import { useOpenWhenFound } from './found'
import { textOf } from './resultText'
import { ResultView } from './ResultView'
import { StatusPill } from './StatusPill'
import css from './ToolCard.module.css'

/** Reads that follow each other are one line until somebody wants to see them. */
export const ReadGroup = memo(
  function ReadGroup({ id, calls }: { id: string; calls: Call[] }) {
    const [open, setOpen] = useState(false)
    useOpenWhenFound(id, () => calls.map(briefOf).join() + calls.map(textOf).join(), () => setOpen(true))
    const busy = calls.filter(isOpen).length
    const failed = calls.filter((call) => call.status === 'error').length
    return (
      <div className={css.group}>
        <button type="button" className={css.line} aria-expanded={open} onClick={() => setOpen(!open)}>
          <ChevronRight size={15} className={css.chevron} aria-hidden />
          <GroupIcon busy={busy > 0} failed={failed > 0} />
          <b>{busy > 0 ? en.chat.reading(calls.length - busy + 1, calls.length) : en.chat.read(calls.length)}</b>
          <span className={css.targets}>{targetsOf(calls)}</span>
          <span className={css.time}>
            {busy > 0 ? '' : tookOf(calls)}
            {failed > 0 ? ` · ${en.chat.failed(failed)}` : ''}
          </span>
        </button>
        {open && calls.map((call) => <ToolCard key={call.id} row={id} call={call} />)}
      </div>
    )
  },
  (before, after) =>
    before.calls.length === after.calls.length && before.calls.every((call, index) => call === after.calls[index]),
)

function GroupIcon({ busy, failed }: { busy: boolean; failed: boolean }) {
  if (busy) return <LoaderCircle size={14} className={css.spin} aria-hidden />
  if (failed) return <CircleAlert size={14} className={css.bad} aria-hidden />
  return <CircleCheck size={14} className={css.good} aria-hidden />
}

function targetsOf(calls: Call[]): string {
  const targets = calls.map(({ args, title }) => {
    const name = args['name'] ?? args['pod']
    return [args['kind'], name].filter((part) => typeof part === 'string').join('/') || title
  })
  return visible([...new Set(targets)].slice(0, 6).join(', '))
}

function tookOf(calls: Call[]): string {
  const ended = calls.flatMap((call) => (call.endedAt ? [call.endedAt] : []))
  if (ended.length === 0) return ''
  const took = Math.max(...ended) - Math.min(...calls.map((call) => call.startedAt))
  return took > 0 ? duration(took) : ''
}

/** One call: state, arguments, time; opened, its result. */
export const ToolCard = memo(function ToolCard({ row, call }: { row?: string; call: Call }) {
  const [open, setOpen] = useState(false)
  useOpenWhenFound(row ?? call.id, () => textOf(call), () => setOpen(true))
  const took = call.endedAt ? call.endedAt - call.startedAt : 0
  return (
    <div className={css.tool} data-status={call.status}>
      <button type="button" className={css.line} aria-expanded={open} onClick={() => setOpen(!open)}>
        <ChevronRight size={15} className={css.chevron} aria-hidden />
        <StatusPill status={call.status} />
        <span className={css.title}>{call.title}</span>
        <code className={css.args}>{visible(briefOf(call))}</code>
        <span className={css.time}>{call.progress ?? (took > 0 ? duration(took) : '')}</span>
      </button>
      {open && (
        <div className={css.body}>
          <code className={css.full}>
            {call.tool} {visible(briefOf(call))}
          </code>
          <ResultView call={call} />
        </div>
      )}
    </div>
  )
})

/** The arguments of a call on one line. */
export const briefOf = (call: Call): string =>
  Object.entries(call.args)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')
