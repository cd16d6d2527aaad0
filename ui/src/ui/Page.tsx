import { useEffect, type ReactNode } from 'react'
import css from './Page.module.css'

interface Props {
  title: string
  /** One sentence below the title. */
  lead?: ReactNode
  /** Buttons at the end of the header. */
  actions?: ReactNode
  width?: 'narrow' | 'wide'
  children: ReactNode
}

/** The frame of every page but the chat: heading, actions, content. */
export function Page({ title, lead, actions, width = 'narrow', children }: Props) {
  useEffect(() => {
    document.documentElement.dataset['page'] = title
  }, [title])
  return (
    <main className={css.page} data-width={width} id="main">
      <header className={css.head}>
        <div>
          <h1>{title}</h1>
          {lead && <p>{lead}</p>}
        </div>
        {actions && <div className={css.actions}>{actions}</div>}
      </header>
      {children}
    </main>
  )
}

/** A titled part of a page. */
export function Section({ title, lead, children }: { title: string; lead?: ReactNode; children: ReactNode }) {
  return (
    <section className={css.section}>
      <h2>{title}</h2>
      {lead && <p className={css.lead}>{lead}</p>}
      {children}
    </section>
  )
}
