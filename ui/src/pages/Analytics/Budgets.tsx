import { useQuery } from '@tanstack/react-query'
import { client, unwrap, type Schemas } from '../../api/client'
import { Section } from '../../ui/Page'
import { Table } from '../../ui/Table'
import { visible } from '../../ui/visible'
import { budgets as words } from '../../words/en/budgets'
import { cost, count } from '../../words/format'

type Budget = Schemas['BudgetState']

/** The budgets that apply to the reader, with what is used today. Nothing where none is set. */
export function Budgets() {
  const found = useQuery({
    queryKey: ['budgets'],
    queryFn: () => unwrap(client.GET('/api/v1/analytics/budgets')),
  })
  const rows = found.data?.budgets ?? []
  if (rows.length === 0) return null
  return (
    <Section title={words.title}>
      <Table label={words.title} rows={rows} rowKey={(row) => `${row.scope} ${row.unit}`} columns={columns} />
    </Section>
  )
}

const amount = (row: Budget, value: number): string =>
  row.unit === 'tokens' ? words.tokens(count(value)) : cost(value)

const columns = [
  { id: 'budget', head: words.budget, cell: (row: Budget) => words.scopes[row.scope] },
  {
    id: 'used',
    head: words.used,
    align: 'end' as const,
    cell: (row: Budget) => (row.used === null ? words.none : amount(row, row.used)),
  },
  { id: 'limit', head: words.limit, align: 'end' as const, cell: (row: Budget) => amount(row, row.limit) },
  {
    id: 'share',
    head: words.share,
    align: 'end' as const,
    cell: (row: Budget) => (row.used === null ? words.none : `${Math.floor((row.used / row.limit) * 100)} %`),
  },
  { id: 'source', head: words.setBy, cell: (row: Budget) => <code>{visible(row.source)}</code> },
]
