import { Check, CircleAlert, Copy } from 'lucide-react'
import { useState } from 'react'
import { en } from '../words/en'
import { IconButton } from './Button'
import { copyText } from './copyText'

const SHOWN_MS = 1500
const icons = { idle: Copy, copied: Check, failed: CircleAlert }

/** Copies the text, and says whether that worked. */
export function CopyButton({ text, label }: { text: string | (() => string); label: string }) {
  const [state, setState] = useState<keyof typeof icons>('idle')
  const copy = async () => {
    setState((await copyText(typeof text === 'string' ? text : text())) ? 'copied' : 'failed')
    setTimeout(() => setState('idle'), SHOWN_MS)
  }
  const Icon = icons[state]
  const said = { idle: label, copied: en.common.copied, failed: en.common.notCopied }[state]
  return (
    <IconButton label={said} onClick={() => void copy()}>
      <Icon size={14} aria-hidden />
    </IconButton>
  )
}
