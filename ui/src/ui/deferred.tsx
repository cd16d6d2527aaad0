import { lazy, useState, type ComponentType } from 'react'

interface Deferred<Props> {
  /** Rendered at once when its file is loaded; else it suspends, like any component of `lazy`. */
  Component: ComponentType<Props>
  /** Load the file before it is needed. */
  preload: () => void
}

/**
 * A component in a file of its own.
 *
 * `lazy` alone suspends at its first rendering even if its file is there, and React shows what suspended 300 ms after
 * the last such time at the earliest: two of them, one in the other, made a long conversation take 0.6 s to open.
 */
export function deferred<Props extends object>(load: () => Promise<{ default: ComponentType<Props> }>): Deferred<Props> {
  let loaded: ComponentType<Props> | null = null
  const read = async () => {
    const file = await load()
    loaded = file.default
    return file
  }
  const Later = lazy(read)
  function Component(props: Props) {
    // Chosen once: another component in its place would lose its state.
    const [Chosen] = useState<ComponentType<Props>>(() => loaded ?? Later)
    return <Chosen {...props} />
  }
  // A file that can't be loaded is reported where it is rendered.
  return { Component, preload: () => void read().catch(() => undefined) }
}
