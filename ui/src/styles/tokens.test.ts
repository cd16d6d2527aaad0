import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const css = readFileSync(`${process.cwd()}/src/styles/tokens.css`, 'utf8')
const light = colours(css.slice(css.indexOf(':root {'), css.indexOf(":root[data-theme='dark']")))
const dark = { ...light, ...colours(css.slice(css.indexOf(":root[data-theme='dark']"))) }

const TEXT = 4.5
const BODY = 7
const CONTROL = 3
const PAIRS: [string, string, number][] = [
  ['ink', 'canvas', BODY], ['ink', 'surface', BODY], ['ink', 'add-bg', BODY], ['ink', 'del-bg', BODY],
  ['ink-2', 'surface', TEXT], ['ink-2', 'sunken', TEXT], ['ink-2', 'wait-bg', TEXT],
  ['ink-3', 'canvas', TEXT], ['ink-3', 'surface', TEXT], ['ink-3', 'sunken', TEXT],
  ['ink-3', 'add-bg', TEXT], ['ink-3', 'del-bg', TEXT], ['ink-3', 'accent-soft', TEXT],
  ['ink', 'add-mark', TEXT], ['ink', 'del-mark', TEXT],
  ['accent', 'canvas', TEXT], ['accent', 'surface', TEXT], ['accent', 'sunken', TEXT], ['accent', 'accent-soft', TEXT],
  ['on-accent', 'accent', TEXT], ['on-accent', 'accent-hover', TEXT],
  ['on-danger', 'danger', TEXT], ['on-danger', 'danger-hover', TEXT],
  ['ok', 'ok-bg', TEXT], ['ok', 'surface', TEXT], ['ok', 'add-bg', TEXT], ['ok', 'sunken', TEXT],
  ['wait', 'wait-bg', TEXT], ['wait', 'surface', TEXT], ['wait', 'canvas', TEXT], ['surface', 'wait', TEXT],
  ['danger', 'danger-bg', TEXT], ['danger', 'surface', TEXT], ['danger', 'sunken', TEXT], ['danger', 'del-bg', TEXT],
  ['on-found', 'found', BODY], ['odd', 'odd-bg', TEXT], ['note', 'note-bg', TEXT],
  ['line-strong', 'surface', CONTROL], ['line-strong', 'canvas', CONTROL],
  ['syn-key', 'sunken', TEXT], ['syn-str', 'sunken', TEXT], ['syn-num', 'sunken', TEXT], ['syn-meta', 'sunken', TEXT],
]

describe.each([['light', light], ['dark', dark]])('the %s theme', (_name, theme) => {
  test.each(PAIRS)('%s on %s has a contrast of at least %d', (text, ground, needed) => {
    expect(contrast(theme[text] ?? '', theme[ground] ?? '')).toBeGreaterThanOrEqual(needed)
  })
})

function colours(block: string): Record<string, string> {
  return Object.fromEntries([...block.matchAll(/--([a-z0-9-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1] ?? '', m[2] ?? '']))
}

function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].toSorted((x, y) => y - x)
  return (high + 0.05) / (low + 0.05)
}

function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
