// So many at a time.
import { listen } from '../signal.js'

/** A number of slots; who comes first gets one first. */
export class Slots {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** Resolves with a slot, which must be given back; rejects with the reason of the signal when it fires. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    await new Promise<void>((resolve, reject) => {
      const begin = (): void => {
        unlisten()
        resolve()
      }
      const unlisten = listen(signal, () => {
        unlisten()
        this.#waiting.delete(begin)
        reject(signal.reason)
      })
      this.#waiting.add(begin)
    })
  }

  give(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
