import { Command } from 'cmdk'
import { useEffect, useRef } from 'react'
import { useLocation } from 'wouter'
import { routes } from '../routes'
import { hasRole, useSession } from '../session/session'
import { en } from '../words/en'
import { useRecentConversations } from './Conversations'
import css from './Palette.module.css'
import { setTheme, type Theme } from './theme'

const THEMES: Theme[] = ['system', 'light', 'dark']

/** Ctrl K: go to a page or a conversation, or change the theme. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const [, go] = useLocation()
  const { user } = useSession()
  const { data } = useRecentConversations()
  const dialog = useRef<HTMLDialogElement>(null)

  useEffect(() => {
    const opener = document.activeElement
    const element = dialog.current
    element?.showModal()
    element?.querySelector('input')?.focus() // showModal alone focuses the root of cmdk
    return () => {
      element?.close()
      if (opener instanceof HTMLElement) opener.focus()
    }
  }, [])

  const run = (action: () => void) => () => {
    onClose()
    action()
  }

  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions, jsx-a11y/click-events-have-key-events -- a click on the backdrop; the keyboard has Esc
    <dialog
      ref={dialog}
      className={css.palette}
      aria-label={en.palette.title}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <Command label={en.palette.title}>
        <Command.Input placeholder={en.palette.placeholder} />
        <Command.List>
          <Command.Empty>{en.palette.empty}</Command.Empty>
          <Command.Group heading={en.palette.goTo}>
            <Command.Item onSelect={run(() => go('/'))}>{en.nav.newConversation}</Command.Item>
            {routes.map(({ path, nav, role }) =>
              nav && hasRole(user, role ?? 'viewer') ? (
                <Command.Item key={path} onSelect={run(() => go(path))}>
                  {nav.label}
                </Command.Item>
              ) : null,
            )}
          </Command.Group>
          <Command.Group heading={en.palette.conversations}>
            {data?.data.map((one) => (
              <Command.Item key={one.id} value={`${one.title} ${one.id}`} onSelect={run(() => go(`/c/${one.id}`))}>
                {one.title || en.nav.untitled}
              </Command.Item>
            ))}
          </Command.Group>
          <Command.Group heading={en.palette.theme}>
            {THEMES.map((theme) => (
              <Command.Item key={theme} onSelect={run(() => setTheme(theme))}>
                {en.palette[theme]}
              </Command.Item>
            ))}
          </Command.Group>
        </Command.List>
      </Command>
    </dialog>
  )
}
