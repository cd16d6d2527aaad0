import { useQuery } from '@tanstack/react-query'
import { Link, useLocation } from 'wouter'
import { client, unwrap, type Schemas } from '../api/client'
import { keys } from '../api/queries'
import { en } from '../words/en'
import css from './Conversations.module.css'

type Summary = Schemas['ConversationSummary']
const SHOWN = 40

export const useRecentConversations = () =>
  useQuery({
    queryKey: [...keys.conversations, 'recent'],
    queryFn: () => unwrap(client.GET('/api/v1/conversations', { params: { query: { limit: SHOWN } } })),
  })

/** The newest conversations, by day, with the state of their runs. */
export function Conversations() {
  const [at] = useLocation()
  const { data } = useRecentConversations()
  if (!data) return <div />
  if (data.data.length === 0) return <p className={css.empty}>{en.nav.noConversations}</p>
  return (
    <div className={css.list} tabIndex={0} role="region" aria-label={en.nav.conversations}>
      {byDay(data.data).map(([heading, conversations]) => (
        <section key={heading}>
          <h2>{heading}</h2>
          <ul>
            {conversations.map((one) => (
              <li key={one.id}>
                <Link href={`/c/${one.id}`} aria-current={at === `/c/${one.id}` ? 'page' : undefined}>
                  <span>{one.title || en.nav.untitled}</span>
                  {one.active_run && <RunMark state={one.active_run.state} />}
                </Link>
              </li>
            ))}
          </ul>
        </section>
      ))}
      {data.pagination.has_more && <Link href="/history">{en.nav.allConversations}</Link>}
    </div>
  )
}

function RunMark({ state }: { state: string }) {
  const word = en.nav.runStates[state] ?? state
  return <i data-state={state} role="img" aria-label={word} title={word} />
}

function byDay(conversations: Summary[]): [string, Summary[]][] {
  const midnight = new Date().setHours(0, 0, 0, 0)
  const heading = (at: number) => {
    if (at >= midnight) return en.nav.today
    return at >= midnight - 86_400_000 ? en.nav.yesterday : en.nav.earlier
  }
  return [...Map.groupBy(conversations, (one) => heading(one.updated_at))]
}
