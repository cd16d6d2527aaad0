import { Inbox as InboxIcon } from 'lucide-react'
import { Link } from 'wouter'
import { EmptyState } from '../../ui/EmptyState'
import { inbox } from '../../words/en/inbox'
import type { InboxTab } from './useInbox'

export function NothingHere({ tab }: { tab: InboxTab }) {
  return (
    <EmptyState icon={InboxIcon} title={inbox.empty[tab]}>
      <p>{inbox.empty[`${tab}Text`]}</p>
      {tab === 'pending' && <Link href="/">{inbox.empty.ask}</Link>}
    </EmptyState>
  )
}
