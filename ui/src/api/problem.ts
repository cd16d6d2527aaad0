import type { components } from '../generated/api'

export type Problem = Partial<components['schemas']['Problem']> & { status: number; detail: string }

/** A refusal by the engine, with the problem details that it sent. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfterMs?: number,
  ) {
    super(problem.detail)
    this.name = 'ProblemError'
  }

  get status(): number {
    return this.problem.status
  }
}

/** The engine could not be reached at all. Not an error of the request: it may be repeated. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super('The engine does not answer. Check that it runs and that this device is online.', { cause })
    this.name = 'Unreachable'
  }
}

/** The problem of a refused request whose body has not been read. */
export const problemOf = async (response: Response): Promise<ProblemError> =>
  toProblem(response, await response.json().catch(() => null))

/** The problem of a refused request, from its body as it was read. */
export function toProblem(response: Response, body: unknown): ProblemError {
  const retryAfter = Number(response.headers.get('retry-after'))
  return new ProblemError(parse(response, body), retryAfter > 0 ? retryAfter * 1000 : undefined)
}

function parse({ status }: Response, body: unknown): Problem {
  if (typeof body === 'object' && body !== null && 'detail' in body && typeof body.detail === 'string') {
    return { ...body, status, detail: body.detail }
  }
  return { status, detail: `The engine answered ${status} without saying why. Try again, or look at its log.` }
}
