// Promises of writes, settled many at a time.
import { clearInterval, setInterval } from 'node:timers'
import type { CairnError } from '../errors.js'
import type { Lifetime } from '../internal/lifetime.js'
import type { WriteResult } from '../types.js'
import type { VersionEvents } from '../internal/version-events.js'
import type { BindingFailedWrite } from './binding.js'
import { fromNativeError } from './from-native.js'

interface Waiting {
  readonly resolve: (result: WriteResult) => void
  readonly reject: (error: unknown) => void
  readonly explain: (error: CairnError) => CairnError
}

/** Longest a timer takes; it only keeps the process alive. */
const foreverMs = 2 ** 31 - 1

/**
 * The writes of one database that are not decided yet. The addon answers by number, one call for
 * everything that a sync decided; a promise of its own a write would cost more than the write.
 */
export class Writes {
  readonly #waiting = new Map<number, Waiting>()
  #alive: NodeJS.Timeout | undefined
  readonly #lifetime: Lifetime
  readonly #events: VersionEvents | undefined
  #last = 0

  constructor(lifetime: Lifetime, events?: VersionEvents) {
    this.#lifetime = lifetime
    this.#events = events
  }

  /** Hands `submit` a number, and answers what comes under it; an error through `explain`. */
  begin(
    submit: (id: number) => void,
    explain: (error: CairnError) => CairnError,
  ): Promise<WriteResult> {
    const id = this.#next()
    // What throws has not been submitted.
    submit(id)
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#alive = setInterval(() => {}, foreverMs)
      this.#waiting.set(id, { resolve, reject, explain })
      this.#lifetime.begin()
    })
  }

  /** What the addon calls. */
  readonly settle = (
    ids: Uint32Array,
    versions: BigUint64Array,
    counts: Float64Array,
    failed: readonly BindingFailedWrite[],
  ): void => {
    for (let at = 0; at < ids.length; at += 1) {
      this.#take(ids[at] as number)?.resolve({
        version: versions[at] as bigint,
        inserted: counts[4 * at] as number,
        updated: counts[4 * at + 1] as number,
        deleted: counts[4 * at + 2] as number,
        skipped: counts[4 * at + 3] as number,
      })
    }
    for (const { id, error } of failed) {
      const waiting = this.#take(id)
      waiting?.reject(waiting.explain(fromNativeError(error)))
    }
    if (this.#waiting.size === 0) clearInterval(this.#alive)
    if (this.#events?.hasListeners) this.#events.tell(newest(versions, counts))
  }

  #next(): number {
    do this.#last = (this.#last + 1) >>> 0
    while (this.#waiting.has(this.#last))
    return this.#last
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    if (this.#waiting.delete(id)) this.#lifetime.end()
    return waiting
  }
}

/** The newest version that changed something; 0 for none. */
function newest(versions: BigUint64Array, counts: Float64Array): bigint {
  let newest = 0n
  versions.forEach((version, at) => {
    const [inserted = 0, updated = 0, deleted = 0] = counts.subarray(4 * at, 4 * at + 3)
    if (version > newest && inserted + updated + deleted > 0) newest = version
  })
  return newest
}
