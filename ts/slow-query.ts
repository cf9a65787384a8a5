// Tells of searches that took long, with what they did.
import type { BindingCollection } from './native/binding.js'
import { fromNativePlan, unwrap } from './native/from-native.js'
import type { SlowQuery } from './options.js'
import type { NativeQuery } from './search.js'
import type { SearchPlan } from './types.js'

/** What it takes to search again. */
type Asked = Pick<NativeQuery, 'vector' | 'numbers' | 'names' | 'filter' | 'shape' | 'sources'>

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

  /**
   * Call it when a search begins, and what it returns when it has been answered, with the plan of a search that told
   * one: it is not asked again.
   */
  begin(
    collection: BindingCollection,
    { vector, numbers, names, filter, shape, sources }: NativeQuery,
  ): (own?: SearchPlan) => void {
    const copy = { vector: vector.slice(), numbers: numbers.slice(), names, filter, shape, sources }
    const start = performance.now()
    return (own) => {
      const elapsedMs = performance.now() - start
      if (elapsedMs < this.#thresholdMs) return
      const { name } = collection
      const tell = async (): Promise<void> => {
        const plan = own ?? (await this.#planOf(collection, copy))
        this.#tell({ collection: name, elapsedMs, plan })
      }
      // Nobody waits for it, and what the callback throws fails nothing.
      tell().catch(() => undefined)
    }
  }

  /** What such a search does; null where another one is being asked. */
  async #planOf(
    collection: BindingCollection,
    { vector, numbers, names, filter, shape, sources }: Asked,
  ): Promise<SearchPlan | null> {
    if (this.#explaining) return null
    this.#explaining = true
    try {
      const again = collection.explain(vector, numbers, names, filter, shape, sources, null)
      return fromNativePlan(unwrap(await again))
    } catch {
      // It was closed or dropped meanwhile: told without a plan.
      return null
    } finally {
      this.#explaining = false
    }
  }
}
