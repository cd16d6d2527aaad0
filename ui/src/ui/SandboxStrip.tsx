import { FlaskConical } from 'lucide-react'
import { Link } from 'wouter'
import { useSession } from '../session/session'
import { en } from '../words/en'
import css from './SandboxStrip.module.css'

/** Says that the model or the cluster is the sandbox's. */
export function SandboxStrip() {
  const sandbox = useSession().app?.sandbox
  if (!sandbox?.model && !sandbox?.cluster) return null
  const { strip, clusterOnly, modelOnly } = en.sandbox
  return (
    <aside className={css.strip} aria-label={en.sandbox.label}>
      <FlaskConical size={14} aria-hidden />
      <span>{sandbox.model && sandbox.cluster ? strip : sandbox.cluster ? clusterOnly : modelOnly}</span>
      <Link href="/first">{en.sandbox.connect}</Link>
    </aside>
  )
}
