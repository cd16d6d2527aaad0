// Syntax colours as a tree of elements, never as HTML. Loaded lazily.
import bash from 'highlight.js/lib/languages/bash'
import diff from 'highlight.js/lib/languages/diff'
import dockerfile from 'highlight.js/lib/languages/dockerfile'
import go from 'highlight.js/lib/languages/go'
import ini from 'highlight.js/lib/languages/ini'
import json from 'highlight.js/lib/languages/json'
import python from 'highlight.js/lib/languages/python'
import sql from 'highlight.js/lib/languages/sql'
import yaml from 'highlight.js/lib/languages/yaml'
import { createLowlight } from 'lowlight'
import type { ReactNode } from 'react'

const MOST_CHARACTERS = 50_000
const lowlight = createLowlight({ bash, diff, dockerfile, go, ini, json, python, sql, yaml })
const ALIASES: Record<string, string> = { sh: 'bash', shell: 'bash', console: 'bash', yml: 'yaml', toml: 'ini', py: 'python' }

interface Node {
  type: string
  value?: string
  properties?: { className?: string[] }
  children?: Node[]
}

export function highlight(code: string, language: string): ReactNode {
  const name = ALIASES[language] ?? language
  if (!lowlight.registered(name) || code.length > MOST_CHARACTERS) return code
  return (lowlight.highlight(name, code) as Node).children?.map(render)
}

function render(node: Node, index: number): ReactNode {
  if (node.type === 'text') return node.value
  return (
    <span key={index} className={node.properties?.className?.join(' ')}>
      {node.children?.map(render)}
    </span>
  )
}
