// Tokens of `marked` as React elements. There is no HTML anywhere on this path.
import type { Token, Tokens } from 'marked'
import { CodeBlock } from './CodeBlock'
import { Inline } from './Inline'
import css from './Markdown.module.css'

export function Block({ token }: { token: Token }) {
  switch (token.type) {
    case 'paragraph':
      return (
        <p>
          <Inline tokens={token.tokens} />
        </p>
      )
    case 'heading':
      return <Heading token={token as Tokens.Heading} />
    case 'code':
      return <CodeBlock code={(token as Tokens.Code).text} language={(token as Tokens.Code).lang ?? ''} />
    case 'blockquote':
      return (
        <blockquote>
          <Blocks tokens={token.tokens} />
        </blockquote>
      )
    case 'hr':
      return <hr />
    case 'list':
      return <List token={token as Tokens.List} />
    case 'table':
      return <Table token={token as Tokens.Table} />
    case 'text':
      return token.tokens ? <Inline tokens={token.tokens} /> : (token as Tokens.Text).text
    case 'space':
    case 'def':
    case 'checkbox':
      return null
    default:
      return <p>{token.raw}</p> // raw HTML, among others: shown as text
  }
}

export function Blocks({ tokens = [] }: { tokens: Token[] | undefined }) {
  return tokens.map((token, index) => <Block key={index} token={token} />)
}

/** Headings of the model start below the headings of the page (h1) and of the cards (h2). */
function Heading({ token }: { token: Tokens.Heading }) {
  const level = Math.min(6, token.depth + 2) as 3 | 4 | 5 | 6
  const Tag = `h${level}` as const
  return (
    <Tag>
      <Inline tokens={token.tokens} />
    </Tag>
  )
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item, index) => (
    <li key={index} className={item.task ? css.task : undefined}>
      {item.task && <input type="checkbox" checked={item.checked === true} readOnly aria-label={item.text} />}
      <Blocks tokens={item.tokens} />
    </li>
  ))
  if (!token.ordered) return <ul>{items}</ul>
  return <ol {...(typeof token.start === 'number' && token.start !== 1 ? { start: token.start } : {})}>{items}</ol>
}

function Table({ token }: { token: Tokens.Table }) {
  return (
    <div className={css.table} tabIndex={0} role="group" aria-label="Table">
      <table>
        <thead>
          <tr>
            {token.header.map((cell, index) => (
              <th key={index} data-align={token.align[index]}>
                <Inline tokens={cell.tokens} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {token.rows.map((row, index) => (
            <tr key={index}>
              {row.map((cell, column) => (
                <td key={column} data-align={token.align[column]}>
                  <Inline tokens={cell.tokens} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
