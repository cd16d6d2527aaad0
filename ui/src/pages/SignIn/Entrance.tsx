import type { ReactNode } from 'react'
import css from './SignIn.module.css'

/** The frame of the pages for signed-out people: a narrow box in the middle. */
export function Entrance({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className={css.page} id="main">
      <div className={css.box}>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  )
}

export function InsecureWarning({ text }: { text: string }) {
  return window.isSecureContext ? null : <p className={css.warning}>{text}</p>
}

export function Links({ children }: { children: ReactNode }) {
  return <div className={css.links}>{children}</div>
}
