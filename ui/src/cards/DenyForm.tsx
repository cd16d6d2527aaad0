import { useState } from 'react'
import { Field } from '../ui/Field'
import { en } from '../words/en'
import { CardForm } from './CardForm'

export function DenyForm({ busy, onDeny, onBack }: { busy: boolean; onDeny: (reason: string) => void; onBack: () => void }) {
  const [reason, setReason] = useState('')
  return (
    <CardForm submit={en.cards.denyChange} kind="danger" busy={busy} onSubmit={() => onDeny(reason.trim())} onBack={onBack}>
      <Field label={en.cards.denyReason}>
        <input value={reason} maxLength={2000} autoFocus onChange={(event) => setReason(event.target.value)} />
      </Field>
    </CardForm>
  )
}
