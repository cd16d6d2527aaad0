// The engine's unified diff, read into rows. Characters that hide or reorder text are made visible, never dropped.
import { visible } from '../ui/visible'

export interface DiffRow {
  kind: 'same' | 'add' | 'del' | 'gap'
  old?: number
  now?: number
  text: string
  /** The part of the line that differs from its counterpart. */
  mark?: [number, number]
}

export interface FileDiff {
  from: string
  to: string
  rows: DiffRow[]
  added: number
  removed: number
}

const HUNK = /^@@ -(\d{1,9})(?:,\d{1,9})? \+(\d{1,9})(?:,\d{1,9})? @@(.*)$/

export function parseDiff(diff: string): FileDiff[] {
  const files: FileDiff[] = []
  let at = { old: 0, now: 0 }
  for (const line of diff.split('\n')) {
    const file = files.at(-1)
    const hunk = HUNK.exec(line)
    if (line.startsWith('--- ') && (!file || file.rows.length > 0 || file.to !== '')) {
      files.push({ from: visible(line.slice(4)), to: '', rows: [], added: 0, removed: 0 })
    } else if (!file) {
      continue
    } else if (line.startsWith('+++ ') && file.rows.length === 0) {
      file.to = visible(line.slice(4))
    } else if (hunk) {
      at = { old: Number(hunk[1]), now: Number(hunk[2]) }
      file.rows.push({ kind: 'gap', text: visible(hunk[3]?.trim() ?? ''), ...at })
    } else {
      addRow(file, line, at)
    }
  }
  for (const file of files) markPairs(file.rows)
  return files
}

function addRow(file: FileDiff, line: string, at: { old: number; now: number }): void {
  const text = visible(line.slice(1))
  if (line[0] === '+') {
    file.rows.push({ kind: 'add', now: at.now++, text })
    file.added++
  } else if (line[0] === '-') {
    file.rows.push({ kind: 'del', old: at.old++, text })
    file.removed++
  } else if (line[0] === ' ') {
    file.rows.push({ kind: 'same', old: at.old++, now: at.now++, text })
  }
}

/** Mark what differs where n removed lines are followed by n added ones. */
function markPairs(rows: DiffRow[]): void {
  for (let start = 0; start < rows.length; start++) {
    if (rows[start]?.kind !== 'del') continue
    const added = endOf(rows, start, 'del')
    const end = endOf(rows, added, 'add')
    if (added - start === end - added) {
      for (let line = 0; line < added - start; line++) markPair(rows[start + line], rows[added + line])
    }
    start = end - 1
  }
}

function endOf(rows: DiffRow[], from: number, kind: DiffRow['kind']): number {
  let end = from
  while (rows[end]?.kind === kind) end++
  return end
}

function markPair(removed: DiffRow | undefined, added: DiffRow | undefined): void {
  if (!removed || !added) return
  const [a, b] = [removed.text, added.text]
  const most = Math.min(a.length, b.length)
  let start = 0
  while (start < most && a[start] === b[start]) start++
  let end = 0
  while (end < most - start && a.at(-1 - end) === b.at(-1 - end)) end++
  if (start + end === 0) return
  removed.mark = [start, a.length - end]
  added.mark = [start, b.length - end]
}

const DELETED = new Set(['/dev/null', '(deleted)'])

const plain = (name: string): string => name.replace(/ \((?:after|live)\)$/, '')

/** "deployment/cart in shop", with what happens to it when it is not changed but made or deleted. */
export function nameOf(file: FileDiff): string {
  if (DELETED.has(file.to) || file.to.endsWith('(deleted)')) return `${plain(file.from)} → deleted`
  if (file.from === '/dev/null') return `${plain(file.to)} → new`
  return plain(file.to)
}
