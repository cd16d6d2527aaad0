import { useState } from 'react'
import { client, unwrap, type Schemas } from '../../api/client'
import { Field } from '../../ui/Field'
import { Form, textOf } from '../../ui/Form'
import { Section } from '../../ui/Page'
import { tools as words } from '../../words/en/tools'
import { DecisionPill } from './Policy'
import css from './Tools.module.css'

type Arguments = NonNullable<Schemas['ExplainRequest']['args']>

/** Ask what the policy would say of a call, and why. */
export function Explain({ tools }: { tools: Schemas['ToolView'][] }) {
  const [answer, setAnswer] = useState<Schemas['Explanation'] | null>(null)
  const explain = async (form: FormData) => {
    setAnswer(null)
    const body = {
      tool: textOf(form, 'tool') ?? '',
      args: parseArguments(textOf(form, 'arguments')),
      user: textOf(form, 'person'),
    }
    setAnswer(await unwrap(client.POST('/api/v1/policy/explain', { body })))
  }
  return (
    <Section title={words.explain} lead={words.explainLead}>
      <Form submit={words.ask} onSubmit={explain}>
        <Field label={words.tool}>
          <select name="tool" required defaultValue="">
            <option value="" disabled>
              {words.choose}
            </option>
            {tools.map((tool) => (
              <option key={tool.name}>{tool.name}</option>
            ))}
          </select>
        </Field>
        <Field label={words.arguments} hint={words.argumentsHint}>
          <textarea name="arguments" spellCheck={false} maxLength={20_000} />
        </Field>
        <Field label={words.person} hint={words.personHint}>
          <input name="person" type="email" />
        </Field>
      </Form>
      {answer && <Answer answer={answer} />}
    </Section>
  )
}

function parseArguments(text: string | null): Arguments {
  if (text === null) return {}
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Arguments
  } catch {
    // said below, as for any other text that is no object
  }
  throw new Error(words.notJson)
}

function Answer({ answer }: { answer: Schemas['Explanation'] }) {
  return (
    <div className={css.answer} role="status">
      <div>
        <DecisionPill decision={answer.decision} /> <code>{answer.rule}</code> {words.decides}
      </div>
      {answer.reason && <p>{answer.reason}</p>}
      {answer.guessed && <p>{answer.guessed}</p>}
      {answer.votes_needed > 0 && <p>{words.votes(answer.votes_needed)}</p>}
      {answer.passed.length > 0 && (
        <details>
          <summary>{words.passed}</summary>
          <dl>
            {answer.passed.map((passed) => (
              <div key={passed.rule}>
                <dt>
                  <code>{passed.rule}</code>
                </dt>
                <dd>{passed.because}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </div>
  )
}
