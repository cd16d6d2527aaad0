import { expect, test } from 'vitest'
import { isFolded } from './DiffView'
import { nameOf, parseDiff } from './parse'

const SCALE = `--- deployment/cart in shop (live)
+++ deployment/cart in shop (after)
@@ -4,3 +4,3 @@ spec
   name: cart
-  replicas: 2
+  replicas: 3
   paused: false`

test('lines keep their numbers, and changed parts are marked', () => {
  const [file] = parseDiff(SCALE)
  expect(file).toMatchObject({ added: 1, removed: 1 })
  expect(file?.rows).toEqual([
    { kind: 'gap', old: 4, now: 4, text: 'spec' },
    { kind: 'same', old: 4, now: 4, text: '  name: cart' },
    { kind: 'del', old: 5, text: '  replicas: 2', mark: [12, 13] },
    { kind: 'add', now: 5, text: '  replicas: 3', mark: [12, 13] },
    { kind: 'same', old: 6, now: 6, text: '  paused: false' },
  ])
})

test.each([
  [SCALE, 'deployment/cart in shop'],
  ['--- deployment/cart in shop (live)\n+++ /dev/null\n@@ -1 +0,0 @@\n-a', 'deployment/cart in shop → deleted'],
  ['--- /dev/null\n+++ deployment/cart in shop (after)\n@@ -0,0 +1 @@\n+a', 'deployment/cart in shop → new'],
])('the header says what happens to the object', (diff, name) => {
  expect(parseDiff(diff).map(nameOf)).toEqual([name])
})

test('each of many changed lines is marked', () => {
  const pairs = Array.from({ length: 20_000 }, (_, line) => `-key-${line}: 1\n+key-${line}: 2`)
  const [file] = parseDiff(`--- a\n+++ b\n@@ -1,20000 +1,20000 @@\n${pairs.join('\n')}`)
  expect(file).toMatchObject({ added: 20_000, removed: 20_000 })
  expect(file?.rows.filter((row) => row.mark)).toHaveLength(40_000)
})

test('a removed line that looks like a file header stays a line', () => {
  const [file, ...others] = parseDiff('--- a\n+++ b\n@@ -1,2 +1 @@\n---- old\n-+++ x\n+new')
  expect(others).toEqual([])
  expect(file?.rows.map((row) => row.text)).toEqual(['', '--- old', '+++ x', 'new'])
})

test('hidden and direction-changing characters are drawn, in lines and in names', () => {
  const [file] = parseDiff('--- a\u200b (live)\n+++ a\u200b (after)\n@@ -1 +1 @@\n-x\n+x\u202ey')
  expect(file && nameOf(file)).toBe('a⟨U+200B⟩')
  expect(file?.rows.at(-1)?.text).toBe('x⟨U+202E⟩y')
})

test('a change of many objects, or of many lines, is folded at first', () => {
  const long = `--- a\n+++ b\n@@ -1 +1,500 @@\n${Array.from({ length: 500 }, (_, line) => `+${line}`).join('\n')}`
  expect([isFolded(SCALE), isFolded(long), isFolded(Array(4).fill(SCALE).join('\n'))]).toEqual([false, true, true])
})
