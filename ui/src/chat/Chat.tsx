import { Suspense, useCallback, useEffect, useMemo, useState } from 'react'
import type { CardActions } from '../cards/ApprovalCard'
import type { Found } from '../cards/found'
import { useCardKeys } from '../cards/useCardKeys'
import { preloadMarkdown } from '../markdown/LazyMarkdown'
import { lastRun, pendingChanges, type Conversation, type Item } from '../stream/state'
import type { Ask } from '../stream/store'
import { useRun } from '../stream/useRun'
import { Button } from '../ui/Button'
import { deferred } from '../ui/deferred'
import { Dialog } from '../ui/Dialog'
import { ErrorNote, ErrorState, messageOf } from '../ui/ErrorState'
import { useShortcuts } from '../ui/shortcuts'
import { Skeleton } from '../ui/Skeleton'
import { useToast } from '../ui/Toast'
import { en } from '../words/en'
import type { AnswerActions } from './AnswerFoot'
import css from './Chat.module.css'
import { ChatHeader } from './ChatHeader'
import { Composer, type Sending } from './Composer'
import { preloadTimeline, Timeline } from './Timeline'
import { useDoubleEscape } from './useDoubleEscape'
import { useFindKey } from './useFindKey'
import { useDraft } from './useDraft'
import { WaitingBar } from './WaitingBar'
import { Welcome } from './Welcome'

const { Component: RunTimeline } = deferred(() => import('./RunTimeline'))
const { Component: Find } = deferred(() => import('./Find'))

export function Chat({ conversationId }: { conversationId: string | undefined }) {
  const { view, store } = useRun(conversationId)
  const { conversation } = view
  const [draft, setDraft] = useDraft(conversation.id)
  const [editing, setEditing] = useState<Item | null>(null)
  const [asking, setAsking] = useState<Ask | null>(null)
  const [timelineOf, setTimelineOf] = useState<string | null>(null)
  const [finding, setFinding] = useState(false)
  const [found, setFound] = useState<Found | null>(null)
  const toast = useToast()
  const changes = pendingChanges(conversation)
  const run = lastRun(conversation)
  const busy = run?.phase === 'running'

  const ask = async (message: Ask) => {
    setDraft('')
    setEditing(null)
    setAsking(null)
    await store.ask(message).catch(() => setDraft(message.text))
  }
  const send = async (how: Sending) => {
    const replaces = editing ? { replaces: await store.messageId(editing) } : {}
    const message: Ask = { text: draft.trim(), ...replaces, ...onBusyOf(how) }
    if (changes.length > 0 && how !== 'next') setAsking(message)
    else await ask(message)
  }
  const stop = () => void store.stop().catch((error: unknown) => toast(String(error), 'danger'))

  useEffect(() => {
    preloadMarkdown()
    if (conversationId) preloadTimeline()
  }, [conversationId])
  const find = useCallback(() => setFinding(true), [])
  const readOlder = useCallback(() => void store.readOlder().catch((error: unknown) => toast(messageOf(error), 'danger')), [store, toast])
  useFindKey(conversation.items.length > 0 && !finding, find)
  useCardKeys()
  useDoubleEscape(busy, stop, () => toast(en.chat.escAgain))
  useShortcuts({ t: () => run && setTimelineOf(run.id) })

  const edit = useCallback(
    (item: Item) => {
      setEditing(item)
      if (item.kind === 'user') setDraft(item.text)
    },
    [setDraft],
  )
  const actions = useMemo(
    (): CardActions & AnswerActions => ({
      decide: (call, decision) => store.decide(call, decision),
      suggest: setDraft,
      newerThan: (id) => newerThan(store.snapshot().conversation, id),
      edit,
      editLast: (runId) => withMessage(store.snapshot().conversation, runId, edit),
      retry: (runId) =>
        withMessage(store.snapshot().conversation, runId, (item) => {
          if (item.kind === 'user') void store.ask({ text: item.text }).catch(() => setDraft(item.text))
        }),
      showTimeline: setTimelineOf,
    }),
    [edit, setDraft, store],
  )

  return (
    <main className={css.chat} id="main">
      <ChatHeader conversation={conversation} lostAt={view.lostAt} onTimeline={() => setTimelineOf(run?.id ?? null)} onFind={find} />
      <Timeline
        conversation={conversation}
        actions={actions}
        hasOlder={view.hasOlder}
        readOlder={readOlder}
        found={found}
        overlay={
          finding && (
            <Suspense>
              <Find
                conversation={conversation}
                hasOlder={view.hasOlder}
                readOlder={readOlder}
                onFound={setFound}
                onClose={() => setFinding(false)}
              />
            </Suspense>
          )
        }
      >
        {view.loading && <Skeleton lines={6} />}
        {!conversationId && conversation.items.length === 0 && <Welcome onTry={(text) => void ask({ text })} />}
        {busy && isSilent(conversation) && (
          <p className={css.working}>
            <i aria-hidden />
            {en.chat.working}
          </p>
        )}
        {view.error !== null && <Problem error={view.error} empty={conversation.items.length === 0} />}
      </Timeline>
      <p className="visually-hidden" role="status">
        {statusOf(conversation, changes.length)}
      </p>
      <div className={css.bottom}>
        <WaitingBar changes={changes} />
        <Composer
          text={draft}
          onText={setDraft}
          busy={busy}
          waiting={changes.length}
          editing={editing !== null}
          onCancelEdit={() => {
            setEditing(null)
            setDraft('')
          }}
          onSend={(how) => void send(how)}
          onStop={stop}
        />
      </div>
      {asking && <Withdraw changes={changes.length} message={asking} onSend={(message) => void ask(message)} onClose={() => setAsking(null)} />}
      {timelineOf && conversation.runs[timelineOf] && (
        <Suspense>
          <RunTimeline conversation={conversation} runId={timelineOf} onClose={() => setTimelineOf(null)} />
        </Suspense>
      )}
    </main>
  )
}

