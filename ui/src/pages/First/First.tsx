import { useQuery } from '@tanstack/react-query'
import { CircleAlert, CircleCheck, CircleDashed, CircleMinus, LoaderCircle } from 'lucide-react'
import { Link } from 'wouter'
import { client, unwrap, type Schemas } from '../../api/client'
import { keys } from '../../api/queries'
import { useSession } from '../../session/session'
import { ErrorState } from '../../ui/ErrorState'
import { Page, Section } from '../../ui/Page'
import { Pill } from '../../ui/Pill'
import { Skeleton } from '../../ui/Skeleton'
import { welcome as words } from '../../words/en/welcome'
import css from './First.module.css'

const POLL_MS = 5000
const MODEL_LINES = 'LLM_MODEL=openai/gpt-4o\nOPENAI_API_KEY=…'
const CLUSTER_LINES = 'KUBECONFIG=$HOME/.kube/config\nCLUSTERS=my-context:read'

/** What this engine has and what is missing, from its readiness, and what to try. */
export default function First() {
  const { app } = useSession()
  const ready = useQuery({ queryKey: keys.ready, queryFn: readiness, refetchInterval: POLL_MS })
  const sandbox = app?.sandbox
  const suggestions = sandbox?.cluster ? words.suggestions : words.ownSuggestions
  return (
    <Page title={words.title} lead={words.lead}>
      {ready.isPending && <Skeleton lines={8} />}
      {ready.error && <ErrorState error={ready.error} onRetry={() => void ready.refetch()} />}
      {ready.data && <Dependencies dependencies={ready.data.dependencies} />}
      {sandbox?.model && <Advice title={words.model} text={words.modelText} lines={MODEL_LINES} />}
      {sandbox?.cluster && <Advice title={words.cluster} text={words.clusterText} lines={CLUSTER_LINES} />}
      <Section title={words.try}>
        <div className={css.try}>
          {suggestions.map((text) => (
            <Link key={text} href={`/?draft=${encodeURIComponent(text)}`}>
              {text}
            </Link>
          ))}
        </div>
      </Section>
    </Page>
  )
}

/** Readiness has the same body whether it is answered with 200 or with 503. */
async function readiness(): Promise<Schemas['Readiness']> {
  const { data, error, response } = await client.GET('/api/v1/health/ready')
  const body = data ?? (error as unknown)
  if (typeof body === 'object' && body !== null && 'dependencies' in body) return body as Schemas['Readiness']
  return unwrap(Promise.resolve({ error, response }))
}

const LOOK = {
  ok: { tone: 'ok', icon: CircleCheck, word: words.ready },
  starting: { tone: 'note', icon: LoaderCircle, word: words.starting },
  degraded: { tone: 'wait', icon: CircleDashed, word: words.degraded },
  error: { tone: 'danger', icon: CircleAlert, word: words.error },
  off: { tone: 'idle', icon: CircleMinus, word: words.off },
} as const

function Dependencies({ dependencies }: { dependencies: Schemas['Dependency'][] }) {
  return (
    <ul className={css.list}>
      {dependencies.map(({ name, state, error, hint }) => {
        const { word, ...look } = LOOK[state]
        return (
          <li key={name}>
            <div className={css.part}>
              {words.parts[name] ?? name}
              <Pill {...look}>{word}</Pill>
            </div>
            {error && <p>{error}</p>}
            {hint && <p>{hint}</p>}
          </li>
        )
      })}
    </ul>
  )
}

function Advice({ title, text, lines }: { title: string; text: string; lines: string }) {
  return (
    <Section title={title} lead={text}>
      <pre className={css.snippet}>{lines}</pre>
    </Section>
  )
}
