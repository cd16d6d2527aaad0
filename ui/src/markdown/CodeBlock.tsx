import { memo, useEffect, useState, type ReactNode } from 'react'
import { CopyButton } from '../ui/CopyButton'
import { visible } from '../ui/visible'
import css from './Markdown.module.css'

type Highlight = (code: string, language: string) => ReactNode

let loaded: Highlight | null = null

export const CodeBlock = memo(function CodeBlock({ code, language }: { code: string; language: string }) {
  const highlight = useHighlight()
  const text = visible(code)
  return (
    <figure className={css.code}>
      <figcaption>
        <span>{language || 'text'}</span>
        <CopyButton text={code} label="Copy the code" />
      </figcaption>
      <pre tabIndex={0}>
        <code>{highlight ? highlight(text, language) : text}</code>
      </pre>
    </figure>
  )
})

/** The highlighter, loaded when the first code block is shown. */
function useHighlight(): Highlight | null {
  const [highlight, setHighlight] = useState<Highlight | null>(() => loaded)
  useEffect(() => {
    if (loaded) return
    void import('./highlight').then((module) => {
      loaded = module.highlight
      setHighlight(() => module.highlight)
    })
  }, [])
  return highlight
}
