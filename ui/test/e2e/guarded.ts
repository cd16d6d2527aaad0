// Processes that end with this one, also when it is killed.
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'

export const ROOT = new URL('../../../', import.meta.url).pathname
export const PYTHON = process.env['SKYFLO_PYTHON'] ?? join(ROOT, '.venv/bin/python')
const GUARD = join(ROOT, 'engine/src/api/adapters/child_guard.py')
/** The guard's end of a pipe that closes when this process ends. */
const PIPE = 3

/** Start a command under the guard that the engine has for its own children, in a process group of its own. */
export function spawnGuarded(command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(PYTHON, ['-I', '-S', GUARD, String(PIPE), ...command], {
    cwd: ROOT,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
}

export const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** Send a signal to the command, which the guard alone would keep to itself, and wait for the end of both. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return
  const ended = new Promise((resolve) => child.once('close', resolve)) // not `exit`, which the guard may reach first
  process.kill(-child.pid, signal)
  await ended
}
