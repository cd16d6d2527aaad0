// The chosen theme. public/theme.js applies it before the first paint.

export type Theme = 'system' | 'light' | 'dark'
const KEY = 'skyflo.theme'
const systemIsDark = matchMedia('(prefers-color-scheme: dark)')

export function storedTheme(): Theme {
  const choice = localStorage.getItem(KEY)
  return choice === 'light' || choice === 'dark' ? choice : 'system'
}

export function setTheme(theme: Theme): void {
  if (theme === 'system') localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, theme)
  applyTheme()
}

/** Apply the stored theme, and follow the system while none is chosen. */
export function followTheme(): void {
  applyTheme()
  systemIsDark.addEventListener('change', applyTheme)
}

function applyTheme(): void {
  const theme = storedTheme()
  const dark = theme === 'dark' || (theme === 'system' && systemIsDark.matches)
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light'
}
