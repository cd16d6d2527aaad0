import { Tabs as Radix } from 'radix-ui'
import type { ReactNode } from 'react'
import css from './Tabs.module.css'

interface Tab {
  id: string
  label: ReactNode
  content: ReactNode
}

interface Props {
  label: string
  tabs: Tab[]
  start?: string | undefined
  /** Shown at the end of the row of tabs. */
  end?: ReactNode
  onOpen?: (id: string) => void
}

export function Tabs({ label, tabs, start, end, onOpen }: Props) {
  return (
    <Radix.Root defaultValue={start ?? tabs[0]?.id ?? ''} {...(onOpen ? { onValueChange: onOpen } : {})}>
      <div className={css.row}>
        <Radix.List className={css.list} aria-label={label}>
          {tabs.map((tab) => (
            <Radix.Trigger key={tab.id} value={tab.id} className={css.tab}>
              {tab.label}
            </Radix.Trigger>
          ))}
        </Radix.List>
        {end}
      </div>
      {tabs.map((tab) => (
        <Radix.Content key={tab.id} value={tab.id} className={css.panel}>
          {tab.content}
        </Radix.Content>
      ))}
    </Radix.Root>
  )
}
