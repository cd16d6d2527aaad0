import { useSyncExternalStore } from 'react'

const wide = matchMedia('(min-width: 1180px)')

const subscribe = (listener: () => void) => {
  wide.addEventListener('change', listener)
  return () => wide.removeEventListener('change', listener)
}

/** Whether the list and the chosen approval fit beside each other. */
export const useWide = (): boolean => useSyncExternalStore(subscribe, () => wide.matches)
