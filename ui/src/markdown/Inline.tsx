import type { Token, Tokens } from 'marked'
import { Fragment, type ReactNode } from 'react'
import { visible } from '../ui/visible'
import css from './Markdown.module.css'

const SAFE_PROTOCOLS = new Set(['http:', 'https:', 'mailto:'])
const NO_BASE = 'relative:///'

export function Inline({ tokens = [] }: { tokens: Token[] | undefined }) {
  return tokens.map((token, index) => <Fragment key={index}>{render(token)}</Fragment>)
}

function render(token: Token): ReactNode {
  switch (token.type) {
    case 'strong':
      return (
        <strong>
          <Inline tokens={token.tokens} />
        </strong>
      )
    case 'em':
      return (
        <em>
          <Inline tokens={token.tokens} />
        </em>
      )
    case 'del':
      return (
        <del>
          <Inline tokens={token.tokens} />
        </del>
      )
    case 'codespan':
      return <code>{visible((token as Tokens.Codespan).text)}</code>
    case 'br':
      return <br />
    case 'link':
      return <Link token={token as Tokens.Link} />
    case 'image':
      return <span className={css.image}>[image not loaded: {(token as Tokens.Image).text || (token as Tokens.Image).href}]</span>
    case 'text':
    case 'escape':
      return 'tokens' in token && token.tokens ? <Inline tokens={token.tokens} /> : visible((token as Tokens.Text).text)
    default:
      return token.raw
  }
}

/** A link to a page of the web, in a new tab that learns nothing of this one. Any other link is only text. */
function Link({ token }: { token: Tokens.Link }) {
  if (!isSafe(token.href)) return <Inline tokens={token.tokens} />
  return (
    <a href={token.href} title={token.href} target="_blank" rel="noreferrer noopener nofollow">
      <Inline tokens={token.tokens} />
    </a>
  )
}

export function isSafe(href: string): boolean {
  return URL.canParse(href, NO_BASE) && SAFE_PROTOCOLS.has(new URL(href, NO_BASE).protocol)
}
