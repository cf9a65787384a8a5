// Hits in an order that a function of the caller's gives them.
import { isObject, wrong } from './check.js'
import { toCairnError } from './errors.js'
import type { HitObject } from './native/from-native.js'
import type { Interrupt } from './signal.js'

/** As `Rerank` of the public types. */
export type AnyRerank = (hits: readonly HitObject[], query: unknown) => unknown

/** Hits that a function gets, where there are as many. */
export const rerankDepth = 100

/** Something that was thrown by the caller's own code. */
export class CallersOwn {
  readonly error: unknown

  constructor(error: unknown) {
    this.error = error
  }
}

/** What a call throws that calls the caller's own code: what that threw as it was. */
export function rethrown(error: unknown): unknown {
  return error instanceof CallersOwn ? error.error : toCairnError(error)
}

/**
 * The first `k` hits in the order that `order` gives them.
 *
 * @throws {CallersOwn} for what `order` throws; {@link CairnError} for an answer that is no order.
 */
export async function reranked(
  hits: HitObject[],
  query: unknown,
  { order, k }: { readonly order: AnyRerank; readonly k: number },
  interrupt: Interrupt,
): Promise<HitObject[]> {
  if (hits.length === 0) return hits
  const answer = await interrupt.wait(called(order, hits.slice(), query))
  if (!Array.isArray(answer)) throw wrongAnswer('an array', answer)
  const list: unknown[] = Array.from(answer)
  const isScored = list.length === hits.length && list.every((each) => typeof each === 'number')
  const all = isScored ? byScore(hits, list) : inOrder(hits, list)
  return all.slice(0, k)
}

async function called(order: AnyRerank, hits: HitObject[], query: unknown): Promise<unknown> {
  try {
    return await order(hits, query)
  } catch (error) {
    throw new CallersOwn(error)
  }
}

/** Highest score first; those that score the same stay as they were. */
function byScore(hits: readonly HitObject[], scores: readonly number[]): HitObject[] {
  const scored = hits.map((hit, at) => {
    const score = scores[at] as number
    if (!Number.isFinite(score)) throw wrongAnswer('finite scores', score)
    return { ...hit, score, distance: -score }
  })
  return scored.sort((a, b) => b.score - a.score)
}

function inOrder(hits: readonly HitObject[], list: readonly unknown[]): HitObject[] {
  const left = new Set(hits.map(({ key }) => key))
  for (const hit of list) {
    if (!isObject(hit)) throw wrongAnswer(`${hits.length} scores, or hits`, hit)
    const key = hit['key'] as HitObject['key']
    if (!left.delete(key)) throw wrongAnswer('each of the hits at most once', key)
  }
  return list as HitObject[]
}

function wrongAnswer(expected: string, got: unknown): Error {
  return wrong('rerank gave no order of the hits', expected, got, 'rerank')
}
