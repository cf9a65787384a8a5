// Looks for what another process has written, by hand and by the clock.
import { clearInterval, setInterval } from 'node:timers'
import type { Structures } from './alter.js'
import { toCairnError } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { BindingDatabase } from './native/binding.js'
import { unwrap } from './native/from-native.js'
import type { CairnWarning } from './options.js'
import type { VersionEvents } from './internal/version-events.js'
import { tell } from './warnings.js'

interface Surroundings {
  readonly lifetime: Lifetime
  readonly events: VersionEvents
  readonly structures: Structures
  readonly onWarning: (warning: CairnWarning) => void
}

/**
 * Refreshes a database that another process writes.
 *
 * The timer keeps no process alive. While one of its looks runs, the next ones are left out.
 */
export class Refresher {
  readonly #native: Pick<BindingDatabase, 'refresh'>
  readonly #surroundings: Surroundings
  #timer: NodeJS.Timeout | undefined
  #looking = false
  #lastError: string | null = null

  constructor(native: Pick<BindingDatabase, 'refresh'>, surroundings: Surroundings) {
    this.#native = native
    this.#surroundings = surroundings
  }

  /** Why the last look failed, if it did. */
  get lastError(): string | null {
    return this.#lastError
  }

  /** Looks every so many milliseconds; 0 for never. A database that nobody holds any more is not kept. */
  start(refreshMs: number): void {
    if (refreshMs === 0) return
    const held = new WeakRef(this)
    const timer = setInterval(() => {
      const there = held.deref()
      if (there === undefined) clearInterval(timer)
      else void there.#look()
    }, refreshMs)
    this.#timer = timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Looks now. Listeners hear of a newer version before this resolves with it. */
  async refresh(isAwaited = true): Promise<bigint> {
    try {
      const version = unwrap(await this.#native.refresh(isAwaited))
      this.#lastError = null
      this.#surroundings.structures.look()
      this.#surroundings.events.tell(version)
      return version
    } catch (error) {
      this.#lastError = toCairnError(error).message
      throw error
    }
  }

  async #look(): Promise<void> {
    const { lifetime, onWarning } = this.#surroundings
    if (this.#looking || !lifetime.open) return
    this.#looking = true
    const before = this.#lastError
    try {
      await lifetime.track(this.refresh(false))
    } catch (error) {
      const { code, message, details } = toCairnError(error)
      // Once is enough: what is wrong stays wrong until somebody mends it.
      if (message !== before) {
        tell(onWarning, { code: 'WARN_REFRESH', message, details: { ...details, reason: code } })
      }
    } finally {
      this.#looking = false
    }
  }
}
