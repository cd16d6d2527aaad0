// What a killed run leaves behind: nothing.
import { expect, test } from 'vitest'
import { end, hasEnded, spawnGuarded } from './guarded'

const ENDLESS = ['sleep', '600']

test('a process ends when the pipe to its parent closes, as it does when the parent is killed', async () => {
  const child = spawnGuarded(ENDLESS, process.env)
  await new Promise((resolve) => child.once('spawn', resolve))
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.stdio[3]?.destroy()
  await ended
  expect(hasEnded(child)).toBe(true)
})

test.each(['SIGTERM', 'SIGKILL'] as const)('%s reaches the command, and ends it once', async (signal) => {
  const child = spawnGuarded(['sh', '-c', 'echo ready; exec sleep 600'], process.env)
  await new Promise((resolve) => child.stdout?.once('data', resolve))
  await end(child, signal)
  await end(child, signal)
  expect(child.stdout?.closed, 'nobody holds its other end').toBe(true)
})
