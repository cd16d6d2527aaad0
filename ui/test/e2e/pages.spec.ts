import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { axe, launch, open, overflows, setTheme, shoot, type Watched } from './browser'

/** Every page of routes.tsx, and the heading that shows that it is there. */
const PAGES: [string, string][] = [
  ['/', 'New conversation'],
  ['/approvals', 'Approvals'],
  ['/history', 'History'],
  ['/tools', 'Tools and policy'],
  ['/integrations', 'Integrations'],
  ['/team', 'Team'],
  ['/analytics', 'Analytics'],
  ['/audit', 'Audit'],
  ['/profile', 'Profile'],
  ['/first', 'Welcome'],
  ['/c/no-conversation', 'Nothing here'],
  ['/approvals/nonsense', 'Nothing here'],
]
const WIDTHS = [1360, 360]

let browser: Browser
let windows: Watched[]

beforeAll(async () => {
  browser = await launch()
  windows = await Promise.all(WIDTHS.map((width) => open(browser, inject('page'), { width })))
})
afterAll(() => browser.close())

test.each(PAGES)('%s is accessible, fits, and breaks no rule of the CSP, in light and dark, wide and narrow', async (path, heading) => {
  for (const { page, faults, quiet } of windows) {
    const name = `page${path.replaceAll('/', '-')}`
    await setTheme(page, 'light')
    await page.evaluate((to) => history.pushState(null, '', to), path)
    await page.getByRole('heading', { name: heading, level: 1 }).waitFor()
    await quiet()
    await shoot(page, `${name}-light-${page.viewportSize()?.width}`)
    expect(await axe(page)).toEqual([])
    expect(await overflows(page)).toEqual([])
    await setTheme(page, 'dark')
    await shoot(page, `${name}-dark-${page.viewportSize()?.width}`)
    expect(await axe(page, 'color-contrast')).toEqual([]) // a theme changes nothing but colours
    expect(faults).toEqual([])
  }
})
