// Takes the pictures of docs/pictures from an engine on a new sandbox: node scripts/pictures.mjs http://127.0.0.1:8080
import { chromium } from 'playwright-core'

const OUT = new URL('../../docs/pictures/', import.meta.url).pathname
const address = process.argv[2] ?? 'http://127.0.0.1:8080'
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
})

async function open(path, { width = 1360, height = 900, theme = 'light' } = {}) {
  const options = { viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce', hasTouch: width < 500 }
  const page = await (await browser.newContext(options)).newPage()
  page.setDefaultTimeout(120_000)
  await page.goto(address + path)
  return page
}

async function ask(page, text) {
  await page.getByRole('textbox', { name: 'Message' }).fill(text)
  await page.keyboard.press('Enter')
}

const ready = (page) => page.locator('[data-action=approve][aria-disabled=false]').first().waitFor()
const shoot = (page, name) => page.screenshot({ path: `${OUT}command-center-${name}.jpg`, quality: 82 })

const chat = await open('/')
await ask(chat, 'fix checkout in shop')
await ready(chat)
await shoot(chat, 'chat')

const other = await open('/')
await ask(other, 'delete deployment cart in shop')
await other.locator('[data-action=confirm]').waitFor()
await other.goto(`${address}/`)
await ask(other, 'scale catalog in shop to 4')
await ready(other)
const id = await other.locator('[data-call]').getAttribute('data-call')
const inbox = await open(`/approvals/${id}`, { theme: 'dark' })
await ready(inbox)
await shoot(inbox, 'inbox')

const phone = await open(`/approvals/${id}`, { width: 360, height: 780 })
await phone.locator('[data-action=edit]').scrollIntoViewIfNeeded()
await ready(phone)
await shoot(phone, 'phone')

await chat.locator('[data-action=approve]').click()
await chat.getByText('Verified:').waitFor()
await chat.getByRole('button', { name: 'Copy the answer' }).waitFor()
await chat.getByRole('button', { name: 'Timeline of the run' }).last().click()
await chat.getByRole('dialog').waitFor()
await shoot(chat, 'timeline')
await browser.close()
