import { render } from '@testing-library/react'
import { afterAll, expect, test } from 'vitest'
import Markdown from './Markdown'
import { nothingParsed, parseMarkdown } from './blocks'

// The first code block loads the highlighter. On a slow machine that would outlast the tests, and fail after them.
afterAll(() => import('./highlight'), 60_000)

const SAMPLE = `# Title

A **bold** and *soft* word, \`code\` and ~~gone~~ with a [link](https://example.com/a).

1. first
2. second
   - inner

- [x] done
- [ ] open

| a | b |
|---|--:|
| 1 | 2 |

\`\`\`yaml
key: value
\`\`\`

> quoted

Last line`

const textOf = (text: string, open = false): string => {
  const { container } = render(<Markdown text={text} open={open} />)
  return container.innerHTML
}

test('text that comes in pieces ends as text that comes at once', () => {
  let parsed = nothingParsed
  for (let end = 7; end < SAMPLE.length; end += 7) parsed = parseMarkdown(parsed, SAMPLE.slice(0, end), true)
  parsed = parseMarkdown(parsed, SAMPLE, false)
  expect(parsed.settled).toEqual(parseMarkdown(nothingParsed, SAMPLE, false).settled)
})

test('constructs of GFM become elements', () => {
  const html = textOf(SAMPLE)
  for (const tag of ['<h3>', '<strong>', '<em>', '<del>', '<ol>', '<ul>', '<table>', '<pre', '<blockquote>', 'type="checkbox"']) {
    expect(html).toContain(tag)
  }
})

test.each([
  ['raw HTML', '<img src=x onerror=alert(1)>', '<img'],
  ['a script', '<script>alert(1)</script>', '<script'],
  ['a javascript link', '[x](javascript:alert(1))', 'href'],
  ['a data link', '[x](data:text/html,hi)', 'href'],
  ['an encoded javascript link', '[x](java&#115;cript:alert(1))', 'href="java'],
  ['a link with a control character', '[x](<java\u0000script:alert(1)>)', 'href'],
  ['an image', '![x](https://evil.example/pixel.png)', '<img'],
  ['an autolink of another scheme', '<file:///etc/passwd>', 'href'],
])('%s is shown as text only', (_name, markdown, forbidden) => {
  expect(textOf(markdown)).not.toContain(forbidden)
})

test('characters that change the direction of text are visible', () => {
  expect(textOf('safe\u202egnp.exe')).toContain('⟨U+202E⟩')
})

test('links open elsewhere and tell the other page nothing', () => {
  expect(textOf('[x](https://example.com)')).toContain('rel="noreferrer noopener nofollow"')
})
