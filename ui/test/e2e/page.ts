// The built page: served by the engine itself, as in production.
import { preview } from 'vite'
import type { Engine } from './engine'

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

export interface ServedPage {
  url: string
  close: () => Promise<void>
}

export async function servePage(engine: Engine): Promise<ServedPage> {
  const own = await fetch(engine.url).catch(() => null)
  if (own?.headers.get('content-type')?.startsWith('text/html')) return { url: engine.url, close: async () => {} }
  const server = await preview({
    root: new URL('../../', import.meta.url).pathname,
    logLevel: 'error',
    preview: {
      port: 0,
      host: '127.0.0.1',
      headers: { 'content-security-policy': CSP },
      proxy: { '/api': { target: engine.url, changeOrigin: false } },
    },
  })
  return { url: server.resolvedUrls?.local[0]?.replace(/\/$/, '') ?? '', close: () => server.close() }
}
