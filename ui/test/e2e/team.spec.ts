// Server mode: people with accounts, sessions that end, and changes that one person alone may not decide on.
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { axe, launch, open, PLAIN_HOST, shoot } from './browser'
import { approve, ask, card, deny, status } from './chat'
import { Cluster } from './cluster'
import { Engine } from './engine'
import { servePage, type ServedPage } from './page'

const PASSWORD = 'a long enough password'
const POLICY = `rules:
  - name: scaling-needs-two
    decision: two_people
    verbs: [scale]
`

let browser: Browser
let cluster: Cluster
let engine: Engine
let served: ServedPage
let admin: Page

beforeAll(async () => {
  cluster = await Cluster.start()
  const settings = { LOCAL_MODE: 'false', JWT_SECRET: randomBytes(24).toString('hex'), ...cluster.settings }
  ;[browser, engine] = await Promise.all([launch(), Engine.start(settings), cluster.ready()])
  await writeFile(join(engine.folder, 'policy.yaml'), POLICY)
  served = await servePage(engine)
})
afterAll(async () => {
  await browser.close()
  await served.close()
  await engine.stop()
  await cluster.stop()
})

/** Send a request as the person of this page. */
const send = (page: Page, method: string, path: string, body: object): Promise<number> =>
  page.evaluate(
    async ([verb, to, json]) => {
      const headers = { 'content-type': 'application/json' }
      return (await fetch(`/api/v1${to}`, { method: verb, headers, body: json })).status
    },
    [method, path, JSON.stringify(body)] as const,
  )

async function fillSignIn(page: Page, name: string, password = PASSWORD): Promise<void> {
  await page.getByLabel('E-mail').fill(`${name}@example.org`)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}

/** Add a member, and sign in as that person in a browser of their own. */
async function signUp(name: string, role: string): Promise<Page> {
  const member = { email: `${name}@example.org`, password: PASSWORD, name, role }
  expect(await send(admin, 'POST', '/team/members', member)).toBe(201)
  const { page } = await open(browser, served.url)
  await fillSignIn(page, name)
  await page.getByRole('textbox', { name: 'Message' }).waitFor()
  return page
}

test('the first visitor makes the account of the admin, signs out, and signs in again', async () => {
  const opened = await open(browser, served.url)
  admin = opened.page
  await admin.getByRole('heading', { name: 'Welcome to Skyflo' }).waitFor()
  await shoot(admin, 'first-account')
  expect(await axe(admin)).toEqual([])
  await admin.getByLabel('Name').fill('Ana Lima')
  await admin.getByLabel('E-mail').fill('ana@example.org')
  await admin.getByLabel(/^Password/).fill(PASSWORD)
  await admin.getByRole('button', { name: 'Create the account' }).click()
  await admin.getByRole('textbox', { name: 'Message' }).waitFor()
  await admin.getByText('Ana Lima').waitFor()
  await admin.getByRole('button', { name: 'Sign out' }).click()
  await admin.getByRole('heading', { name: 'Sign in' }).waitFor()
  await shoot(admin, 'sign-in')
  expect(await axe(admin)).toEqual([])
  await fillSignIn(admin, 'ana', 'not the password at all')
  await admin.getByRole('alert').waitFor()
  await fillSignIn(admin, 'ana')
  await admin.getByRole('textbox', { name: 'Message' }).waitFor()
  expect(opened.faults).toEqual([])
})

test('a change that needs two people runs after the second one, and each sees the vote of the other', async () => {
  const mia = await signUp('mia', 'member')
  await ask(mia, 'scale cart in shop to 4')
  await approve(mia)
  await card(mia).getByText('You approved. One more approval is needed.').waitFor()
  await admin.goto(`${served.url}/approvals/${await card(mia).getAttribute('data-call')}`)
  await card(admin).getByText('1 of 2 approvals').waitFor()
  await card(admin).getByText('Approved by mia so far.').waitFor()
  await shoot(admin, 'card-two-people')
  await approve(admin)
  await status(admin, 'Done').waitFor()
  await status(mia, 'Done').waitFor()
  expect(await card(mia).innerText()).toContain('Ana Lima')
})

test('sign-in over plain http says that the browser keeps no session', async () => {
  const { page } = await open(browser, served.url.replace('127.0.0.1', PLAIN_HOST))
  await fillSignIn(page, 'ana')
  await page.getByRole('alert').getByText('Open the page over https').waitFor()
})

test('somebody who may not decide sees why, and who may, and copies the link for them', async () => {
  const ben = await signUp('ben', 'member')
  await ben.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined })) // as some browsers have it
  await ask(ben, 'delete deployment cart in shop')
  await card(ben).getByText(/These people may: .*Ana Lima/).waitFor()
  await shoot(ben, 'card-may-not')
  expect(await card(ben).getByRole('button', { name: /Approve/ }).count()).toBe(0)
  await card(ben).getByRole('button', { name: 'Copy the link' }).click()
  await ben.getByText(/^Link copied/).waitFor()
  await ben.getByRole('textbox', { name: 'Message' }).focus()
  await ben.keyboard.press('Control+v')
  const link = `/approvals/${await card(ben).getAttribute('data-call')}`
  expect(await ben.getByRole('textbox', { name: 'Message' }).inputValue()).toBe(new URL(link, ben.url()).href)
  await admin.goto(`${served.url}/approvals/${await card(ben).getAttribute('data-call')}`)
  await deny(admin, 'cart is in use')
  await status(ben, 'Denied').waitFor()
})

test('a session that ends asks to sign in over the page, and goes on with what was being written', async () => {
  const eva = await signUp('eva', 'member')
  await ask(eva, 'what is wrong in shop?')
  await eva.getByRole('button', { name: 'Copy the answer' }).waitFor()
  await eva.getByRole('textbox', { name: 'Message' }).fill('scale cart in')
  const elsewhere = await open(browser, served.url)
  await fillSignIn(elsewhere.page, 'eva')
  await elsewhere.page.getByRole('textbox', { name: 'Message' }).waitFor()
  const change = { current_password: PASSWORD, new_password: `${PASSWORD}, renewed` }
  expect(await send(elsewhere.page, 'PATCH', '/auth/users/me/password', change)).toBeLessThan(300)
  await eva.getByRole('heading', { name: 'Your session ended' }).waitFor()
  await shoot(eva, 'session-ended')
  await fillSignIn(eva, 'eva', change.new_password)
  await eva.getByRole('heading', { name: 'Your session ended' }).waitFor({ state: 'detached' })
  expect(await eva.getByRole('textbox', { name: 'Message' }).inputValue()).toBe('scale cart in')
  await ask(eva, 'scale cart in shop to 3')
  await status(eva, 'Needs a decision').waitFor()
})
