// Work for a collection that rests: syncing what was not synced, tidying up.
import { isCairnError } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { Answer, BindingCollection, BindingDatabase } from './native/binding.js'
import { unwrap } from './native/from-native.js'

/** Writes that no sync covered become durable after this much rest. */
const commitMs = 1000

/** Space comes back after this much rest: a flush and a merge are not worth a shorter pause. */
const tidyMs = 10_000

interface Rest<C> {
  readonly collection: C
  /** When it has rested long enough, in the time of `performance.now()`. */
  readonly due: number
}

/** Commits collections that were written without a sync. */
export function commitsAtRest(lifetime: Lifetime): AtRest<BindingCollection> {
  return new AtRest(lifetime, commitMs, (collection) => collection.commit())
}

/**
 * Tidies up collections that were written, and again and again those whose records expire. Keeps names alone, so that a database that nobody holds any more
 * is collected and closed meanwhile.
 */
export function tidiesAtRest(lifetime: Lifetime, database: BindingDatabase): AtRest<Named> {
  const held = new WeakRef(database)
  const tidies: AtRest<Named> = new AtRest<Named>(lifetime, tidyMs, async ({ name }) => {
    const opened = await held.deref()?.openCollection(name)
    if (opened === undefined) return undefined
    const collection = unwrap(opened)
    // The time of its records passes whether or not anybody writes.
    if (collection.schema.expiresAt !== undefined) tidies.note({ name })
    return collection.tidy()
  })
  return tidies
}

interface Named {
  readonly name: string
}

/**
 * Does something with each collection of a database once nothing was noted of it for a time.
 *
 * There is one timer for all of them, and none while nothing waits. It keeps no process alive: one that
 * leaves before the rest is over, without `close()`, loses what its durability does not promise.
 */
export class AtRest<C extends { readonly name: string }> {
  readonly #lifetime: Lifetime
  readonly #restMs: number
  readonly #work: (collection: C) => Promise<Answer<unknown>>
  // By name, because a collection may have many handles; the newest writer's is the one to use.
  readonly #resting = new Map<string, Rest<C>>()
  #timer: NodeJS.Timeout | undefined

  constructor(
    lifetime: Lifetime,
    restMs: number,
    work: (collection: C) => Promise<Answer<unknown>>,
  ) {
    this.#lifetime = lifetime
    this.#restMs = restMs
    this.#work = work
  }

  /** Notes a write to `collection`: its rest begins anew. */
  note(collection: C): void {
    if (!this.#lifetime.open) return
    this.#resting.set(collection.name, { collection, due: performance.now() + this.#restMs })
    this.#arm(this.#restMs)
  }

  /** Forgets what waits. */
  stop(): void {
    this.#resting.clear()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(milliseconds: number): void {
    this.#timer ??= setTimeout(() => this.#workOnRested(), milliseconds).unref()
  }

  /** A write moves the hour of its collection and leaves the timer alone, which is set anew here. */
  #workOnRested(): void {
    this.#timer = undefined
    const now = performance.now()
    let next = Number.POSITIVE_INFINITY
    for (const [name, { collection, due }] of this.#resting) {
      if (due > now) {
        next = Math.min(next, due)
      } else {
        this.#resting.delete(name)
        void this.#do(collection)
      }
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next - now)
  }

  async #do(collection: C): Promise<void> {
    const work = async (): Promise<unknown> => unwrap(await this.#work(collection))
    try {
      await this.#lifetime.track(work())
    } catch (error) {
      // A disk that is full gets room again. Whatever else it is shows in `stats()`, or when it is closed.
      if (isCairnError(error) && error.retryable) this.note(collection)
    }
  }
}
