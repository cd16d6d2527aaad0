// Measures what docs/command-center.md says about speed, in Chromium, on a page that an engine serves. Prints JSON.
//   node scripts/figures.mjs http://127.0.0.1:8080 CONVERSATION_ID
// CONVERSATION_ID: what `python -m tests.support.long_conversation` (in engine/) wrote into that engine's database.
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { chromium } from 'playwright-core'

const TOKENS_PER_SECOND = 50
const STREAM_SECONDS = 20
const SCROLLED_FRAMES = 180
const RUN = '00000000-0000-4000-8000-000000000001'
const CONVERSATION = '00000000-0000-4000-8000-000000000002'
const DIST = new URL('../dist/', import.meta.url).pathname
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.html': 'text/html', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' }

const [address, conversation] = process.argv.slice(2)
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
})

/** The time until the last answer can be read, from the click on the conversation; and how evenly it scrolls. */
async function measureLong() {
  const page = await browser.newPage({ viewport: { width: 1360, height: 900 } })
  await page.goto(`${address}/history`)
  await page.locator(`a[href$="${conversation}"]`).first().waitFor()
  // What the page loads when it is idle is there before a person can click.
  await page.waitForFunction(
    (names) => names.every((name) => performance.getEntriesByType('resource').some((entry) => entry.name.includes(name))),
    ['/Markdown', '/VirtualRows'],
  )
  const opened = await page.evaluate(
    (id) =>
      new Promise((done) => {
        const began = performance.now()
        // Markdown that was read and laid out, then the frame that paints it.
        const look = () => {
          const isShown = document.querySelector('[data-kind=text] strong')
          requestAnimationFrame(isShown ? () => done(performance.now() - began) : look)
        }
        document.querySelector(`a[href$="${id}"]`).click()
        look()
      }),
    conversation,
  )
  await page.keyboard.press('Control+f') // a search reads all older messages
  await page.getByRole('searchbox').fill('nothing like this')
  await page.getByText('No match').waitFor({ timeout: 120_000 })
  await page.keyboard.press('Escape')
  const frames = await page.evaluate(
    (count) =>
      new Promise((done) => {
        const box = document.querySelector('[role=log]')
        const step = box.scrollHeight / count
        box.scrollTop = 0
        const times = []
        let last = performance.now()
        const next = () => {
          const now = performance.now()
          times.push(now - last)
          last = now
          box.scrollTop += step
          if (times.length < count) requestAnimationFrame(next)
          else done(times.toSorted((a, b) => a - b))
        }
        requestAnimationFrame(next)
      }),
    SCROLLED_FRAMES,
  )
  const rowsInPage = await page.locator('[data-row]').count()
  await page.close()
  return { openedMs: Math.round(opened), frameP50Ms: at(frames, 0.5), frameP95Ms: at(frames, 0.95), rowsInPage }
}

const at = (sorted, part) => Math.round(sorted[Math.floor(sorted.length * part)] * 10) / 10

/** What share of a core the page's main thread takes while an answer streams, and while it only shows it. */
async function measureStream() {
  const server = createServer(answer)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const page = await browser.newPage({ viewport: { width: 1360, height: 900 } })
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' }) // the page's own time, whatever else the machine does
  const busy = async () =>
    Object.fromEntries((await devtools.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]))
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  await page.getByRole('textbox', { name: 'Message' }).fill('Speak')
  await page.keyboard.press('Enter')
  await page.getByText('Word 20 ').waitFor()
  const [before, began] = [await busy(), Date.now()]
  await page.getByText(`Word ${TOKENS_PER_SECOND * (STREAM_SECONDS - 2)} `).waitFor()
  const [after, seconds] = [await busy(), (Date.now() - began) / 1000]
  await page.close()
  server.close()
  server.closeAllConnections()
  const share = (name) => Math.round((100 * (after[name] - before[name])) / seconds) / 100
  return { tokensPerSecond: TOKENS_PER_SECOND, coreShare: share('TaskDuration'), scriptShare: share('ScriptDuration') }
}

/** The built page, and an engine that knows nothing but how to speak. */
async function answer(request, response) {
  const path = new URL(request.url, 'http://-').pathname
  if (path === '/api/v1/agent/chat') return speak(response)
  if (path === '/api/v1/auth/me') return json(response, { id: 'me', email: 'me@example.org', role: 'admin', is_superuser: true })
  if (path === '/api/v1/app') return json(response, { version: '0', local_mode: true, setup: false })
  if (path.startsWith('/api/')) return json(response, { type: 'about:blank', title: 'Not found', status: 404, detail: '-' }, 404)
  const file = extname(path) ? join(DIST, path) : join(DIST, 'index.html')
  const content = await readFile(file).catch(() => null)
  response.writeHead(content ? 200 : 404, { 'content-type': TYPES[extname(file)] ?? 'text/plain' }).end(content ?? '')
}

const json = (response, body, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))

function speak(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  let seq = 0
  const send = (type, fields) => {
    const event = { type, run_id: RUN, conversation_id: CONVERSATION, timestamp: Date.now(), seq: ++seq, ...fields }
    response.write(`id: ${RUN}:${seq}\nevent: ${type}\ndata: ${JSON.stringify(event)}\n\n`)
  }
  send('generation.start', { generation_id: 'g', model: 'figures', tools_available: 0 })
  let word = 0
  const timer = setInterval(() => {
    word++
    if (word > TOKENS_PER_SECOND * STREAM_SECONDS) return clearInterval(timer)
    const end = word % 120 === 0 ? '\n\n## Next\n\n' : word % 30 === 0 ? '\n\n- ' : ' '
    send('token', { generation_id: 'g', text: `${word % 11 === 0 ? `**Word ${word}**` : `Word ${word}`}${end}` })
  }, 1000 / TOKENS_PER_SECOND)
  response.on('close', () => clearInterval(timer))
}

const figures = { ...(await measureStream()), ...(address && conversation ? await measureLong() : {}) }
process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`)
await browser.close()
