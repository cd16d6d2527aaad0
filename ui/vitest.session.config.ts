import { defineConfig } from 'vitest/config'

/** A session in a browser with an engine that the engine's own tests have started. */
export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/session/*.spec.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
})
