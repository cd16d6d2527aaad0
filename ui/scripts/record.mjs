// Records runs of a real engine on the sandbox, for the reducer's tests: `node scripts/record.mjs http://127.0.0.1:8080`.
// Each file has the events of the conversation's runs, and the timeline that the engine stored.
import { mkdir, writeFile } from 'node:fs/promises'
import process from 'node:process'

const server = process.argv[2] ?? 'http://127.0.0.1:8080'
const api = `${server}/api/v1`
const out = new URL('../test/recorded/', import.meta.url)

async function call(path, body) {
  const response = await fetch(api + path, {
    method: body ? 'POST' : 'GET',
    headers: { 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response
}

const json = async (path, body) => (await call(path, body)).json()

async function events(path, body) {
  const text = await (await call(path, body)).text()
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)))
}

const ask = (content, more = {}) => events('/agent/chat', { messages: [{ role: 'user', content }], ...more })

async function decide(conversation, body) {
  const { data } = await json('/agent/approvals?status=pending&limit=50')
  for (const one of data.filter((each) => each.conversation_id === conversation)) {
    await events(`/agent/approvals/${one.call_id}`, { conversation_id: conversation, digest: one.digest, ...body })
  }
}

async function save(name, conversation) {
  const { data } = await json(`/agent/runs?conversation_id=${conversation}&limit=50`)
  const runs = []
  for (const run of data.toReversed()) runs.push(await events(`/agent/runs/${run.run_id}/events?after=0`))
  const detail = await json(`/conversations/${conversation}`)
  const changes = runs.flat().filter((event) => event.type === 'tool.awaiting_approval')
  const approvals = []
  for (const change of changes) approvals.push(await json(`/agent/approvals/${change.call_id}`))
  await writeFile(new URL(`${name}.json`, out), `${JSON.stringify({ runs, detail, approvals })}\n`)
  process.stdout.write(`${name}: ${runs.flat().length} events\n`)
}

const idOf = (stream) => stream[0].conversation_id

await mkdir(out, { recursive: true })

const approved = idOf(await ask('fix checkout in shop'))
await decide(approved, { approve: true, reason: 'as discussed' })
await save('approved', approved)

const denied = idOf(await ask('scale cart in shop to 3'))
await decide(denied, { approve: false, reason: 'not now' })
await save('denied', denied)

const superseded = idOf(await ask('scale cart in shop to 4'))
await ask('what is wrong in shop?', { conversation_id: superseded })
await save('superseded', superseded)
