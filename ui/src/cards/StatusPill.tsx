import type { CallStatus } from '../stream/state'
import { Pill } from '../ui/Pill'
import { en } from '../words/en'
import { STATUS } from './status'

export function StatusPill({ status }: { status: CallStatus }) {
  const { tone, icon } = STATUS[status]
  return (
    <Pill tone={tone} icon={icon} spinning={status === 'executing'}>
      {en.cards.status[status]}
    </Pill>
  )
}
