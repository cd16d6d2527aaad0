import { Menu as MenuIcon, Plus, Search } from 'lucide-react'
import { Suspense, useEffect, useState, type ReactNode } from 'react'
import { Link, useLocation } from 'wouter'
import { preloadTimeline } from '../chat/Timeline'
import { preloadMarkdown } from '../markdown/LazyMarkdown'
import { routes } from '../routes'
import { hasRole, useSession } from '../session/session'
import { en } from '../words/en'
import { Conversations } from './Conversations'
import { deferred } from './deferred'
import { Dialog } from './Dialog'
import { SandboxStrip } from './SandboxStrip'
import css from './Shell.module.css'
import { useShortcuts } from './shortcuts'
import { usePageScroll } from './usePageScroll'
import { useWaiting } from './useWaiting'
import { useWide } from './useWide'
import { You } from './You'

const { Component: Palette, preload: preloadPalette } = deferred(() => import('./Palette'))
const { Component: KeyboardHelp } = deferred(() => import('./KeyboardHelp'))
const APPROVALS = '/approvals' // shown with its badge, and always in reach

/** The frame of every page for signed-in people: navigation, search, keys. */
export function Shell({ children }: { children: ReactNode }) {
  const [at, go] = useLocation()
  const [opened, setOpened] = useState<{ what: 'palette' | 'keyboard' | 'menu'; at: string } | null>(null)
  const waiting = useWaiting()
  const wide = useWide()
  const open = opened?.at === at ? opened.what : null // going elsewhere closes it
  const setOpen = (what: 'palette' | 'keyboard' | 'menu' | null) => setOpened(what && { what, at })

  const page = usePageScroll(wide && at.startsWith(APPROVALS) ? APPROVALS : at)

  usePreloading()
  useControlK(() => setOpen('palette'))
  useShortcuts({
    '?': () => setOpen('keyboard'),
    n: () => go('/'),
    'g c': () => go('/'),
    'g a': () => go('/approvals'),
    'g h': () => go('/history'),
  })

  return (
    <div className={css.shell}>
      <a className={css.skip} href="#main">
        {en.nav.skip}
      </a>
      <nav className={css.side} aria-label={en.nav.label}>
        <Brand />
        <Places waiting={waiting} onSearch={() => setOpen('palette')} />
        <Conversations />
        <div className={css.manage}>
          <RouteLinks place="manage" />
        </div>
        <You />
      </nav>
      <header className={css.bar}>
        <Brand />
        <Link href="/" aria-label={en.nav.newConversation} className={css.tool}>
          <Plus size={20} aria-hidden />
        </Link>
        <ApprovalsLink waiting={waiting} small />
        <button type="button" className={css.tool} aria-label={en.nav.search} onClick={() => setOpen('palette')}>
          <Search size={19} aria-hidden />
        </button>
        <button type="button" className={css.tool} aria-label={en.nav.menu} onClick={() => setOpen('menu')}>
          <MenuIcon size={20} aria-hidden />
        </button>
      </header>
      <div className={css.content}>
        <SandboxStrip />
        <div className={css.page} ref={page}>
          {children}
        </div>
      </div>
      {open === 'palette' && (
        <Suspense>
          <Palette onClose={() => setOpen(null)} />
        </Suspense>
      )}
      {open === 'keyboard' && (
        <Suspense>
          <KeyboardHelp onClose={() => setOpen(null)} />
        </Suspense>
      )}
      {open === 'menu' && (
        <Dialog title={en.nav.menu} shape="drawer" onClose={() => setOpen(null)}>
          <nav className={css.sheet} aria-label={en.nav.menu}>
            <div className={css.manage}>
              <RouteLinks place="top" />
              <RouteLinks place="manage" />
            </div>
            <Conversations />
            <You />
          </nav>
        </Dialog>
      )}
    </div>
  )
}

function Brand() {
  return (
    <Link href="/" className={css.brand} aria-label={en.nav.home}>
      <svg width="22" height="22" viewBox="0 0 20 20" aria-hidden>
        <path d="M3 14.5h9.2a3.3 3.3 0 0 0 .3-6.6A5 5 0 0 0 3.2 9" />
        <path d="M3 11.2h6" data-part="line" />
      </svg>
      <span>Skyflo</span>
    </Link>
  )
}

function Places({ waiting, onSearch }: { waiting: number; onSearch: () => void }) {
  const [at] = useLocation()
  return (
    <div className={css.places}>
      <Link href="/" className={css.place} aria-current={at === '/' ? 'page' : undefined}>
        <Plus size={16} aria-hidden />
        {en.nav.newConversation}
      </Link>
      <ApprovalsLink waiting={waiting} />
      <RouteLinks place="top" />
      <button type="button" className={css.place} onClick={onSearch}>
        <Search size={16} aria-hidden />
        {en.nav.search}
        <kbd>Ctrl K</kbd>
      </button>
    </div>
  )
}

function ApprovalsLink({ waiting, small = false }: { waiting: number; small?: boolean }) {
  const [at] = useLocation()
  const route = routes.find((candidate) => candidate.path === APPROVALS)
  if (!route?.nav) return null
  const { icon: Icon, label } = route.nav
  return (
    <Link
      href={route.path}
      className={small ? css.tool : css.place}
      aria-current={at.startsWith(route.path) ? 'page' : undefined}
    >
      <Icon size={small ? 20 : 16} aria-hidden />
      <span className={small ? 'visually-hidden' : undefined}>{label}</span>
      {waiting > 0 && (
        <b className={css.badge}>
          {waiting}
          <span className="visually-hidden"> {en.nav.waiting(waiting)}</span>
        </b>
      )}
    </Link>
  )
}

/** Links to the pages of one block of the navigation, as far as the person's role may see them. */
function RouteLinks({ place }: { place: 'top' | 'manage' }) {
  const [at] = useLocation()
  const { user } = useSession()
  const shown = routes.filter((route) => route.nav?.place === place && route.path !== APPROVALS)
  return shown.map(({ path, nav, role, preload }) =>
    nav && hasRole(user, role ?? 'viewer') ? (
      <Link
        key={path}
        href={path}
        className={css.place}
        aria-current={at.startsWith(path) ? 'page' : undefined}
        onPointerEnter={preload}
        onFocus={preload}
      >
        <nav.icon size={16} aria-hidden />
        {nav.label}
      </Link>
    ) : null,
  )
}

/** Load what is opened next, once the page is up: a conversation, the approvals, the palette. */
function usePreloading(): void {
  useEffect(() => {
    const load = () => {
      for (const preload of [preloadMarkdown, preloadTimeline, preloadPalette]) preload()
      routes.find(({ path }) => path === APPROVALS)?.preload()
    }
    if (!('requestIdleCallback' in globalThis)) return load()
    const wanted = requestIdleCallback(load, { timeout: 2000 })
    return () => cancelIdleCallback(wanted)
  }, [])
}

function useControlK(action: () => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.key !== 'k') return
      event.preventDefault()
      action()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  })
}
