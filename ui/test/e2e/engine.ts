// A real engine on the sandbox, as a process that ends with this one, on free ports and in a folder of its own.
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { end, hasEnded, PYTHON, spawnGuarded } from './guarded'

const READY_WITHIN_MS = 180_000

interface Dependency {
  name: string
  state: string
}

export class Engine {
  #process: ChildProcess | null = null
  readonly #log: string[] = []

  private constructor(
    readonly port: number,
    readonly folder: string,
    readonly environment: Record<string, string>,
  ) {}

  static async start(environment: Record<string, string> = {}): Promise<Engine> {
    const engine = new Engine(await freePort(), await mkdtemp(join(tmpdir(), 'skyflo-ui-')), environment)
    await engine.run()
    return engine
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Start the process, and wait until its tools can be used. Settings given here are for this start only. */
  async run(settings: Record<string, string> = {}): Promise<void> {
    this.#process = spawnGuarded([PYTHON, '-m', 'src.api.up'], {
      PATH: process.env['PATH'] ?? '',
      HOME: this.folder,
      PORT: String(this.port),
      DATA_DIR: this.folder,
      RATE_LIMITING_ENABLED: 'false',
      ...this.environment,
      ...settings,
    })
    this.#process.stdout?.on('data', (chunk: Buffer) => this.#log.push(chunk.toString()))
    this.#process.stderr?.on('data', (chunk: Buffer) => this.#log.push(chunk.toString()))
    await this.#ready()
  }

  /** The lines that the process printed, such as the address with the key of local mode. */
  get log(): string {
    return this.#log.join('')
  }

  /** SIGKILL, as a machine that dies: nothing is said, nothing is cleaned up. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
    await rm(this.folder, { recursive: true, force: true })
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#process) await end(this.#process, signal)
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS
    while (Date.now() < deadline) {
      const response = await fetch(`${this.url}/api/v1/health/ready`).catch(() => null)
      const body = response?.ok ? ((await response.json()) as { dependencies: Dependency[] }) : null
      const states = body?.dependencies.map(({ state }) => state) ?? ['starting']
      if (!states.includes('starting') && !states.includes('error')) return
      if (!this.#process || hasEnded(this.#process)) break
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    throw new Error(`The engine did not become ready:\n${this.log}`)
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