function onBusyOf(how: Sending): Pick<Ask, 'onBusy'> {
  if (how === 'next') return { onBusy: 'enqueue' }
  return how === 'interrupt' ? { onBusy: 'interrupt' } : {}
}

function Problem({ error, empty }: { error: unknown; empty: boolean }) {
  return empty ? <ErrorState error={error} /> : <ErrorNote error={error} />
}

interface WithdrawProps {
  changes: number
  message: Ask
  onSend: (message: Ask) => void
  onClose: () => void
}

/** A message while a change waits withdraws it: the person says so, or lets the message wait. */
function Withdraw({ changes, message, onSend, onClose }: WithdrawProps) {
  return (
    <Dialog title={en.chat.withdraw(changes)} onClose={onClose}>
      <div className={css.choices}>
        <Button kind="primary" onClick={() => onSend({ ...message, onBusy: 'enqueue' })}>
          {en.chat.withdrawWait}
        </Button>
        <Button onClick={() => onSend(message)}>{en.chat.withdrawSend}</Button>
      </div>
    </Dialog>
  )
}

/** Whether nothing on the page shows that the agent works. */
function isSilent(conversation: Conversation): boolean {
  const last = conversation.items.at(-1)
  if (last?.kind === 'call') return conversation.calls[last.id]?.status !== 'executing'
  return !(last?.kind === 'text' && last.open)
}

function statusOf(conversation: Conversation, waiting: number): string {
  const phase = lastRun(conversation)?.phase
  if (phase === 'running') return en.chat.status.working
  if (waiting > 0) return en.chat.status.waiting(waiting)
  if (phase === 'failed') return en.chat.status.failed
  return phase === 'completed' ? en.chat.status.complete : ''
}

const newerThan = (conversation: Conversation, id: string): string | null =>
  Object.values(conversation.calls).find((call) => call.supersedes === id)?.id ?? null

function withMessage(conversation: Conversation, runId: string, then: (item: Item) => void): void {
  const first = conversation.items.findIndex((item) => item.runId === runId && item.kind !== 'user')
  const message = conversation.items.slice(0, Math.max(0, first)).findLast((item) => item.kind === 'user')
  if (message) then(message)
}
