import { Suspense } from 'react'
import { deferred } from '../ui/deferred'
import { visible } from '../ui/visible'
import css from './Markdown.module.css'

const { Component: Markdown, preload } = deferred(() => import('./Markdown'))

/** Fetch the parser ahead of the first text. */
export const preloadMarkdown = preload

/** Markdown, shown as plain text until its parser is loaded. */
export function LazyMarkdown({ text, open }: { text: string; open: boolean }) {
  return (
    <Suspense fallback={<p className={css.plain}>{visible(text)}</p>}>
      <Markdown text={text} open={open} />
    </Suspense>
  )
}
