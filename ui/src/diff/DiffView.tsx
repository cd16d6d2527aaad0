import { ChevronRight } from 'lucide-react'
import { memo, useMemo, useState } from 'react'
import { Button } from '../ui/Button'
import { plural } from '../words/format'
import css from './Diff.module.css'
import { nameOf, parseDiff, type DiffRow, type FileDiff } from './parse'

const FOLDED_ROWS = 400
const OPEN_FILES = 3
const ROW_WORD = { add: 'added', del: 'removed', same: undefined, gap: undefined } as const

interface Props {
  diff: string
  /** Called when the person has opened all that was folded. */
  onAllShown?: () => void
}

/** A diff by object: each one can be folded, long ones show their first 400 lines. */
export const DiffView = memo(function DiffView({ diff, onAllShown }: Props) {
  const files = useMemo(() => parseDiff(diff), [diff])
  const [open, setOpen] = useState(() => files.map(() => files.length <= OPEN_FILES))
  const [full, setFull] = useState(() => files.map((file) => file.rows.length <= FOLDED_ROWS))

  const change = (nextOpen: boolean[], nextFull: boolean[]) => {
    setOpen(nextOpen)
    setFull(nextFull)
    if (nextOpen.every(Boolean) && nextFull.every(Boolean)) onAllShown?.()
  }

  return (
    <div className={css.diff}>
      {files.length > OPEN_FILES && (
        <p className={css.all}>
          {plural(files.length, 'object')}
          <Button kind="link" onClick={() => change(files.map(() => !open.every(Boolean)), full)}>
            {open.every(Boolean) ? 'Fold all' : 'Open all'}
          </Button>
        </p>
      )}
      {files.map((file, index) => (
        <FileSection
          key={index}
          file={file}
          open={open[index] ?? true}
          full={full[index] ?? true}
          onToggle={() => change(open.with(index, !open[index]), full)}
          onFull={() => change(open, full.with(index, true))}
        />
      ))}
    </div>
  )
})

/** Whether the diff shows only a part at first. */
export function isFolded(diff: string): boolean {
  const files = parseDiff(diff)
  return files.length > OPEN_FILES || files.some((file) => file.rows.length > FOLDED_ROWS)
}

interface SectionProps {
  file: FileDiff
  open: boolean
  full: boolean
  onToggle: () => void
  onFull: () => void
}

function FileSection({ file, open, full, onToggle, onFull }: SectionProps) {
  const rows = full ? file.rows : file.rows.slice(0, FOLDED_ROWS)
  return (
    <div className={css.file}>
      <button type="button" className={css.head} aria-expanded={open} onClick={onToggle}>
        <ChevronRight size={14} className={css.chevron} aria-hidden />
        <span>{nameOf(file)}</span>
        <b data-kind="add">+{file.added}</b>
        <b data-kind="del">−{file.removed}</b>
      </button>
      {open && (
        <div className={css.rows} tabIndex={0} role="group" aria-label={`Lines of ${nameOf(file)}`}>
          <table>
            <tbody>
              {rows.map((row, index) => (
                <Row key={index} row={row} first={index === 0} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {open && !full && (
        <button type="button" className={css.more} onClick={onFull}>
          Show all {file.rows.length} lines
        </button>
      )}
    </div>
  )
}

function Row({ row, first }: { row: DiffRow; first: boolean }) {
  if (row.kind === 'gap') {
    return (
      <tr data-kind="gap">
        <td colSpan={3}>
          {first ? '' : '⋯ '}line {row.old} {row.text}
        </td>
      </tr>
    )
  }
  const word = ROW_WORD[row.kind]
  return (
    <tr data-kind={row.kind}>
      <td className={css.number}>{row.old}</td>
      <td className={css.number}>{row.now}</td>
      <td className={css.text}>
        {word && <span className="visually-hidden">{word}: </span>}
        <Marked row={row} />
      </td>
    </tr>
  )
}

function Marked({ row }: { row: DiffRow }) {
  if (!row.mark) return row.text
  const [start, end] = row.mark
  return (
    <>
      {row.text.slice(0, start)}
      <mark>{row.text.slice(start, end)}</mark>
      {row.text.slice(end)}
    </>
  )
}
