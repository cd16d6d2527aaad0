// Numbers and times in words. All locale-dependent formatting of the page is here.

const LOCALE = 'en'
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const numbers = new Intl.NumberFormat(LOCALE)
const clock = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
const date = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium' })
const exact = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })

export const count = (value: number): string => numbers.format(value)

export const plural = (value: number, one: string, many: string = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`

export function duration(ms: number): string {
  if (ms < 950) return `${Math.max(1, Math.round(ms))} ms`
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 2 * MINUTE) return `${Math.round(ms / 1000)} s`
  if (ms < 2 * HOUR) return `${Math.floor(ms / MINUTE)} min`
  return `${Math.floor(ms / HOUR)} h`
}

export function timeLeft(ms: number): string {
  if (ms <= 0) return 'Time is up'
  if (ms < 2 * MINUTE) return `${Math.ceil(ms / 1000)} s left`
  if (ms < 2 * HOUR) return `${Math.floor(ms / MINUTE)} min left`
  return `${Math.floor(ms / HOUR)} h left`
}

export function ago(ms: number): string {
  if (ms < 1500) return 'just now'
  if (ms < 2 * MINUTE) return `${Math.round(ms / 1000)} s ago`
  if (ms < 2 * HOUR) return `${Math.floor(ms / MINUTE)} min ago`
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h ago`
  return `${Math.floor(ms / DAY)} days ago`
}

export const cost = (dollars: number): string => {
  if (dollars === 0) return '$0'
  return dollars < 0.01 ? `$${dollars.toFixed(4)}` : `$${dollars.toFixed(2)}`
}

export const timeOfDay = (at: number): string => clock.format(at)
export const day = (at: number): string => date.format(at)
export const dateTime = (at: number): string => exact.format(at)

export function bytes(size: number): string {
  if (size < 1000) return `${size} B`
  if (size < 1_000_000) return `${(size / 1000).toFixed(1)} kB`
  return `${(size / 1_000_000).toFixed(1)} MB`
}
