import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { client, unwrap, type Schemas } from '../../api/client'
import { ErrorState } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { Page, Section } from '../../ui/Page'
import { Skeleton } from '../../ui/Skeleton'
import { Table } from '../../ui/Table'
import { visible } from '../../ui/visible'
import { analytics as words } from '../../words/en/analytics'
import { cost, count, duration } from '../../words/format'
import css from './Analytics.module.css'
import { Budgets } from './Budgets'
import { DailyChart } from './DailyChart'

type Metrics = Schemas['Metrics']
type Day = Metrics['days'][number]

export default function Analytics() {
  const [days, setDays] = useState(30)
  const metrics = useQuery({
    queryKey: ['analytics', days],
    queryFn: () => unwrap(client.GET('/api/v1/analytics/metrics', { params: { query: { last_n_days: days } } })),
  })
  return (
    <Page
      title={words.title}
      lead={words.lead}
      width="wide"
      actions={
        <div className={css.range}>
          <Field label={words.range}>
            <select value={days} onChange={(event) => setDays(Number(event.target.value))}>
              {Object.entries(words.ranges).map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </Field>
        </div>
      }
    >
      <Budgets />
      {metrics.isPending && <Skeleton lines={8} />}
      {metrics.error && <ErrorState error={metrics.error} onRetry={() => void metrics.refetch()} />}
      {metrics.data && <Figures metrics={metrics.data} range={days} />}
    </Page>
  )
}

function Figures({ metrics, range }: { metrics: Metrics; range: number }) {
  return (
    <>
      <Tiles metrics={metrics} />
      <div className={css.charts}>
        <DailyChart title={words.runs} days={metrics.days} range={range} value={runsOf} />
        <DailyChart title={words.cost} days={metrics.days} range={range} value={costOf} unit="dollars" />
      </div>
      <Section title={words.perDay}>
        <Table label={words.perDay} rows={metrics.days} rowKey={(day) => day.day} columns={dayColumns} />
      </Section>
      <Section title={words.models}>
        <Table label={words.models} rows={metrics.models} rowKey={(row) => row.model} columns={modelColumns} />
      </Section>
      <Section title={words.tools}>
        <Table label={words.tools} rows={metrics.tools} rowKey={(row) => row.tool} columns={toolColumns} />
      </Section>
    </>
  )
}

const costOf = (day: Day): number => day.tokens?.cost ?? 0

const runsOf = ({ runs }: Pick<Day, 'runs'>): number =>
  (runs?.completed ?? 0) + (runs?.failed ?? 0) + (runs?.stopped ?? 0)

function Tiles({ metrics }: { metrics: Metrics }) {
  const { totals } = metrics
  const { approvals, tokens } = totals
  const unpriced = tokens?.unpriced ?? 0
  return (
    <dl className={css.tiles}>
      <Tile label={words.runs} value={count(runsOf(totals))} />
      <Tile label={words.failures} value={count(totals.runs?.failed ?? 0)} />
      <Tile
        label={words.tokens}
        value={count(metrics.total_tokens)}
        note={words.ofWhichCached(`${Math.round(metrics.cache_hit_rate * 100)} %`)}
      />
      <Tile label={words.cost} value={cost(metrics.total_cost)} note={unpriced ? words.unpriced(count(unpriced)) : ''} />
      <Tile
        label={words.approvals}
        value={count(approvals?.approved ?? 0)}
        note={`${words.denied(count(approvals?.denied ?? 0))}, ${words.expired(count(approvals?.expired ?? 0))}`}
      />
      <Spread label={words.decision} times={approvals?.decided_after_ms} />
      <Spread label={words.firstToken} times={totals.ttft_ms} />
      <Spread label={words.duration} times={totals.duration_ms} />
    </dl>
  )
}

function Tile({ label, value, note }: { label: string; value: string; note?: string }) {
  return (
    <div className={css.tile}>
      <dt>{label}</dt>
      <dd>{value}</dd>
      {note && <dd data-part="note">{note}</dd>}
    </div>
  )
}

function Spread({ label, times }: { label: string; times: Schemas['Quantiles'] | undefined }) {
  const { p50, p95 } = times ?? {}
  const known = p50 !== null && p50 !== undefined && p95 !== null && p95 !== undefined
  return (
    <Tile
      label={label}
      value={known ? duration(p50) : words.none}
      note={known ? words.p50p95(duration(p50), duration(p95)) : ''}
    />
  )
}

const dayColumns = [
  { id: 'day', head: words.day, cell: (day: Day) => day.day },
  { id: 'runs', head: words.runs, align: 'end' as const, cell: (day: Day) => count(runsOf(day)) },
  { id: 'failed', head: words.failures, align: 'end' as const, cell: (day: Day) => count(day.runs?.failed ?? 0) },
  {
    id: 'tokens',
    head: words.tokens,
    align: 'end' as const,
    cell: (day: Day) => count((day.tokens?.prompt ?? 0) + (day.tokens?.completion ?? 0)),
  },
  { id: 'cost', head: words.cost, align: 'end' as const, cell: (day: Day) => cost(day.tokens?.cost ?? 0) },
]

type Model = Metrics['models'][number]
const modelColumns = [
  { id: 'model', head: words.model, cell: (row: Model) => visible(row.model) },
  { id: 'calls', head: words.calls, align: 'end' as const, cell: (row: Model) => count(row.calls ?? 0) },
  {
    id: 'tokens',
    head: words.tokens,
    align: 'end' as const,
    cell: (row: Model) => count((row.prompt ?? 0) + (row.completion ?? 0)),
  },
  { id: 'cost', head: words.cost, align: 'end' as const, cell: (row: Model) => cost(row.cost ?? 0) },
]

type Tool = Metrics['tools'][number]
const toolColumns = [
  { id: 'tool', head: words.tool, cell: (row: Tool) => <code>{visible(row.tool)}</code> },
  { id: 'calls', head: words.calls, align: 'end' as const, cell: (row: Tool) => count(row.calls ?? 0) },
  { id: 'failed', head: words.failed, align: 'end' as const, cell: (row: Tool) => count(row.failed ?? 0) },
]
