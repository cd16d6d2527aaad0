import { useEffect, useState } from 'react'
import { useClockOffset } from '../stream/clock'
import { timeLeft } from '../words/format'
import css from './TimeLeft.module.css'

const SOON_MS = 120_000

/** How long a decision is still possible, by the engine's clock. Ticks each second in the last two minutes, and is red then. */
export function TimeLeft({ until }: { until: number }) {
  const offset = useClockOffset()
  const [now, setNow] = useState(Date.now)
  const left = until - now - offset
  const soon = left < SOON_MS
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), soon ? 1000 : 10_000)
    return () => clearInterval(timer)
  }, [soon])
  return (
    <span className={css.left} data-soon={soon}>
      {timeLeft(left)}
    </span>
  )
}
