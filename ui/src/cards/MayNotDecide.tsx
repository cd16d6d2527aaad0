import { Link2, UserRoundX } from 'lucide-react'
import type { Approval } from '../stream/state'
import { Button } from '../ui/Button'
import { copyText } from '../ui/copyText'
import { useToast } from '../ui/Toast'
import { en } from '../words/en'
import css from './ApprovalCard.module.css'

/** Why this person may not decide, who may, and a link to send them. */
export function MayNotDecide({ approval, callId }: { approval: Approval; callId: string }) {
  const toast = useToast()
  const copy = async () => {
    const link = new URL(`/approvals/${callId}`, location.href).href
    if (await copyText(link)) toast(en.cards.linkCopied)
    else toast(link, 'danger')
  }
  return (
    <footer className={css.decide}>
      <p className={css.access}>
        <UserRoundX size={16} aria-hidden />
        <span>
          {approval.whyNot ?? (approval.mayDecide === null ? en.cards.viewer : en.cards.mayNot)}{' '}
          {approval.deciders.length > 0 && en.cards.whoMay(approval.deciders.join(', '))}
        </span>
      </p>
      <div className={css.actions}>
        <Button onClick={() => void copy()}>
          <Link2 size={15} aria-hidden />
          {en.cards.copyLink}
        </Button>
      </div>
    </footer>
  )
}
