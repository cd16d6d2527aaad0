import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launch, open, PATIENCE_MS } from './browser'
import { approve, ask, card, deny, status } from './chat'
import { Engine } from './engine'
import { servePage, type ServedPage } from './page'

let browser: Browser
let engine: Engine
let served: ServedPage

beforeAll(async () => {
  ;[browser, engine] = await Promise.all([launch(), Engine.start()])
  served = await servePage(engine)
})
afterAll(async () => {
  await browser.close()
  await served.close()
  await engine.stop()
})

async function propose(request: string): Promise<Page> {
  const { page } = await open(browser, served.url)
  await ask(page, request)
  await status(page, 'Needs a decision').waitFor()
  return page
}

async function historyOf(page: Page): Promise<string[]> {
  const answer = await fetch(`${engine.url}/api/v1/agent/approvals/${await card(page).getAttribute('data-call')}`)
  const { history } = (await answer.json()) as { history: { what: string }[] }
  return history.map((entry) => entry.what)
}

test('cards outlive the engine: one is decided while it is down, one after its return', async () => {
  const [early, late] = await Promise.all([propose('scale cart in shop to 4'), propose('restart catalog in shop')])
  await engine.kill()
  await approve(early)
  await early.getByText('Reconnecting… the run goes on').waitFor()
  await engine.run()
  await status(early, 'Done').waitFor()
  expect(await historyOf(early)).toEqual(['requested', 'approved', 'started', 'succeeded'])
  await deny(late, 'not now')
  await status(late, 'Denied').waitFor()
})

test('a decision in one tab reaches the other one, which says so', async () => {
  const page = await propose('scale cart in shop to 5')
  const other = await open(browser, page.url())
  await status(other.page, 'Needs a decision').waitFor()
  await approve(page)
  await card(other.page).getByText(/^Decided elsewhere: .* approved this/).waitFor()
  await status(other.page, 'Done').waitFor()
  await other.page.getByRole('button', { name: 'Copy the answer' }).waitFor()
  expect(await card(page).getByText(/^Decided elsewhere/).count()).toBe(0)
})

test('a change whose object moved on is not run, and says so', async () => {
  const page = await propose('scale cart in shop to 6')
  const other = await open(browser, served.url)
  await ask(other.page, 'scale cart in shop to 2')
  await approve(other.page)
  await status(other.page, 'Done').waitFor()
  // The model may propose again at once: keep to the card that went stale.
  const stale = page.locator(`[data-call="${await card(page).getAttribute('data-call')}"]`)
  await stale.locator('[data-action=approve][aria-disabled=false]').click()
  await stale.getByText('Preview is stale', { exact: true }).waitFor()
  expect(await stale.innerText()).toContain('Nothing was changed.')
  await stale.getByRole('button', { name: 'Ask for a new proposal' }).click()
  expect(await page.getByRole('textbox', { name: 'Message' }).inputValue()).toContain('stale')
})

test('a page that is reloaded at every step shows the same conversation, and goes on with it', async () => {
  const page = await propose('scale cart in shop to 7')
  await page.reload()
  await status(page, 'Needs a decision').waitFor()
  await approve(page)
  await page.reload()
  await status(page, 'Done').waitFor()
  await page.getByRole('button', { name: 'Copy the answer' }).waitFor()
  const before = await formatted(page)
  await page.reload()
  await page.getByRole('button', { name: 'Copy the answer' }).waitFor()
  expect(await formatted(page)).toBe(before)
  expect(await historyOf(page)).toEqual(['requested', 'approved', 'started', 'succeeded'])
})

test('fifty changes wait in the inbox: the last one is reached and decided, and leaves it', async () => {
  await Promise.all(Array.from({ length: 50 }, (_, number) => post(`scale catalog in shop to ${number + 3}`)))
  const { page } = await open(browser, `${served.url}/approvals`)
  const rows = page.getByRole('list', { name: 'Changes' }).getByRole('link')
  await rows.nth(49).waitFor()
  await denyFirstUnasked(page)
  const last = await rows.nth(48).getAttribute('href')
  await rows.nth(48).click()
  await expect.poll(() => isInView(card(page)), { timeout: PATIENCE_MS }).toBe(true)
  await approve(page)
  await status(page, 'Done').waitFor()
  await page.locator(`a[href="${last}"]`).waitFor({ state: 'detached' })
  expect(await rows.count()).toBeGreaterThanOrEqual(48)
})

/** Deny the change that a wide inbox shows unasked: it leaves the list, and its outcome stays beside it. */
async function denyFirstUnasked(page: Page): Promise<void> {
  const first = await card(page).getAttribute('data-call')
  await deny(page, 'not now')
  await page.locator(`a[href="/approvals/${first}"]`).waitFor({ state: 'detached' })
  await status(page, 'Denied').waitFor()
  expect(await card(page).getAttribute('data-call')).toBe(first)
}

test('a change far down in the inbox of a phone is shown from its top', async () => {
  const { page } = await open(browser, `${served.url}/approvals`, { width: 360 })
  await page.getByRole('list', { name: 'Changes' }).getByRole('link').nth(40).click()
  await expect.poll(() => isInView(card(page)), { timeout: PATIENCE_MS }).toBe(true)
})

/** Whether the element's top can be seen without scrolling. */
const isInView = (element: Locator): Promise<boolean> =>
  element.evaluate((shown) => shown.getBoundingClientRect().top >= 0 && shown.getBoundingClientRect().top < innerHeight)

/** The conversation's text, once its Markdown is set. */
async function formatted(page: Page): Promise<string> {
  await page.getByRole('log').locator('code', { hasText: 'cart' }).last().waitFor()
  return page.getByRole('log').innerText()
}

async function post(text: string): Promise<void> {
  const answer = await fetch(`${engine.url}/api/v1/agent/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: text }] }),
  })
  expect(await answer.text()).toContain('tool.awaiting_approval')
}
