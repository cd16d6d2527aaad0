import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { build, preview, type PreviewServer } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { axe, launch, open, overflows, shoot, type Theme } from './browser'

const ROOT = new URL('../states/', import.meta.url).pathname
let browser: Browser
let server: PreviewServer
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skyflo-states-'))
  await build({ root: ROOT, configFile: false, logLevel: 'error', build: { outDir: folder, emptyOutDir: true } })
  server = await preview({ root: ROOT, configFile: false, build: { outDir: folder }, preview: { port: 0, host: '127.0.0.1' } })
  browser = await launch()
})
afterAll(async () => {
  await browser.close()
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

const THEMES: Theme[] = ['light', 'dark']

test.each([1360, 360])('every card state is accessible and fits at %d px, in light and dark', async (width) => {
  const { page, context } = await open(browser, server.resolvedUrls?.local[0] ?? '', { width })
  await page.locator('[data-call=wait] [data-action=approve][aria-disabled=false]').waitFor()
  // The browser is asked for reduced motion: the change that runs must not spin.
  await page.waitForFunction(() => document.getAnimations().every((each) => each.playState === 'finished'))
  expect(await axe(page)).toEqual([])
  expect(await overflows(page)).toEqual([])
  for (const theme of THEMES) {
    await page.evaluate((name) => (document.documentElement.dataset['theme'] = name), theme)
    await shoot(page, `states-${theme}-${width}`, true)
    expect(await axe(page, 'color-contrast')).toEqual([])
  }
  await context.close()
})
