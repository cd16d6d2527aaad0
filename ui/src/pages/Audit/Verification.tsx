import { useMutation } from '@tanstack/react-query'
import { CircleCheck, CircleHelp, OctagonAlert } from 'lucide-react'
import { client, unwrap, type Schemas } from '../../api/client'
import { Button } from '../../ui/Button'
import { ErrorNote } from '../../ui/ErrorState'
import { audit as words } from '../../words/en/audit'
import { count } from '../../words/format'
import css from './Audit.module.css'

type Report = Schemas['AuditReport']

/** Checks the whole record, piece by piece, and says what came of it. */
export function Verification() {
  const check = useMutation({ mutationFn: verifyAll })
  return (
    <div>
      <Button onClick={() => check.mutate()} busy={check.isPending}>
        {check.isPending ? words.checking : words.verify}
      </Button>
      {check.error && <ErrorNote error={check.error} />}
      {check.data && <Verdict report={check.data} />}
    </div>
  )
}

const verify = (cursor: string | null): Promise<Report> =>
  unwrap(client.GET('/api/v1/audit/verify', { params: { query: cursor ? { cursor } : {} } }))

async function verifyAll(): Promise<Report> {
  let report = await verify(null)
  let [entries, seals] = [report.entries, report.seals]
  while (report.status === 'unfinished' && report.next_cursor) {
    report = await verify(report.next_cursor)
    entries += report.entries
    seals += report.seals
  }
  return { ...report, entries, seals }
}

const LOOK = {
  intact: { tone: 'ok', Icon: CircleCheck },
  tampered: { tone: 'danger', Icon: OctagonAlert },
  unfinished: { tone: 'wait', Icon: CircleHelp },
} as const

function Verdict({ report }: { report: Report }) {
  const { tone, Icon } = LOOK[report.status]
  return (
    <div className={css.verdict} data-tone={tone} role="status">
      <Icon size={18} aria-hidden />
      <div>
        <p>
          <b>{words[report.status]}</b> {words.checked(count(report.entries), count(report.seals))}
        </p>
        {report.fault && <p>{report.fault.detail}</p>}
        <p>{report.note}</p>
      </div>
    </div>
  )
}
