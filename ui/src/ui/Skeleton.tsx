import { useEffect, useState } from 'react'
import { en } from '../words/en'
import css from './Skeleton.module.css'

const SHOWN_AFTER_MS = 200

/** Grey lines in the shape of a list, shown only when loading takes longer than 200 ms. */
export function Skeleton({ lines = 4 }: { lines?: number }) {
  const [shown, setShown] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), SHOWN_AFTER_MS)
    return () => clearTimeout(timer)
  }, [])
  if (!shown) return null
  return (
    <div className={css.skeleton} role="status" aria-label={en.common.loading}>
      {Array.from({ length: lines }, (_, line) => (
        <i key={line} />
      ))}
    </div>
  )
}
