import type { Preview } from '../../src/stream/preview'
import type { Approval, Call, CallStatus } from '../../src/stream/state'

const now = Date.now()
const ana = { id: 'ana', name: 'Ana Lima' }

const object = { cluster: 'prod-eu-1', kind: 'Deployment', name: 'checkout', namespace: 'shop' }
const scale: Preview = {
  summary: 'Scale deployment/checkout in shop from 2 to 4',
  diff: '--- deployment/checkout in shop (live)\n+++ deployment/checkout in shop (after)\n@@ -4,4 +4,4 @@\n   name: checkout\n   namespace: shop\n spec:\n-  replicas: 2\n+  replicas: 4',
  noPreview: null,
  warnings: [],
  allowed: { allowed: true, reason: '', account: null },
  riskReason: 'changes an existing object',
  objects: [object],
}
const remove: Preview = {
  ...scale,
  summary: 'Delete deployment/checkout in shop, and its 2 pods',
  diff: '--- deployment/checkout in shop (live)\n+++ /dev/null\n@@ -1,4 +0,0 @@\n-apiVersion: apps/v1\n-kind: Deployment\n-metadata:\n-  name: checkout',
  warnings: ['PodDisruptionBudget checkout allows no disruption now.', '2 pods serve traffic.'],
  riskReason: 'this tool can’t restore a deleted object',
}
const hidden: Preview = {
  ...scale,
  summary: 'Patch secret/payments in shop',
  diff: '--- secret/payments in shop (live)\n+++ secret/payments in shop (after)\n@@ -3,3 +3,3 @@\n data:\n-  token: masked, 32 bytes, 9a1c\n+  token: masked, 40 bytes, 77fe\n   url: https://pay\u202egnp.example',
}

// 200 characters that nothing breaks, and text that runs from right to left.
const long = 'x'.repeat(200)
const hostile: Preview = {
  ...scale,
  summary: `Scale deployment/${long} in متجر from 2 to 4`,
  diff: `--- deployment/${long} in متجر (live)\n+++ deployment/${long} in متجر (after)\n@@ -1,2 +1,2 @@\n-${long}: قديم\n+${long}: جديد <img src=x onerror=alert(1)>`,
  warnings: [`${long}: <script>alert(1)</script>`],
  riskReason: long,
  objects: [{ cluster: long, kind: 'Deployment', name: long, namespace: 'متجر' }],
}

function make(id: string, status: CallStatus, preview: Preview | null, approval: Partial<Approval> = {}, more: Partial<Call> = {}): Call {
  return {
    id, runId: 'run', tool: 'k8s_scale', title: 'Scale a workload', status, requiresApproval: true,
    args: { kind: 'deployments', name: 'checkout', namespace: 'shop', replicas: 4 },
    requestedAt: now - 60_000, startedAt: now - 2400, endedAt: now, result: null, error: null, effect: null, progress: null, supersedes: null,
    approval: {
      digest: 'ce399b57aa', risk: 'medium', rule: 'default-changes', preview, expiresAt: now + 1_700_000, executeBy: now + 300_000,
      requester: { id: 'ben', name: 'Ben Okafor' }, mayDecide: true, whyNot: null, deciders: [], votes: [], votesNeeded: 1,
      decidedBy: null, decidedAt: null, reason: null, ...approval,
    },
    ...more,
  }
}

const decided = { decidedBy: ana.name, decidedAt: now - 3000 }

export const calls: Call[] = [
  make('wait', 'awaiting_approval', scale),
  make('destroy', 'awaiting_approval', remove, { risk: 'destructive', expiresAt: now + 71_000 }),
  make('may-not', 'awaiting_approval', remove, {
    risk: 'destructive', mayDecide: false, whyNot: 'You asked for this, and the rule wants somebody else to decide.', deciders: ['Ana Lima', 'Chen Wei'],
  }),
  make('quorum', 'awaiting_approval', scale, { votesNeeded: 2, rule: 'prod-needs-two', votes: [{ ...ana, at: now - 12_000 }] }),
  make('own-vote', 'awaiting_approval', scale, { votesNeeded: 2, votes: [{ id: 'me', name: 'ana@example.com', at: now }] }),
  make('refused', 'awaiting_approval', {
    ...scale, allowed: { allowed: false, reason: 'deployments.apps "checkout" is forbidden: User "skyflo" cannot patch', account: null },
  }),
  make('no-preview', 'awaiting_approval', { ...scale, summary: 'Run the job deploy-checkout', diff: null, noPreview: 'Jenkins can’t say what a job would do.' }),
  make('hidden', 'awaiting_approval', hidden, { risk: 'high' }),
  make('hostile', 'awaiting_approval', hostile, { risk: 'destructive', rule: long, requester: { id: 'x', name: long }, deciders: [long] }),
  make('approved', 'approved', scale, { ...decided, reason: 'as discussed' }),
  make('executing', 'executing', scale, decided, { progress: '2 of 4 replicas updated · 50 %' }),
  make('completed', 'completed', scale, { ...decided, reason: 'as discussed' }, { result: [{ type: 'text', text: 'Scaled deployment/checkout in shop from 2 to 4\nreplicas: 4' }] }),
  make('error', 'error', scale, decided, { error: 'The API server refused it: admission webhook "limits" denied the request.', effect: 'none' }),
  make('partial', 'error', scale, decided, { error: 'The second of two objects could not be written.', effect: 'partial' }),
  make('denied', 'denied', scale, { ...decided, reason: 'wait for the freeze to end' }),
  make('expired', 'expired', scale),
  make('superseded', 'superseded', scale),
  make('stopped', 'stopped', scale),
  make('stale', 'stale', scale, { reason: 'spec.replicas is 3 now, it was 2 when this was shown.' }),
  make('unknown', 'unknown', scale, decided, { error: 'The tool server did not answer after the change was sent.' }),
]

const read = (id: string, kind: string, more: Partial<Call> = {}): Call => ({
  ...make(id, 'completed', null), approval: null, requiresApproval: false, title: 'Get objects', tool: 'k8s_get', args: { kind, namespace: 'shop' },
  result: [{ type: 'text', text: 'NAME   READY\ncart   2/2' }], ...more,
})

export const reads: Call[] = [
  read('r1', 'pods'), read('r2', 'deployments'),
  read('r3', 'events', { status: 'error', error: 'The API server did not answer within 10 s.', result: null }),
]
