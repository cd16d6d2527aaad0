import { BookOpen, CircleAlert, Hand, Pencil, Play } from 'lucide-react'
import { useState } from 'react'
import type { Schemas } from '../../api/client'
import { EmptyState } from '../../ui/EmptyState'
import { Field } from '../../ui/Field'
import { Section } from '../../ui/Page'
import { Pill } from '../../ui/Pill'
import { Table } from '../../ui/Table'
import { visible } from '../../ui/visible'
import { tools as words } from '../../words/en/tools'
import css from './Tools.module.css'

type Tool = Schemas['ToolView']

/** All tools by server, with what each does and whether it asks. */
export function ToolTable({ tools }: { tools: Tool[] }) {
  const [filter, setFilter] = useState('')
  const shown = tools.filter((tool) => `${tool.name} ${tool.title}`.toLowerCase().includes(filter.toLowerCase()))
  if (tools.length === 0) return <EmptyState title={words.noTools}>{words.noToolsText}</EmptyState>
  return (
    <div className={css.stack}>
      <div className={css.filter}>
        <Field label={words.filter}>
          <input type="search" value={filter} onChange={(event) => setFilter(event.target.value)} />
        </Field>
      </div>
      {shown.length === 0 && <EmptyState title={words.noMatch} />}
      {[...Map.groupBy(shown, (tool) => tool.server)].map(([server, ofServer]) => (
        <Section key={server} title={words.server(visible(server), ofServer.length)}>
          <Table label={server} rows={ofServer} rowKey={(tool) => tool.name} columns={columns} />
        </Section>
      ))}
    </div>
  )
}

const columns = [
  { id: 'name', head: words.tool, cell: (tool: Tool) => <Name tool={tool} /> },
  { id: 'effect', head: words.changes, cell: (tool: Tool) => <Effect tool={tool} /> },
  { id: 'approval', head: words.policy, cell: (tool: Tool) => <Approval asks={tool.requires_approval} /> },
]

function Name({ tool }: { tool: Tool }) {
  return (
    <details className={css.tool}>
      <summary>
        <code>{visible(tool.name)}</code> <span>{visible(tool.title)}</span>
      </summary>
      <p>{visible(tool.description)}</p>
    </details>
  )
}

function Effect({ tool }: { tool: Tool }) {
  if (tool.annotations['readOnlyHint'] === true) return <Pill icon={BookOpen}>{words.reads}</Pill>
  if (tool.annotations['destructiveHint'] !== true) {
    return (
      <Pill tone="note" icon={Pencil}>
        {words.changes}
      </Pill>
    )
  }
  return (
    <Pill tone="danger" icon={CircleAlert}>
      {words.destroys}
    </Pill>
  )
}

function Approval({ asks }: { asks: boolean }) {
  return asks ? (
    <Pill tone="wait" icon={Hand}>
      {words.asks}
    </Pill>
  ) : (
    <Pill tone="ok" icon={Play}>
      {words.runs}
    </Pill>
  )
}
