// One engine and one page for all end-to-end tests that do not need their own.
import type { TestProject } from 'vitest/node'
import { Engine } from './engine'
import { servePage } from './page'

declare module 'vitest' {
  interface ProvidedContext {
    engine: string
    page: string
    /** The key of local mode, for other accounts of this machine. */
    key: string
    /** The engine's data folder. */
    folder: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const engine = await Engine.start()
  const page = await servePage(engine)
  project.provide('engine', engine.url)
  project.provide('page', page.url)
  project.provide('key', /[?]key=([0-9a-f]+)/.exec(engine.log)?.[1] ?? '')
  project.provide('folder', engine.folder)
  return async () => {
    await page.close()
    await engine.stop()
  }
}
