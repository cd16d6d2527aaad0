import { useId, useRef, type KeyboardEvent, type ReactNode } from 'react'
import css from './Menu.module.css'

export interface MenuItem {
  label: string
  icon?: ReactNode
  danger?: boolean
  disabled?: boolean
  onSelect: () => void
}

/** A button that opens a menu. A native popover: the browser closes it on Esc and on a click elsewhere. */
export function Menu({ label, trigger, items }: { label: string; trigger: ReactNode; items: MenuItem[] }) {
  const id = useId()
  const button = useRef<HTMLButtonElement>(null)
  const list = useRef<HTMLDivElement>(null)

  const place = () => {
    const [box, menu] = [button.current?.getBoundingClientRect(), list.current]
    if (!box || !menu) return
    const below = box.bottom + 4 + menu.offsetHeight < innerHeight
    menu.style.top = `${below ? box.bottom + 4 : Math.max(4, box.top - 4 - menu.offsetHeight)}px`
    menu.style.left = `${Math.max(8, Math.min(box.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8))}px`
    menu.querySelector<HTMLElement>('[role=menuitem]:not(:disabled)')?.focus()
  }

  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const choices = [...(list.current?.querySelectorAll<HTMLElement>('[role=menuitem]:not(:disabled)') ?? [])]
    const at = choices.findIndex((choice) => choice === document.activeElement)
    choices.at((at + step) % choices.length)?.focus()
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        className={css.trigger}
        popoverTarget={id}
        aria-label={label}
        aria-haspopup="menu"
        title={label}
      >
        {trigger}
      </button>
      <div
        ref={list}
        id={id}
        popover="auto"
        role="menu"
        tabIndex={-1}
        aria-label={label}
        className={css.menu}
        onToggle={(event) => event.newState === 'open' && place()}
        onKeyDown={move}
      >
        {items.map((item) => (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            tabIndex={-1}
            data-danger={item.danger}
            disabled={item.disabled}
            onClick={() => {
              list.current?.hidePopover()
              item.onSelect()
            }}
          >
            {item.icon}
            {item.label}
          </button>
        ))}
      </div>
    </>
  )
}
