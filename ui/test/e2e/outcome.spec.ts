// Changes that end without a decision, or without anybody seeing their end.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { axe, launch, open, shoot } from './browser'
import { ask, card, status } from './chat'
import { Cluster } from './cluster'
import { Engine } from './engine'
import { servePage, type ServedPage } from './page'

const QUICK = { RUN_LEASE_SECONDS: '2', RUN_SWEEP_SECONDS: '1' }

let browser: Browser
let cluster: Cluster
let engine: Engine
let served: ServedPage

beforeAll(async () => {
  cluster = await Cluster.start()
  ;[browser, engine] = await Promise.all([launch(), Engine.start({ ...cluster.settings, ...QUICK }), cluster.ready()])
  served = await servePage(engine)
})
afterAll(async () => {
  await browser.close()
  await served.close()
  await engine.stop()
  await cluster.stop()
})

async function propose(replicas: number): Promise<Page> {
  const { page } = await open(browser, served.url)
  await ask(page, `scale cart in shop to ${replicas}`)
  return page
}

test('a change that runs while the engine is killed ends as unknown, is looked up, and settled by a person', async () => {
  const page = await propose(4)
  const sent = cluster.nextChange()
  await card(page).locator('[data-action=approve][aria-disabled=false]').click()
  const change = await sent
  await status(page, 'Running').waitFor()
  await engine.kill()
  await page.getByText('Reconnecting… the run goes on').waitFor()
  change.release()
  await engine.run({ APPROVE_WITHIN_SECONDS: '5' }) // for the next test

  await status(page, 'Outcome unknown').waitFor()
  expect(await card(page).innerText()).toContain('It is never repeated.')
  await card(page).getByRole('button', { name: 'Find out what happened' }).click()
  await card(page).getByText('The objects look as the change would have left them.').waitFor()
  await shoot(page, 'card-unknown')
  expect(await axe(page)).toEqual([])
  expect(await card(page).getByRole('button', { name: 'It was applied', exact: true }).isDisabled()).toBe(true)
  await card(page).getByLabel('Reason').fill('kubectl shows 4 replicas')
  await card(page).getByRole('button', { name: 'It was applied', exact: true }).click()
  await status(page, 'Done').waitFor()
  expect(cluster.changes).toBe(1)
  const answer = await fetch(`${engine.url}/api/v1/agent/approvals/${await card(page).getAttribute('data-call')}`)
  const { history } = (await answer.json()) as { history: { what: string }[] }
  expect(history.map((entry) => entry.what)).toEqual(['requested', 'approved', 'started', 'applied'])
})

test('a change that nobody decides on expires before the eyes of the person, and never runs', async () => {
  const before = cluster.changes
  const page = await propose(5)
  await status(page, 'Expired').waitFor()
  expect(await card(page).getByRole('button', { name: /Approve/ }).count()).toBe(0)
  expect(await card(page).innerText()).toContain('Nothing was changed.')
  await card(page).getByRole('button', { name: 'Ask for a new proposal' }).click()
  expect(await page.getByRole('textbox', { name: 'Message' }).inputValue()).toContain('Scale deployment/cart')
  expect(cluster.changes).toBe(before)
})
