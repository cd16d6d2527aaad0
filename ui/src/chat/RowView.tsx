import { ChevronRight, CircleAlert, RotateCw } from 'lucide-react'
import { memo } from 'react'
import { ApprovalCard, type CardActions } from '../cards/ApprovalCard'
import { ReadGroup } from '../cards/ToolCard'
import { LazyMarkdown } from '../markdown/LazyMarkdown'
import type { Item } from '../stream/state'
import { visible } from '../ui/visible'
import { duration } from '../words/format'
import { en } from '../words/en'
import { AnswerFoot, type AnswerActions } from './AnswerFoot'
import css from './Timeline.module.css'
import type { Row } from './rows'

interface Props {
  row: Row
  actions: CardActions & AnswerActions
}

export const RowView = memo(
  function RowView({ row, actions }: Props) {
    switch (row.kind) {
      case 'user':
        return <UserMessage item={row} onEdit={actions.edit} />
      case 'text':
        return <Text item={row} />
      case 'thinking':
        return <Thinking item={row} />
      case 'reads':
        return <ReadGroup id={row.id} calls={row.calls} />
      case 'change':
        return <ApprovalCard call={row.call} actions={actions} />
      case 'summary':
        return <Summary item={row} />
      case 'note':
        return <Note item={row} />
      case 'foot':
        return <AnswerFoot run={row.run} texts={row.texts} actions={actions} />
    }
  },
  (before, after) => before.actions === after.actions && sameRow(before.row, after.row),
)

/** Rows of groups and feet are made anew each time: they are the same when what they show is. */
function sameRow(before: Row, after: Row): boolean {
  if (before.kind === 'change' && after.kind === 'change') return before.call === after.call
  if (before.kind === 'foot' && after.kind === 'foot') return before.run === after.run && sameTexts(before.texts, after.texts)
  if (before.kind === 'reads' && after.kind === 'reads') {
    return before.calls.length === after.calls.length && before.calls.every((call, at) => call === after.calls[at])
  }
  return before === after
}

const sameTexts = (before: readonly string[], after: readonly string[]): boolean =>
  before.length === after.length && before.every((text, at) => text === after[at])

type Of<K extends Item['kind']> = Extract<Item, { kind: K }>

function UserMessage({ item, onEdit }: { item: Of<'user'>; onEdit: (item: Item) => void }) {
  return (
    <div className={css.user}>
      <p>
        <span className="visually-hidden">{en.chat.youAsked}</span>
        {visible(item.text)}
      </p>
      <button type="button" onClick={() => onEdit(item)}>
        {en.chat.answer.edit}
      </button>
    </div>
  )
}

function Text({ item }: { item: Of<'text'> }) {
  return (
    <>
      <LazyMarkdown text={item.text} open={item.open} />
      {item.finish && <p className={css.cut}>{en.chat.cut(item.finish)}</p>}
    </>
  )
}

function Thinking({ item }: { item: Of<'thinking'> }) {
  return (
    <details className={css.thinking}>
      <summary>
        <ChevronRight size={14} aria-hidden />
        {item.open ? en.chat.thinking : en.chat.thoughtFor(duration(item.ms ?? 0))}
      </summary>
      <p>{visible(item.text)}</p>
    </details>
  )
}

function Summary({ item }: { item: Of<'summary'> }) {
  return (
    <details className={css.thinking}>
      <summary>
        <ChevronRight size={14} aria-hidden />
        {en.chat.summarised(item.messages)}
      </summary>
      <p>{visible(item.text)}</p>
    </details>
  )
}

function Note({ item }: { item: Of<'note'> }) {
  const Icon = item.tone === 'danger' ? CircleAlert : RotateCw
  return (
    <p className={css.note} data-tone={item.tone} role={item.tone === 'danger' ? 'alert' : 'status'}>
      <Icon size={16} aria-hidden />
      <span>
        {visible(item.text)} {item.code && <code>{item.code}</code>}
      </span>
    </p>
  )
}
