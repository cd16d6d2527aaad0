import { Keyboard, LogOut, Moon, Sun, SunMoon } from 'lucide-react'
import { useState } from 'react'
import { Link } from 'wouter'
import { client } from '../api/client'
import { useSession } from '../session/session'
import { en } from '../words/en'
import { IconButton } from './Button'
import { setTheme, storedTheme, type Theme } from './theme'
import css from './You.module.css'

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' }
const ICON = { system: SunMoon, light: Sun, dark: Moon }

/** Who is signed in, and the theme. */
export function You() {
  const { user, app } = useSession()
  const [theme, choose] = useState(storedTheme)
  const Icon = ICON[theme]
  if (!user) return null
  const name = user.full_name || (app?.local_mode ? en.nav.localAdmin : user.email)
  const switchTheme = () => {
    setTheme(NEXT[theme])
    choose(NEXT[theme])
  }
  return (
    <div className={css.you}>
      <Link href="/profile" className={css.name}>
        <b>{name}</b>
        <small>{user.role}</small>
      </Link>
      <IconButton
        label={en.keyboard.title}
        onClick={() => dispatchEvent(new KeyboardEvent('keydown', { key: '?', bubbles: true }))}
      >
        <Keyboard size={16} aria-hidden />
      </IconButton>
      <IconButton label={en.nav.theme(theme)} onClick={switchTheme}>
        <Icon size={16} aria-hidden />
      </IconButton>
      {!app?.local_mode && (
        <IconButton label={en.nav.signOut} onClick={() => void signOut()}>
          <LogOut size={16} aria-hidden />
        </IconButton>
      )}
    </div>
  )
}

async function signOut(): Promise<void> {
  await client.POST('/api/v1/auth/logout')
  location.assign('/sign-in')
}
