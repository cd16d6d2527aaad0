import { useQuery } from '@tanstack/react-query'
import { Ban, Hand, Play, Users } from 'lucide-react'
import { client, unwrap, type Schemas } from '../../api/client'
import { ErrorNote, ErrorState } from '../../ui/ErrorState'
import { Section } from '../../ui/Page'
import { Pill } from '../../ui/Pill'
import { Skeleton } from '../../ui/Skeleton'
import { Table } from '../../ui/Table'
import { tools as words } from '../../words/en/tools'
import css from './Tools.module.css'

type Rule = Schemas['Rule']
export type PolicyDecision = Rule['decision']

/** The policy in force: its rules in the order in which they are tried. */
export function Policy() {
  const policy = useQuery({ queryKey: ['policy'], queryFn: () => unwrap(client.GET('/api/v1/policy')) })
  if (policy.isPending) return <Skeleton />
  if (policy.error) return <ErrorState error={policy.error} onRetry={() => void policy.refetch()} />
  const { source, problem, rules, requester_may_destroy } = policy.data
  return (
    <Section title={words.rules} lead={words.policyFrom(source)}>
      {problem && <ErrorNote error={new Error(`${words.problem} ${problem}`)} />}
      <p>{requester_may_destroy ? words.requesterMayDestroy : words.requesterMayNot}</p>
      <Table label={words.rules} rows={rules} rowKey={(rule) => rule.name} columns={columns} />
    </Section>
  )
}

const columns = [
  { id: 'rule', head: words.rule, cell: (rule: Rule) => <Name rule={rule} /> },
  { id: 'decision', head: words.decision, cell: (rule: Rule) => <DecisionPill decision={rule.decision} /> },
  { id: 'when', head: words.when, cell: (rule: Rule) => <Conditions rule={rule} /> },
]

function Name({ rule }: { rule: Rule }) {
  return (
    <>
      <code>{rule.name}</code>
      {rule.reason && <p className={css.facts}>{rule.reason}</p>}
    </>
  )
}

const LOOK = {
  allow: { tone: 'ok', icon: Play },
  ask: { tone: 'wait', icon: Hand },
  two_people: { tone: 'wait', icon: Users },
  deny: { tone: 'danger', icon: Ban },
} as const

export function DecisionPill({ decision }: { decision: PolicyDecision }) {
  return <Pill {...LOOK[decision]}>{words.decisions[decision]}</Pill>
}

function Conditions({ rule }: { rule: Rule }) {
  const names = Object.keys(words.fields) as (keyof typeof words.fields)[]
  const set = names.filter((name) => rule[name])
  if (set.length === 0 && !rule.time) return <span className={css.facts}>{words.everything}</span>
  return (
    <div className={css.facts}>
      {set.map((name) => (
        <span key={name}>
          <b>{words.fields[name]}</b> {rule[name]?.join(', ')}
        </span>
      ))}
      {rule.time && <span>{describeTime(rule.time)}</span>}
    </div>
  )
}

const describeTime = ({ weekdays, hours, timezone }: Schemas['TimeWindow']): string =>
  [weekdays?.join(', '), hours?.join(', '), timezone].filter(Boolean).join(' · ')
