import { Ban, Check, CircleAlert, CircleCheck, CircleHelp, Clock, LoaderCircle, RefreshCwOff, type LucideIcon } from 'lucide-react'
import type { CallStatus } from '../stream/state'
import type { Tone } from '../ui/Pill'

/** How each state of a call looks. Its word is in words/en/cards.ts. To add one, see docs/howto/add-a-card-state.md. */
export const STATUS: Record<CallStatus, { tone: Tone; icon: LucideIcon }> = {
  pending: { tone: 'idle', icon: Clock },
  awaiting_approval: { tone: 'wait', icon: Clock },
  approved: { tone: 'note', icon: Check },
  executing: { tone: 'note', icon: LoaderCircle },
  completed: { tone: 'ok', icon: CircleCheck },
  error: { tone: 'danger', icon: CircleAlert },
  denied: { tone: 'idle', icon: Ban },
  expired: { tone: 'idle', icon: Clock },
  superseded: { tone: 'idle', icon: Ban },
  stale: { tone: 'wait', icon: RefreshCwOff },
  stopped: { tone: 'idle', icon: Ban },
  unknown: { tone: 'odd', icon: CircleHelp },
}
