import { visible } from '../ui/visible'
import css from './ApprovalCard.module.css'

/** JSON as text, with characters that hide or reorder text made visible. */
export function JsonView({ value, label }: { value: unknown; label: string }) {
  return (
    <pre className={css.json} tabIndex={0} role="group" aria-label={label}>
      {visible(JSON.stringify(value, null, 2))}
    </pre>
  )
}
