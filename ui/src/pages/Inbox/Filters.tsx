import type { ApprovalView } from '../../stream/approval'
import { inbox } from '../../words/en/inbox'
import css from './Inbox.module.css'
import { clusterOf } from './useInbox'

export interface Filter {
  mine: boolean
  risk: string
  cluster: string
}

export const noFilter: Filter = { mine: false, risk: '', cluster: '' }

const RISKS = ['low', 'medium', 'high', 'destructive']

interface Props {
  filter: Filter
  onChange: (filter: Filter) => void
  page: ApprovalView[]
}

export function Filters({ filter, onChange, page }: Props) {
  const clusters = [...new Set(page.flatMap((one) => clusterOf(one) ?? []))]
  return (
    <div className={css.filters}>
      <select
        aria-label={inbox.filters.whose}
        value={filter.mine ? 'mine' : ''}
        onChange={(event) => onChange({ ...filter, mine: event.target.value === 'mine' })}
      >
        <option value="">{inbox.filters.everything}</option>
        <option value="mine">{inbox.filters.mine}</option>
      </select>
      <select
        aria-label={inbox.filters.risk}
        value={filter.risk}
        onChange={(event) => onChange({ ...filter, risk: event.target.value })}
      >
        <option value="">{inbox.filters.anyRisk}</option>
        {RISKS.map((risk) => (
          <option key={risk}>{risk}</option>
        ))}
      </select>
      {(clusters.length > 1 || filter.cluster !== '') && (
        <select
          aria-label={inbox.filters.cluster}
          value={filter.cluster}
          onChange={(event) => onChange({ ...filter, cluster: event.target.value })}
        >
          <option value="">{inbox.filters.anyCluster}</option>
          {clusters.map((cluster) => (
            <option key={cluster}>{cluster}</option>
          ))}
        </select>
      )}
    </div>
  )
}
