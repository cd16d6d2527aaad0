import { useShortcuts } from '../ui/shortcuts'

const CARDS = '[data-call]'

/** Keys of approval cards: j k move between them, o a d e v act on the focused one. */
export function useCardKeys(): void {
  useShortcuts({
    j: () => move(1),
    k: () => move(-1),
    o: () => focusedCard()?.querySelector<HTMLElement>('summary')?.click(),
    a: () => focusOn('[data-action=confirm]') || focusOn('[data-action=approve]'),
    d: () => act('[data-action=deny]'),
    e: () => act('[data-action=edit]'),
    v: () => act('[data-action=verify]'),
  })
}

const focusedCard = (): HTMLElement | null => document.activeElement?.closest<HTMLElement>(CARDS) ?? null

function move(step: 1 | -1): void {
  const cards = [...document.querySelectorAll<HTMLElement>(CARDS)]
  const current = focusedCard()
  const at = current ? cards.indexOf(current) + step : step === 1 ? 0 : cards.length - 1
  const next = cards[Math.max(0, Math.min(cards.length - 1, at))]
  next?.focus()
  next?.scrollIntoView({ block: 'nearest' })
}

/** Moves the focus only: Enter approves. */
function focusOn(selector: string): boolean {
  const target = focusedCard()?.querySelector<HTMLElement>(selector)
  target?.focus()
  return target != null
}

const act = (selector: string): void => focusedCard()?.querySelector<HTMLElement>(selector)?.click()
