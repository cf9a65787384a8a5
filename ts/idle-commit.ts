// Writes that no sync covered become durable once their collection rests.
import { isCairnError } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { BindingCollection } from './native/binding.js'
import { unwrap } from './native/from-native.js'

/** A collection rests when nothing was written to it for this long. */
const restMs = 1000

type Committed = Pick<BindingCollection, 'name' | 'commit'>

interface Rest {
  readonly collection: Committed
  /** When it has rested long enough, in the time of `performance.now()`. */
  readonly due: number
}

/**
 * Commits each collection of a database when it has rested after writes that were not synced.
 *
 * There is one timer for all of them, and none while nothing waits. It keeps no process alive: one that
 * leaves before the rest is over, without `close()`, loses what its durability does not promise.
 */
export class IdleCommits {
  readonly #lifetime: Lifetime
  readonly #restMs: number
  // By name, because a collection may have many handles; the newest writer's is the one to use.
  readonly #resting = new Map<string, Rest>()
  #timer: NodeJS.Timeout | undefined

  constructor(lifetime: Lifetime, rest: number = restMs) {
    this.#lifetime = lifetime
    this.#restMs = rest
  }

  /** Notes a write to `collection` that was acknowledged and not synced. */
  note(collection: Committed): void {
    if (!this.#lifetime.open) return
    this.#resting.set(collection.name, { collection, due: performance.now() + this.#restMs })
    this.#arm(this.#restMs)
  }

  /** Forgets what waits: closing commits it. */
  stop(): void {
    this.#resting.clear()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(milliseconds: number): void {
    this.#timer ??= setTimeout(() => this.#commitRested(), milliseconds).unref()
  }

  /** A write moves the hour of its collection and leaves the timer alone, which is set anew here. */
  #commitRested(): void {
    this.#timer = undefined
    const now = performance.now()
    let next = Number.POSITIVE_INFINITY
    for (const [name, { collection, due }] of this.#resting) {
      if (due > now) {
        next = Math.min(next, due)
      } else {
        this.#resting.delete(name)
        void this.#commit(collection)
      }
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next - now)
  }

  async #commit(collection: Committed): Promise<void> {
    const commit = async (): Promise<bigint> => unwrap(await collection.commit())
    try {
      await this.#lifetime.track(commit())
    } catch (error) {
      // A disk that is full gets room again. Whatever else it is shows in `stats()`, or when it is closed.
      if (isCairnError(error) && error.retryable) this.note(collection)
    }
  }
}
