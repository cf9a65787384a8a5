// Who is told of new versions.
import process from 'node:process'

/** Takes the version that can be read from now on. */
export type VersionListener = (version: bigint) => void

/** Listeners of one database. */
export class VersionEvents {
  // An array: whoever is added twice is told twice, as by an EventEmitter.
  #listeners: readonly VersionListener[] = []
  #last = 0n

  get hasListeners(): boolean {
    return this.#listeners.length > 0
  }

  add(listener: VersionListener): void {
    this.#listeners = [...this.#listeners, listener]
  }

  remove(listener: VersionListener): void {
    const at = this.#listeners.lastIndexOf(listener)
    this.#listeners = this.#listeners.filter((_, place) => place !== at)
  }

  /** Versions up to this one are no news. */
  known(version: bigint): void {
    if (version > this.#last) this.#last = version
  }

  /** Tells all listeners, unless they know. */
  tell(version: bigint): void {
    if (version <= this.#last) return
    this.#last = version
    for (const listener of this.#listeners) {
      try {
        listener(version)
      } catch (error) {
        // Of no concern to whoever reads or writes; but it is not hidden either.
        process.nextTick(() => {
          throw error
        })
      }
    }
  }
}
