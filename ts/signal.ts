// A caller's AbortSignal, tied to a ticket of the addon for the length of one call.
import { checkSignal, optionsOf } from './check.js'
import { CairnError, isCairnError } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { Answer, Binding, BindingTicket } from './native/binding.js'
import { unwrap } from './native/from-native.js'
import type { CallOptions } from './types.js'

const callNames = new Set(['signal'])

/** The signal of a call that has no other options. */
export function callSignal(
  options: CallOptions | undefined,
  what = 'call options',
): AbortSignal | undefined {
  return checkSignal(optionsOf<CallOptions>(options, callNames, what).signal)
}

/** Throws when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw aborted(signal)
}

/** Those who wait for a signal, behind one listener. */
class Waiting {
  readonly #signal: AbortSignal
  readonly #all = new Set<() => void>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', this.#fire)
  }

  add(onAbort: () => void): void {
    this.#all.add(onAbort)
  }

  /** Whether that was the last one: the listener has gone then. Again is harmless. */
  remove(onAbort: () => void): boolean {
    if (!this.#all.delete(onAbort) || this.#all.size > 0) return false
    this.#signal.removeEventListener('abort', this.#fire)
    return true
  }

  readonly #fire = (): void => {
    for (const onAbort of this.#all) onAbort()
  }
}

const waitingFor = new WeakMap<AbortSignal, Waiting>()

/**
 * Calls `onAbort` when the signal fires; what it returns takes that back.
 *
 * However many calls are under one signal, it has one listener of ours: Node takes more than ten for a leak
 * and warns, and how many are right is for the owner of the signal to say.
 */
export function listen(signal: AbortSignal, onAbort: () => void): () => void {
  const waiting = waitingFor.get(signal) ?? new Waiting(signal)
  waitingFor.set(signal, waiting)
  waiting.add(onAbort)
  return () => {
    if (waiting.remove(onAbort)) waitingFor.delete(signal)
  }
}

/**
 * Runs a call under a signal: it is asked to end when the signal fires, and the listener goes
 * when the last call under it ends, however it does.
 */
export async function underSignal<T>(
  { BindingTicket }: Pick<Binding, 'BindingTicket'>,
  signal: AbortSignal | undefined,
  call: (ticket: BindingTicket | null) => Promise<Answer<T>>,
): Promise<T> {
  if (signal === undefined) return unwrap(await call(null))
  throwIfAborted(signal)
  const ticket = new BindingTicket()
  const unlisten = listen(signal, () => ticket.cancel())
  try {
    return unwrap(await call(ticket))
  } catch (error) {
    throw isCairnError(error, 'ERR_ABORTED') ? aborted(signal) : error
  } finally {
    unlisten()
  }
}

/** What becomes of work that goes on without its caller. */
interface Abandoned<T> {
  /** Of a database, which does not close before the work has ended. */
  readonly lifetime?: Lifetime | undefined
  /** Takes what came too late. */
  readonly drop?: ((late: T) => unknown) | undefined
}

/**
 * What `work` gives, unless the signal fires first: then it goes on without its caller. It begins before this returns,
 * and not at all under a signal that has fired.
 */
export async function unlessAborted<T>(
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  { lifetime, drop }: Abandoned<T> = {},
): Promise<T> {
  if (signal === undefined) return work()
  throwIfAborted(signal)
  return new Promise<T>((resolve, reject) => {
    let isAbandoned = false
    const abandon = (): void => {
      isAbandoned = true
      unlisten()
      reject(aborted(signal))
    }
    const unlisten = listen(signal, abandon)
    const toItsEnd = async (): Promise<void> => {
      try {
        const value = await work()
        if (isAbandoned) await drop?.(value)
        else resolve(value)
      } catch (error) {
        // Nobody is told how it failed who did not wait for it.
        reject(error)
      } finally {
        unlisten()
      }
    }
    const ended = toItsEnd()
    void lifetime?.track(ended)
    // What the work calls may have fired it before anybody listened.
    if (signal.aborted) abandon()
  })
}

/**
 * Waits that end early: when the caller's signal fires, or when the database begins to close.
 *
 * Each wait is a promise of its own. A race against one promise that lives as long as the call would keep
 * something for every wait there ever was.
 */
export class Interrupt {
  readonly #signal: AbortSignal | undefined
  readonly #ending: AbortSignal
  readonly #unlisten: readonly (() => void)[]
  #leave: ((reason: CairnError) => void) | undefined

  constructor(signal: AbortSignal | undefined, ending: AbortSignal) {
    this.#signal = signal
    this.#ending = ending
    const signals = signal === undefined ? [ending] : [ending, signal]
    this.#unlisten = signals.map((each) => listen(each, this.#fire))
  }

  /** Why to end; nothing while there is no reason. */
  get reason(): CairnError | undefined {
    if (this.#signal?.aborted === true) return aborted(this.#signal)
    return this.#ending.aborted ? closedMeanwhile() : undefined
  }

  /** What `promise` gives, unless a signal fires first. One at a time. */
  wait<T>(promise: T | PromiseLike<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#leave = reject
      Promise.resolve(promise).then(resolve, reject)
      // Whoever made the promise may have fired a signal on the way.
      this.#fire()
    })
  }

  /** Listens to the signals no more. */
  end(): void {
    for (const unlisten of this.#unlisten) unlisten()
  }

  readonly #fire = (): void => {
    const { reason } = this
    if (reason !== undefined) this.#leave?.(reason)
  }
}

/** The error of a call that the end of its database cut short. */
export function closedMeanwhile(): CairnError {
  return new CairnError('ERR_CLOSED', 'the database was closed meanwhile')
}

/** The error of a call whose signal has fired. */
export function aborted(signal: AbortSignal): CairnError {
  return new CairnError('ERR_ABORTED', 'the call was aborted', {}, signal.reason)
}
