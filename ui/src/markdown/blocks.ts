// Text that grows is lexed from its last settled block on, never from the start.
import { Lexer, type Token } from 'marked'
import remend from 'remend'

export interface Parsed {
  text: string
  settledTo: number
  settled: Token[]
  tail: Token[]
}

export const nothingParsed: Parsed = { text: '', settledTo: 0, settled: [], tail: [] }

const UNSETTLED_BLOCKS = 2 // a paragraph may still become a table, and a list may go on

/** Parse the text, reusing what `before` has settled of it. `open` text may still grow. */
export function parseMarkdown(before: Parsed, text: string, open: boolean): Parsed {
  if (!open) return { text, settledTo: text.length, settled: withoutSpace(lex(text)), tail: [] }
  const known = text.startsWith(before.text.slice(0, before.settledTo)) ? before : nothingParsed
  const rest = text.slice(known.settledTo)
  const blocks = lex(rest)
  const done = blocks.slice(0, Math.max(0, blocks.length - UNSETTLED_BLOCKS))
  const length = done.reduce((sum, block) => sum + block.raw.length, 0)
  return {
    text,
    settledTo: known.settledTo + length,
    settled: done.length > 0 ? [...known.settled, ...withoutSpace(done)] : known.settled,
    tail: withoutSpace(lex(remend(rest.slice(length)))),
  }
}

const lex = (text: string): Token[] => new Lexer({ gfm: true }).lex(text)
const withoutSpace = (blocks: Token[]): Token[] => blocks.filter((block) => block.type !== 'space')
