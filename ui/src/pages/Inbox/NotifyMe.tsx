import { Bell } from 'lucide-react'
import { useEffect, useState } from 'react'
import { client, unwrap } from '../../api/client'
import { approvalFromView } from '../../stream/approval'
import { useFeed } from '../../stream/feed'
import { Button } from '../../ui/Button'
import { inbox } from '../../words/en/inbox'

/** Browser notifications, asked for by a click only. Never for what the person may not decide. */
export function NotifyMe() {
  const supported = 'Notification' in globalThis
  const [permission, setPermission] = useState(supported ? Notification.permission : 'denied')
  const feed = useFeed()
  useEffect(() => {
    if (permission !== 'granted') return undefined
    return feed.listen((event) => {
      if (event.type === 'approval.requested') void notify(event.call_id)
    })
  }, [feed, permission])
  if (!supported) return null
  if (permission === 'granted') return <small>{inbox.notifying}</small>
  return (
    <Button
      disabled={permission === 'denied'}
      title={permission === 'denied' ? inbox.notifyDenied : undefined}
      onClick={() => void Notification.requestPermission().then(setPermission)}
    >
      <Bell size={15} aria-hidden />
      {inbox.notify}
    </Button>
  )
}

async function notify(callId: string): Promise<void> {
  const path = { call_id: callId }
  const view = await unwrap(client.GET('/api/v1/agent/approvals/{call_id}', { params: { path } })).catch(() => null)
  if (!view || approvalFromView(view).mayDecide === false) return
  const body = approvalFromView(view).preview?.summary ?? view.title
  const shown = new Notification(inbox.notification, { body, tag: callId })
  shown.addEventListener('click', () => {
    window.focus()
    location.assign(`/approvals/${callId}`)
  })
}
