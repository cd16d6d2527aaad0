import { useEffect, useState } from 'react'

/** The value as it was `ms` ago: what a person typed, once they pause. */
export function useDelayed<T>(value: T, ms = 300): T {
  const [delayed, setDelayed] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setDelayed(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return delayed
}
