import { useEffect, useState } from 'react'
import { useClockOffset } from '../stream/clock'
import { ago, dateTime } from '../words/format'

/** Returns the current time, renewed every `everyMs`. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

/** "3 min ago" by the engine's clock, with the exact time on hover. */
export function Ago({ at }: { at: number }) {
  const now = useNow(30_000) + useClockOffset()
  return (
    <time dateTime={new Date(at).toISOString()} title={dateTime(at)}>
      {ago(Math.max(0, now - at))}
    </time>
  )
}
