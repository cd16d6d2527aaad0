import { useState } from 'react'
import { isObject, type JsonObject } from '../stream/preview'
import { Field } from '../ui/Field'
import { en } from '../words/en'
import css from './ApprovalCard.module.css'
import { CardForm } from './CardForm'

interface Props {
  args: JsonObject
  busy: boolean
  onPropose: (args: JsonObject) => void
  onBack: () => void
}

/** Other arguments for the same tool. They become a new proposal, with a preview of its own. */
export function EditForm({ args, busy, onPropose, onBack }: Props) {
  const before = JSON.stringify(args, null, 2)
  const [text, setText] = useState(before)
  const [problem, setProblem] = useState<string>()

  const propose = () => {
    const edited = parse(text)
    if (!edited) setProblem(en.cards.editNotJson)
    else if (JSON.stringify(edited, null, 2) === before) setProblem(en.cards.editSame)
    else onPropose(edited)
  }

  return (
    <CardForm submit={en.cards.editSubmit} kind="primary" busy={busy} onSubmit={propose} onBack={onBack}>
      <Field label={en.cards.editTitle} hint={en.cards.editHint} error={problem}>
        <textarea
          className={css.editor}
          value={text}
          rows={Math.min(18, text.split('\n').length + 1)}
          spellCheck={false}
          autoFocus
          onChange={(event) => setText(event.target.value)}
        />
      </Field>
    </CardForm>
  )
}

function parse(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null // not JSON: the field says so
  }
}
