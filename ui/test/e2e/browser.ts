// Chromium on a page, watched for everything that must not happen: script errors and CSP violations.
import { mkdirSync } from 'node:fs'
import { violationsOf } from './axe'
import { chromium, type Browser, type BrowserContext, type Page, type Request } from 'playwright-core'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const SHOTS = new URL('../shots/', import.meta.url).pathname

/** A name of this machine that browsers do not trust without https, unlike localhost. */
export const PLAIN_HOST = 'skyflo.test'

/** How long to wait for what must come: a loaded machine is slow. */
export const PATIENCE_MS = 120_000

export type Theme = 'light' | 'dark'

export interface Watched {
  page: Page
  context: BrowserContext
  /** What went wrong in the page so far. */
  faults: string[]
  /** Wait until every request is answered, except streams, which have no end. */
  quiet: () => Promise<void>
}

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`, '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })

export async function open(browser: Browser, url: string, options: { width?: number; theme?: Theme } = {}): Promise<Watched> {
  const width = options.width ?? 1360
  const context = await browser.newContext({
    viewport: { width, height: width < 500 ? 780 : 900 },
    colorScheme: options.theme ?? 'light',
    hasTouch: width < 500,
    reducedMotion: 'reduce',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  context.setDefaultTimeout(PATIENCE_MS)
  const page = await context.newPage()
  const watched: Watched = { page, context, faults: [], quiet: watchRequests(page) }
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      // oxlint-disable-next-line no-console -- how the page tells the test
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  page.on('console', (message) => {
    if (message.text().startsWith('CSP: ')) watched.faults.push(message.text())
  })
  page.on('pageerror', (error) => watched.faults.push(error.message))
  await page.goto(url)
  return watched
}

function watchRequests(page: Page): () => Promise<void> {
  const unanswered = new Set<Request>()
  page.on('request', (request) => !request.url().endsWith('/events') && unanswered.add(request))
  page.on('requestfinished', (request) => unanswered.delete(request))
  page.on('requestfailed', (request) => unanswered.delete(request))
  const frames = () => page.evaluate(() => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))))
  return async () => {
    do await frames()
    while (unanswered.size > 0)
  }
}

/** Let the system, which the page follows, prefer this theme. */
export async function setTheme(page: Page, theme: Theme): Promise<void> {
  await page.emulateMedia({ colorScheme: theme })
  await page.waitForFunction((wanted) => document.documentElement.dataset['theme'] === wanted, theme)
}

export async function shoot(page: Page, name: string, fullPage = false): Promise<void> {
  mkdirSync(SHOTS, { recursive: true })
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage })
}

/** Violations of WCAG 2.0 to 2.2 AA and of best practice, in words; of some rules only, where those are named. */
export async function axe(page: Page, ...rules: string[]): Promise<string[]> {
  const results = await violationsOf(page, rules)
  return results.map(({ id, nodes }) => `${id}: ${nodes.join(', ')}`)
}

/** What is wider than its place: the page, or the content of its frame. A table scrolls sideways in its own frame. */
export const overflows = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const boxes = [document.documentElement, ...document.querySelectorAll('main, main > :not(.visually-hidden, [role=region][tabindex="0"]), [role=log], [role=log] > *')]
    return boxes
      .filter((box) => box.scrollWidth > box.clientWidth + 1 || box.getBoundingClientRect().right > innerWidth + 1)
      .map((box) => `${box.tagName} ${box.className}: ${box.scrollWidth} > ${box.clientWidth} of ${innerWidth}`)
  })
