import {
  ChartLine,
  History as HistoryIcon,
  Inbox as InboxIcon,
  Plug,
  ScrollText,
  Users,
  Wrench,
  type LucideIcon,
} from 'lucide-react'
import type { ComponentType } from 'react'
import type { Role } from './session/session'
import { deferred } from './ui/deferred'

/** Matches the ids of the engine. An address without one belongs to no page. */
const ID = '[\\da-f]{8}(?:-[\\da-f]{4}){3}-[\\da-f]{12}'

/** One route for both, so that a new conversation keeps its page when it gets its address. */
export const CHAT_PATH = new RegExp(`^/(?:c/(?<id>${ID})/?)?$`, 'i')

const APPROVAL_PATH = new RegExp(`^/approvals/(?<callId>${ID})/?$`, 'i')

export interface AppRoute {
  path: string
  /** What of `path` belongs to the page, if not all of it does. */
  match?: RegExp
  page: ComponentType
  /** Load the page's file before it is visited. */
  preload: () => void
  /** The least role that sees the page in the navigation. The engine checks each request in any case. */
  role?: Role
  /** Shown without navigation, and without being signed in. */
  open?: boolean
  nav?: { label: string; icon: LucideIcon; place: 'top' | 'manage' }
}

const page = (load: () => Promise<{ default: ComponentType }>) => {
  const { Component, preload } = deferred(load)
  return { page: Component, preload }
}

const inbox = page(() => import('./pages/Inbox/Inbox'))

/** Every page but the chat, which is part of the first load. Each is a file of its own, loaded when it is needed. See README.md, "How to add a page". */
export const routes: AppRoute[] = [
  {
    path: '/approvals',
    ...inbox,
    nav: { label: 'Approvals', icon: InboxIcon, place: 'top' },
  },
  { path: '/approvals/:callId', match: APPROVAL_PATH, ...inbox },
  {
    path: '/history',
    ...page(() => import('./pages/History/History')),
    nav: { label: 'History', icon: HistoryIcon, place: 'top' },
  },
  {
    path: '/tools',
    ...page(() => import('./pages/Tools/Tools')),
    nav: { label: 'Tools and policy', icon: Wrench, place: 'manage' },
  },
  {
    path: '/integrations',
    role: 'admin',
    ...page(() => import('./pages/Integrations/Integrations')),
    nav: { label: 'Integrations', icon: Plug, place: 'manage' },
  },
  {
    path: '/team',
    role: 'admin',
    ...page(() => import('./pages/Team/Team')),
    nav: { label: 'Team', icon: Users, place: 'manage' },
  },
  {
    path: '/analytics',
    role: 'admin',
    ...page(() => import('./pages/Analytics/Analytics')),
    nav: { label: 'Analytics', icon: ChartLine, place: 'manage' },
  },
  {
    path: '/audit',
    role: 'admin',
    ...page(() => import('./pages/Audit/Audit')),
    nav: { label: 'Audit', icon: ScrollText, place: 'manage' },
  },
  { path: '/profile', ...page(() => import('./pages/Profile/Profile')) },
  { path: '/first', ...page(() => import('./pages/First/First')) },
  { path: '/sign-in', open: true, ...page(() => import('./pages/SignIn/SignIn')) },
  { path: '/register', open: true, ...page(() => import('./pages/SignIn/Register')) },
  { path: '/forgot-password', open: true, ...page(() => import('./pages/SignIn/ForgotPassword')) },
  { path: '/reset-password', open: true, ...page(() => import('./pages/SignIn/ResetPassword')) },
  { path: '/verify-email', open: true, ...page(() => import('./pages/SignIn/VerifyEmail')) },
]
