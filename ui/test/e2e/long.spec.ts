// Conversations that are too long to be in the page as a whole.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Browser, Page, Route } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { axe, launch, open, shoot } from './browser'
import { PYTHON, ROOT } from './guarded'

const RUNS = 60
const TURNS = 5 // the last run is read from its events, which the script does not write

let browser: Browser
let address: string

beforeAll(async () => {
  const database = join(inject('folder'), 'skyflo.sqlite3')
  const script = ['-m', 'tests.support.long_conversation', database, String(RUNS), String(TURNS)]
  const [opened, seeded] = await Promise.all([launch(), promisify(execFile)(PYTHON, script, { cwd: join(ROOT, 'engine') })])
  browser = opened
  address = `${inject('page')}/c/${seeded.stdout.trim()}`
})
afterAll(() => browser.close())

test('reads older messages above what is read, which keeps its place', async () => {
  const { page, faults } = await open(browser, address)
  await page.getByText(`VARIABLE_${RUNS - 2}_${TURNS}`).waitFor()
  const asked = new Promise<Route>((resolve) => {
    void page.route('**/conversations/*before=*', resolve, { times: 1 })
  })
  const log = page.getByRole('log')
  await log.hover()
  while (await log.evaluate((box) => box.scrollTop > 600)) await page.mouse.wheel(0, -400)
  const older = await asked
  await settled(page)
  const before = await topRow(page)
  await older.continue()
  await page.waitForFunction((height) => (document.querySelector('[role=log]')?.scrollHeight ?? 0) > height, before.height)
  await settled(page)
  expect(Math.abs((await topOf(page, before.row)) - before.top)).toBeLessThan(2)
  expect(faults).toEqual([])
})

/** The first row that is in view as a whole, and where it is. */
const topRow = (page: Page) =>
  page.evaluate(() => {
    const box = document.querySelector('[role=log]')
    const edge = box?.getBoundingClientRect().top ?? 0
    const row = [...document.querySelectorAll<HTMLElement>('[data-row]')].find((each) => each.getBoundingClientRect().top >= edge)
    return { row: row?.dataset['row'] ?? '', top: row?.getBoundingClientRect().top ?? 0, height: box?.scrollHeight ?? 0 }
  })

const topOf = (page: Page, row: string): Promise<number> =>
  page.locator(`[data-row="${row}"]`).evaluate((element) => element.getBoundingClientRect().top)

/** Wait until ten frames in a row left height and place as they were: rows are measured when they are shown, and wheels arrive late. */
const settled = (page: Page) =>
  page.evaluate(
    () =>
      new Promise<void>((done) => {
        let [same, last] = [0, '']
        const look = () => {
          const box = document.querySelector('[role=log]')
          const now = `${box?.scrollHeight} ${box?.scrollTop}`
          same = now === last ? same + 1 : 0
          last = now
          if (same < 10) requestAnimationFrame(look)
          else done()
        }
        look()
      }),
  )

test('is searched as a whole, also in what is folded or was not read yet', async () => {
  const { page } = await open(browser, address)
  await page.getByText(`VARIABLE_${RUNS - 2}_${TURNS}`).waitFor()
  await page.keyboard.press('Control+f')
  await page.getByRole('searchbox', { name: 'Search in this conversation' }).fill('end of log 1-2')
  await page.getByText('1 of 1', { exact: true }).waitFor()
  await page.getByText('end of log 1-2').waitFor()
  await page.getByRole('searchbox', { name: 'Search in this conversation' }).fill('variable_3_')
  await page.getByText(`${TURNS} of ${TURNS}`, { exact: true }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByText(`1 of ${TURNS}`, { exact: true }).waitFor()
  await page.getByText('VARIABLE_3_1').waitFor()
  await shoot(page, 'chat-search')
  expect(await axe(page)).toEqual([])
  await page.keyboard.press('Escape')
  expect(await page.getByRole('searchbox').count()).toBe(0)
})
