import { ChartNoAxesGantt, Pencil, RefreshCw } from 'lucide-react'
import type { Item, Run } from '../stream/state'
import { CopyButton } from '../ui/CopyButton'
import { IconButton } from '../ui/Button'
import { cost, count, duration } from '../words/format'
import { en } from '../words/en'
import css from './Timeline.module.css'

export interface AnswerActions {
  edit: (item: Item) => void
  editLast: (runId: string) => void
  retry: (runId: string) => void
  showTimeline: (runId: string) => void
}

/** The end of an answer: copy, ask again, edit and resend, timeline; what it cost. */
export function AnswerFoot({ run, texts, actions }: { run: Run; texts: readonly string[]; actions: AnswerActions }) {
  return (
    <div className={css.foot}>
      {texts.length > 0 && <CopyButton text={() => texts.join('\n\n')} label={en.chat.answer.copy} />}
      <IconButton label={en.chat.answer.retry} onClick={() => actions.retry(run.id)}>
        <RefreshCw size={14} aria-hidden />
      </IconButton>
      <IconButton label={en.chat.answer.edit} onClick={() => actions.editLast(run.id)}>
        <Pencil size={14} aria-hidden />
      </IconButton>
      <IconButton label={en.chat.answer.timeline} onClick={() => actions.showTimeline(run.id)}>
        <ChartNoAxesGantt size={15} aria-hidden />
      </IconButton>
      <span className={css.figures}>
        {run.phase === 'stopped' && <b>{en.chat.stopped}</b>}
        <Figures run={run} />
      </span>
    </div>
  )
}

/** Model, tokens, cost and times of a run, as far as they are known. */
export function Figures({ run }: { run: Run }) {
  return (
    <>
      {run.model && <span>{run.model}</span>}
      {run.tokens > 0 && <span>{en.chat.tokens(count(run.tokens))}</span>}
      {run.cost !== null && <span>{cost(run.cost)}</span>}
      {run.ttftMs !== null && <span>{en.chat.firstToken(duration(run.ttftMs))}</span>}
      {run.durationMs !== null && <span>{duration(run.durationMs)}</span>}
    </>
  )
}
