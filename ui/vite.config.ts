import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

const target = process.env['SKYFLO_SERVER'] ?? 'http://127.0.0.1:8080'
const proxy = { '/api': { target, changeOrigin: false } } // the engine compares Origin and Host

export default defineConfig({
  plugins: [react()],
  server: { port: 5173, proxy },
  preview: { port: 5174, proxy },
  build: {
    target: 'es2023',
    assetsInlineLimit: 0, // data: URLs would need a wider CSP
    modulePreload: { polyfill: false },
    manifest: true, // scripts/budget.mjs reads it
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
})
