// Tells of searches that took long, with what they did.
import type { BindingCollection } from './native/binding.js'
import { Block, unwrap } from './native/from-native.js'
import type { SlowQuery } from './options.js'
import type { NativeQuery } from './search.js'
import type { SearchPlan, SearchStage } from './types.js'

/**
 * Measures searches and tells of those at or above a threshold.
 *
 * What a slow search did is found by asking again, once it has been answered: searches that are not
 * slow pay for a copy of their vector and nothing else. One is asked again at a time; those that
 * end meanwhile are told without a plan, so that a slow machine is not made slower still.
 */
export class SlowQueries {
  readonly #thresholdMs: number
  readonly #tell: (slow: SlowQuery) => void
  #explaining = false

  constructor(thresholdMs: number, tell: (slow: SlowQuery) => void) {
    this.#thresholdMs = thresholdMs
    this.#tell = tell
  }

  /** Call it when a search begins, and what it returns when it has been answered. */
  begin(
    collection: BindingCollection,
    { vector, numbers, filter, shape, sources }: NativeQuery,
  ): () => void {
    const copy = { vector: vector.slice(), numbers: numbers.slice(), filter, shape, sources }
    const start = performance.now()
    return () => {
      const elapsedMs = performance.now() - start
      if (elapsedMs < this.#thresholdMs) return
      // Nobody waits for it, and what the callback throws fails nothing.
      this.#note(collection, copy, elapsedMs).catch(() => undefined)
    }
  }

  async #note(
    collection: BindingCollection,
    {
      vector,
      numbers,
      filter,
      shape,
      sources,
    }: Pick<NativeQuery, 'vector' | 'numbers' | 'filter' | 'shape' | 'sources'>,
    elapsedMs: number,
  ): Promise<void> {
    const { name } = collection
    let plan: SearchPlan | null = null
    if (!this.#explaining) {
      this.#explaining = true
      try {
        const { version, hits, stages } = unwrap(
          await collection.explain(vector, numbers, filter, shape, sources, null),
        )
        plan = {
          version,
          keys: new Block(hits).keys(),
          stages: stages as readonly SearchStage[],
        }
      } catch {
        // It was closed or dropped meanwhile: told without a plan.
      } finally {
        this.#explaining = false
      }
    }
    this.#tell({ collection: name, elapsedMs, plan })
  }
}
