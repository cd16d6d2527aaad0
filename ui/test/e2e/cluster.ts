// The sandbox's cluster and model as a process of its own, so that it outlives engines, behind a gate that can hold a change.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './engine'
import { PYTHON, ROOT } from './guarded'

const STARTS_WITHIN_MS = 180_000
const CHANGES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

interface Held {
  /** Let the change through to the API server. */
  release: () => void
}

export class Cluster {
  /** Changes of workloads that reached the API server. */
  changes = 0
  #hold: ((held: Held) => void) | null = null

  private constructor(
    readonly folder: string,
    readonly gate: Server,
    readonly process: ChildProcess,
    readonly clusterPort: number,
    readonly modelPort: number,
  ) {}

  static async start(): Promise<Cluster> {
    const [clusterPort, modelPort, gatePort] = [await freePort(), await freePort(), await freePort()]
    const folder = await mkdtemp(join(tmpdir(), 'skyflo-cluster-'))
    const flags = ['--cluster-port', String(clusterPort), '--model-port', String(modelPort)]
    const sandbox = spawn(PYTHON, ['-m', 'skyflo_sandbox', '--parent-pipe', ...flags], {
      cwd: ROOT,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    const gate = createServer()
    const cluster = new Cluster(folder, gate, sandbox, clusterPort, modelPort)
    gate.on('request', (incoming, outgoing) => cluster.#pass(incoming, outgoing, clusterPort))
    await new Promise<void>((resolve) => gate.listen(gatePort, '127.0.0.1', resolve))
    await writeFile(join(folder, 'kubeconfig'), kubeconfig(gatePort))
    return cluster
  }

  /** Wait until the cluster and the model answer. An engine may be started meanwhile. */
  async ready(): Promise<void> {
    await Promise.all([listening(this.clusterPort), listening(this.modelPort)])
  }

  /** The settings of an engine that uses this cluster and this model. */
  get settings(): Record<string, string> {
    return {
      KUBECONFIG: join(this.folder, 'kubeconfig'),
      CLUSTERS: 'shop',
      LLM_MODEL: 'sandbox',
      LLM_ADAPTER: 'openai',
      LLM_HOST: `http://127.0.0.1:${this.modelPort}/v1`,
    }
  }

  /** Hold the next change. Resolves when it is at the gate: sent by the tool server, not known to the API server. */
  nextChange(): Promise<Held> {
    return new Promise((resolve) => {
      this.#hold = resolve
    })
  }

  async stop(): Promise<void> {
    this.gate.closeAllConnections()
    this.gate.close()
    this.process.kill('SIGTERM')
    await rm(this.folder, { recursive: true, force: true })
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse, port: number): void {
    const { method = 'GET', url = '' } = incoming
    const headers = { ...incoming.headers, host: `127.0.0.1:${port}` }
    const send = () => {
      const onward = request({ port, host: '127.0.0.1', method, path: url, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      })
      onward.on('error', () => outgoing.destroy())
      body.forEach((chunk) => onward.write(chunk))
      onward.end()
    }
    const body: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => body.push(chunk))
    incoming.on('end', () => {
      if (!isChange(method, url)) return send()
      this.changes++
      const hold = this.#hold
      this.#hold = null
      if (hold) hold({ release: send })
      else send()
    })
  }
}

const isChange = (method: string, url: string): boolean =>
  CHANGES.has(method) && url.includes('/apis/apps/') && !url.includes('dryRun')

const kubeconfig = (port: number): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'shop', cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: 'shop', user: {} }],
    contexts: [{ name: 'shop', context: { cluster: 'shop', user: 'shop', namespace: 'shop' } }],
    'current-context': 'shop',
  })

async function listening(port: number): Promise<void> {
  const deadline = Date.now() + STARTS_WITHIN_MS
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.on('error', () => resolve(false)).on('connect', () => socket.end())
    })
  while (!(await answers())) {
    if (Date.now() > deadline) throw new Error(`The sandbox did not start on port ${port}.`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
