import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import { axe, launch, open, overflows, shoot, type Watched } from './browser'
import { approve, ask, card, deny, status } from './chat'

/** How far the device's clock is wrong: a card must show the engine's time. */
const WRONG_CLOCK_MS = 20 * 60_000

let browser: Browser
const opened: Watched[] = []

beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())
afterEach(async () => {
  const faults = opened.flatMap((one) => one.faults)
  await Promise.all(opened.splice(0).map((one) => one.context.close()))
  expect(faults).toEqual([])
})

async function start(path = '/', options: Parameters<typeof open>[2] = {}): Promise<Page> {
  const watched = await open(browser, inject('page') + path, options)
  opened.push(watched)
  return watched.page
}

test('a fault is found, mended by one approval, and verified', async () => {
  const page = await start()
  await page.getByRole('heading', { name: 'What is going on in your cluster?' }).waitFor()
  await shoot(page, 'welcome')
  await ask(page, 'fix checkout in shop')
  await card(page).getByRole('button', { name: 'Approve and run once' }).waitFor()
  await page.getByText(/^Read \d+ things$/).first().waitFor()
  expect(await card(page).locator('tr[data-kind=add]').innerText()).toContain('PAYMENTS_URL')
  await approve(page)
  await status(page, 'Done').waitFor()
  await page.getByText('Verified:').waitFor()
  await page.getByRole('button', { name: 'Copy the answer' }).waitFor()
  expect(new URL(page.url()).pathname).toMatch(/^\/c\//)
  await shoot(page, 'chat-light')
  expect(await axe(page)).toEqual([])

  await page.reload()
  await status(page, 'Done').waitFor()
  await page.getByText('Verified:').waitFor()
})

test('a change is denied with a reason that the agent reads', async () => {
  const page = await start()
  await ask(page, 'scale cart in shop to 5')
  await deny(page, 'not before the freeze ends')
  await status(page, 'Denied').waitFor()
  expect(await card(page).innerText()).toContain('Nothing was changed.')
  expect(await card(page).innerText()).toContain('not before the freeze ends')
})

test('edited arguments become a new proposal that takes the place of the old one', async () => {
  const page = await start()
  await ask(page, 'scale cart in shop to 6')
  await card(page).getByRole('button', { name: 'Edit arguments' }).click()
  const editor = page.getByLabel('Edit the arguments')
  await editor.fill((await editor.inputValue()).replace('6', '4'))
  await page.getByRole('button', { name: 'Propose this instead' }).click()
  await page.locator('[data-call]').first().getByText('Replaced', { exact: true }).waitFor()
  await page.getByRole('heading', { name: /to 4$/ }).waitFor()
})

test('the whole loop works with the keyboard alone', async () => {
  const page = await start()
  await page.getByRole('textbox', { name: 'Message' }).waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('restart cart in shop')
  await page.keyboard.press('Enter')
  await card(page).getByRole('button', { name: 'Approve and run once' }).waitFor()
  await page.keyboard.press('Tab') // out of the field, where single keys are text
  await page.keyboard.press('j')
  await page.locator('[data-action=approve][aria-disabled=false]').waitFor()
  await page.keyboard.press('a')
  await page.keyboard.press('Enter')
  await status(page, 'Done').waitFor()
  await page.keyboard.press('Control+k')
  await page.getByRole('combobox').fill('Approvals')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Approvals' }).waitFor()
})

test('Approve is not given the focus, and does nothing before the change was seen', async () => {
  const page = await start()
  await ask(page, 'scale cart in shop to 7')
  const button = card(page).getByRole('button', { name: 'Approve and run once' })
  await button.waitFor()
  expect(await page.evaluate(() => document.activeElement?.textContent)).not.toContain('Approve')
  const pressed = await button.evaluate((element: HTMLElement) => {
    const wasBlocked = element.getAttribute('aria-disabled')
    if (wasBlocked === 'true') element.click()
    return wasBlocked
  })
  if (pressed === 'true') expect(await card(page).getByText('Needs a decision').count()).toBe(1)
})

test('what is decided is the digest that was shown, and the engine refuses any other', async () => {
  const page = await start()
  await page.evaluate((ahead) => {
    const now = Date.now
    Date.now = () => now() + ahead
  }, WRONG_CLOCK_MS)
  await ask(page, 'scale catalog in shop to 4')
  await card(page).getByRole('button', { name: 'Approve and run once' }).waitFor()
  await page.waitForFunction(() => /(29|30) min left/.test(document.querySelector('[data-call]')?.textContent ?? ''))
  const shown = await card(page).locator('code[title*=digest]').getAttribute('title')
  let sent: { digest: string } | null = null
  await page.route('**/agent/approvals/*', async (route) => {
    if (route.request().method() !== 'POST' || sent) return route.fallback()
    sent = route.request().postDataJSON() as { digest: string }
    return route.continue({ postData: { ...sent, digest: '0'.repeat(sent.digest.length) } })
  })
  await approve(page)
  await card(page).getByRole('alert').waitFor()
  expect(shown).toContain((sent as { digest: string } | null)?.digest)
  await status(page, 'Needs a decision').waitFor()
  await approve(page)
  await status(page, 'Done').waitFor()
})

test('a message while a change waits asks before it withdraws it', async () => {
  const page = await start()
  await ask(page, 'scale cart in shop to 8')
  await card(page).getByRole('button', { name: 'Deny' }).waitFor()
  await ask(page, 'what is wrong in shop?')
  await page.getByRole('button', { name: 'Send and withdraw' }).click()
  await page.locator('[data-call]').first().getByText('Replaced', { exact: true }).waitFor()
})

test('on a phone, a change is read and approved without sideways scrolling', async () => {
  const page = await start('/', { width: 360, theme: 'dark' })
  await ask(page, 'scale cart in shop to 9')
  await card(page).getByRole('button', { name: 'Approve and run once' }).waitFor()
  expect(await overflows(page)).toEqual([])
  await shoot(page, 'chat-phone-dark')
  const button = await card(page).getByRole('button', { name: 'Approve and run once' }).boundingBox()
  expect(button?.height).toBeGreaterThanOrEqual(44)
  expect(await axe(page)).toEqual([])
  await approve(page)
  await status(page, 'Done').waitFor()
})
