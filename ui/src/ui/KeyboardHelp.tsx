import { en } from '../words/en'
import { Dialog } from './Dialog'
import css from './KeyboardHelp.module.css'
import { singleKeysAreOn } from './shortcuts'

export default function KeyboardHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={en.keyboard.title} onClose={onClose}>
      {!singleKeysAreOn() && <p>{en.keyboard.off}</p>}
      <KeyboardTable />
    </Dialog>
  )
}

export function KeyboardTable() {
  return (
    <dl className={css.keys}>
      {en.keyboard.rows.map(([key, text]) => (
        <div key={key}>
          <dt>
            <kbd>{key}</kbd>
          </dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  )
}
