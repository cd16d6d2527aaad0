import { lazy, Suspense } from 'react'
import { visible } from '../ui/visible'
import css from './Markdown.module.css'

const load = () => import('./Markdown')
const Markdown = lazy(load)

/** Fetch the parser ahead of the first text. */
export const preloadMarkdown = (): void => void load()

/** Markdown, shown as plain text until its parser is loaded. */
export function LazyMarkdown({ text, open }: { text: string; open: boolean }) {
  return (
    <Suspense fallback={<p className={css.plain}>{visible(text)}</p>}>
      <Markdown text={text} open={open} />
    </Suspense>
  )
}
