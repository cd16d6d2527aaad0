import { X } from 'lucide-react'
import { useEffect, useId, useRef, type ReactNode } from 'react'
import { en } from '../words/en'
import { IconButton } from './Button'
import css from './Dialog.module.css'

interface Props {
  title: string
  onClose: () => void
  /** modal: centred. drawer: a full-height panel at the end of the page. */
  shape?: 'modal' | 'drawer'
  closable?: boolean
  children: ReactNode
}

/** A native modal dialog: the browser keeps the focus inside, makes the page inert and handles Esc. */
export function Dialog({ title, onClose, shape = 'modal', closable = true, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()

  useEffect(() => {
    const opener = document.activeElement
    const element = dialog.current
    element?.showModal()
    return () => {
      element?.close()
      if (opener instanceof HTMLElement) opener.focus()
    }
  }, [])

  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions, jsx-a11y/click-events-have-key-events -- a click on the backdrop; the keyboard has Esc
    <dialog
      ref={dialog}
      className={css.dialog}
      data-shape={shape}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        if (closable) onClose()
      }}
      onClick={(event) => {
        if (closable && event.target === dialog.current) onClose()
      }}
    >
      <div className={css.box}>
        <header className={css.head}>
          <h2 id={heading}>{title}</h2>
          {closable && (
            <IconButton label={en.common.close} onClick={onClose}>
              <X size={18} aria-hidden />
            </IconButton>
          )}
        </header>
        <div className={css.body}>{children}</div>
      </div>
    </dialog>
  )
}
