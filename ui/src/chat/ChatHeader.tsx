import { ChartNoAxesGantt, Download, Ellipsis, FileJson, RotateCw, Search } from 'lucide-react'
import { API, fetchWithSession } from '../api/client'
import { problemOf } from '../api/problem'
import { wakeStreams } from '../stream/sse'
import { lastRun, type Conversation } from '../stream/state'
import { Button } from '../ui/Button'
import { Menu } from '../ui/Menu'
import { saveFile } from '../ui/saveFile'
import { useNow } from '../ui/Time'
import { useToast } from '../ui/Toast'
import { messageOf } from '../ui/ErrorState'
import { timeOfDay } from '../words/format'
import { en } from '../words/en'
import { Figures } from './AnswerFoot'
import css from './Chat.module.css'

const LONG_LOST_MS = 20_000

interface Props {
  conversation: Conversation
  lostAt: number | null
  onTimeline: () => void
  onFind: () => void
}

/** Title, what the last run cost, and the state of the connection. */
export function ChatHeader({ conversation, lostAt, onTimeline, onFind }: Props) {
  const run = lastRun(conversation)
  return (
    <header className={css.head}>
      <h1>{conversation.title || en.chat.title}</h1>
      {lostAt === null ? (
        run && (
          <span className={css.meta}>
            <Figures run={run} />
          </span>
        )
      ) : (
        <Lost since={lostAt} />
      )}
      {conversation.id && <ConversationMenu id={conversation.id} onTimeline={onTimeline} onFind={onFind} />}
    </header>
  )
}

function Lost({ since }: { since: number }) {
  const long = useNow(1000) - since > LONG_LOST_MS
  return (
    <span className={css.lost} role="status">
      <RotateCw size={13} aria-hidden />
      {long ? en.chat.unreachableSince(timeOfDay(since)) : en.chat.reconnecting}
      {long && (
        <Button kind="link" onClick={wakeStreams}>
          {en.chat.retryNow}
        </Button>
      )}
    </span>
  )
}

function ConversationMenu({ id, onTimeline, onFind }: { id: string; onTimeline: () => void; onFind: () => void }) {
  const toast = useToast()
  const save = (format: 'markdown' | 'json') => () =>
    void exportConversation(id, format).catch((error: unknown) => toast(messageOf(error), 'danger'))
  return (
    <Menu
      label={en.common.more}
      trigger={<Ellipsis size={18} aria-hidden />}
      items={[
        { label: en.chat.find.open, icon: <Search size={15} aria-hidden />, onSelect: onFind },
        { label: en.chat.answer.timeline, icon: <ChartNoAxesGantt size={15} aria-hidden />, onSelect: onTimeline },
        { label: en.chat.answer.exportMarkdown, icon: <Download size={15} aria-hidden />, onSelect: save('markdown') },
        { label: en.chat.answer.exportJson, icon: <FileJson size={15} aria-hidden />, onSelect: save('json') },
      ]}
    />
  )
}

async function exportConversation(id: string, format: 'markdown' | 'json'): Promise<void> {
  const path = new URL(`${API}/conversations/${id}/export?format=${format}`, location.href)
  const response = await fetchWithSession(new Request(path, { credentials: 'same-origin' }))
  if (!response.ok) throw await problemOf(response)
  const [end, type] = format === 'json' ? ['json', 'application/json'] : ['md', 'text/markdown']
  saveFile(`conversation-${id.slice(0, 8)}.${end}`, await response.text(), type)
}
