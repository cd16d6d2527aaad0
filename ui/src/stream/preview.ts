// The tool server's preview of a change, read from JSON that may come from any server: nothing in it is trusted to exist.

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }
export type JsonObject = Record<string, unknown>

export interface ChangedObject {
  cluster: string | null
  kind: string
  name: string
  namespace: string | null
}

export interface Preview {
  summary: string | null
  diff: string | null
  noPreview: string | null
  warnings: string[]
  allowed: { allowed: boolean; reason: string; account: string | null } | null
  riskReason: string | null
  objects: ChangedObject[]
}

export function readPreview(raw: unknown): Preview | null {
  if (!isObject(raw)) return null
  const allowed = isObject(raw['allowed']) ? raw['allowed'] : null
  const risk = isObject(raw['risk']) ? raw['risk'] : null
  return {
    summary: text(raw['summary']),
    diff: text(raw['diff']),
    noPreview: text(raw['no_preview']),
    warnings: list(raw['warnings']).filter((warning) => typeof warning === 'string'),
    allowed: allowed && {
      allowed: allowed['allowed'] === true,
      reason: text(allowed['reason']) ?? '',
      account: text(allowed['user']) ?? text(allowed['account']),
    },
    riskReason: risk && text(risk['reason']),
    objects: list(raw['objects']).filter(isObject).map(readObject),
  }
}

function readObject(raw: JsonObject): ChangedObject {
  return {
    cluster: text(raw['cluster']),
    kind: text(raw['kind']) ?? '',
    name: text(raw['name']) ?? '',
    namespace: text(raw['namespace']),
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
