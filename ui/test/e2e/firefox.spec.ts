// The whole loop in Firefox, which has its own CSP, Trusted Types, streams and layout. Chromium has all the other tests.
import { existsSync } from 'node:fs'
import { launch, type Browser, type Page } from 'puppeteer-core'
import { afterAll, expect, inject, test } from 'vitest'
import { PATIENCE_MS } from './browser'

const FIREFOX = process.env['FIREFOX'] ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync) ?? ''
const hasFirefox = existsSync(FIREFOX)
if (!hasFirefox && process.env['CI'] === 'true') throw new Error('CI needs Firefox: apt-get install firefox-esr')

let browser: Browser | undefined
afterAll(() => browser?.close())

async function start(): Promise<{ page: Page; faults: string[] }> {
  browser = await launch({ browser: 'firefox', executablePath: FIREFOX, timeout: PATIENCE_MS, protocolTimeout: 180_000 })
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const faults: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(String(error)))
  await page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      // oxlint-disable-next-line no-console -- how the page tells the test
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  await page.goto(inject('page'))
  return { page, faults }
}

test.runIf(hasFirefox)('a change is asked for, read, approved and verified in Firefox', async () => {
  const { page, faults } = await start()
  await page.locator('textarea').fill('set GREETING=hello in mailer-config in shop')
  await page.keyboard.press('Enter')
  await page.locator('::-p-text(Needs a decision)').wait()
  const added = await page.locator('tr[data-kind=add]').waitHandle()
  expect(await added.evaluate((row) => row.textContent)).toContain('GREETING: hello')
  await page.locator('[data-action=approve][aria-disabled=false]').click()
  await page.locator('[data-call][data-status=completed]').wait()
  await page.locator('::-p-text(Verified:)').wait()
  await page.locator('[aria-label="Copy the answer"]').click()
  await page.locator('[aria-label="Copied"]').wait()
  await page.reload()
  await page.locator('::-p-text(Verified:)').wait()
  expect(faults).toEqual([])
})
