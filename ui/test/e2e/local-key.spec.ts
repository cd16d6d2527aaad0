// Local mode belongs to the account that runs the engine; other accounts of the machine need the key that it printed.
import { spawn, type ChildProcess } from 'node:child_process'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { axe, launch, open } from './browser'
import { freePort } from './engine'

/** Accounts that need not exist: what counts is who holds the connection. Only root can act as them. */
const [BEA, CARL] = [65_534, 65_533]
const isRoot = process.getuid?.() === 0

let browser: Browser
let bea: Account
let carl: Account

interface Account {
  address: string
  process: ChildProcess
}

beforeAll(async () => {
  if (!isRoot) return
  ;[browser, bea, carl] = await Promise.all([launch(), account(BEA), account(CARL)])
})
afterAll(async () => {
  bea?.process.kill()
  carl?.process.kill()
  await browser?.close()
})

/** A process of another account, through which a browser reaches the engine. */
async function account(uid: number): Promise<Account> {
  const port = await freePort()
  const engine = new URL(inject('engine'))
  const script = `
    const { connect, createServer } = require('node:net')
    const server = createServer((from) => {
      const to = connect(${engine.port}, '${engine.hostname}')
      for (const each of [from, to]) each.on('error', () => { from.destroy(); to.destroy() })
      from.pipe(to).pipe(from)
    })
    server.listen(${port}, '127.0.0.1', () => console.log('ready'))`
  const forwarder = spawn(process.execPath, ['-e', script], { uid, gid: uid, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => forwarder.stdout.once('data', resolve))
  return { address: `http://127.0.0.1:${port}`, process: forwarder }
}

const refusal = (page: Page) => page.getByRole('heading', { name: 'Another account runs this engine' })

test.runIf(isRoot)('another account is told where the key is, and when it is wrong, and comes in with the right one', async () => {
  const { page, context, faults } = await open(browser, `${bea.address}/approvals`)
  await refusal(page).waitFor()
  await page.getByText('It runs in local mode, for one account of this machine.').waitFor()
  expect(await axe(page)).toEqual([])

  await page.goto(`${bea.address}/approvals?key=${'0'.repeat(40)}`)
  await page.getByRole('alert').getByText('The key in the address is not the key of this engine.').waitFor()
  expect(page.url()).not.toContain('key')

  await page.goto(`${bea.address}/approvals?key=${inject('key')}`)
  await page.getByRole('heading', { name: 'Approvals' }).waitFor()
  expect(page.url()).toBe(`${bea.address}/approvals`)
  await page.reload()
  await page.getByRole('heading', { name: 'Approvals' }).waitFor()

  const [cookie] = await context.cookies()
  expect(cookie).toMatchObject({ name: 'local_key', httpOnly: true, sameSite: 'Strict' })
  expect(cookie?.value).not.toContain(inject('key'))
  await page.goto(carl.address) // the browser sends the same cookie: cookies know no ports
  await refusal(page).waitFor()
  expect(faults).toEqual([])
})
