// Fails when the first page load is too big: index.html, the entry, all that it imports statically, and their CSS.
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { gzipSync } from 'node:zlib'

const GOAL_KB = 150
const LIMIT_KB = 170
const dist = new URL('../dist/', import.meta.url)
const manifest = JSON.parse(await readFile(new URL('.vite/manifest.json', dist), 'utf8'))

const files = new Set(['index.html', 'theme.js'])
const visit = (key) => {
  const chunk = manifest[key]
  if (files.has(chunk.file)) return
  files.add(chunk.file)
  for (const css of chunk.css ?? []) files.add(css)
  for (const imported of chunk.imports ?? []) visit(imported)
}
visit('index.html')

let total = 0
for (const file of files) {
  const size = gzipSync(await readFile(new URL(file, dist)), { level: 9 }).length / 1000
  total += size
  process.stdout.write(`${size.toFixed(1).padStart(7)} kB  ${file}\n`)
}
process.stdout.write(`${total.toFixed(1).padStart(7)} kB  first load, gzipped (goal ${GOAL_KB}, limit ${LIMIT_KB})\n`)
if (total > LIMIT_KB) process.exit(1)
