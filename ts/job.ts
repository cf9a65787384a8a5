// A long call with progress and a way to end it.
import { callback, checkSignal, optionsOf } from './check.js'
import { isCairnError } from './errors.js'
import type { Answer, Binding, BindingTicket } from './native/binding.js'
import { unwrap } from './native/from-native.js'
import { aborted, closedMeanwhile, listen, throwIfAborted } from './signal.js'
import type { CompactOptions } from './types.js'

/** How often progress is reported. */
const progressMs = 100

/** How a long call is watched and ended. */
export interface JobOptions {
  /** Called now and then with what is done and what there is in all. */
  readonly onProgress?:
    ((progress: { readonly done: number; readonly total: number }) => void) | undefined
  /** Ends it with `ERR_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

const optionNames = new Set(['onProgress', 'signal'])

/**
 * Runs a job until it is done, the caller's signal fires, or the database begins to close.
 *
 * @param ending - Fires when the database begins to close.
 */
export async function runJob<T = undefined>(
  binding: Pick<Binding, 'BindingTicket'>,
  options: CompactOptions | undefined,
  ending: AbortSignal,
  call: (ticket: BindingTicket) => Promise<Answer<T>>,
): Promise<T> {
  const given = optionsOf<CompactOptions>(options, optionNames, 'options')
  return watchJob(binding, given, ending, call)
}

/** {@link runJob} with options whose names were checked, for calls that have others as well. */
export async function watchJob<T>(
  { BindingTicket }: Pick<Binding, 'BindingTicket'>,
  given: JobOptions,
  ending: AbortSignal | undefined,
  call: (ticket: BindingTicket) => Promise<Answer<T>>,
): Promise<T> {
  const onProgress = callback(given.onProgress, 'onProgress')
  const signal = checkSignal(given.signal)
  throwIfAborted(signal)

  const ticket = new BindingTicket()
  const cancel = (): void => ticket.cancel()
  const signals = [ending, signal].filter((each) => each !== undefined)
  const failures: unknown[] = []
  const report = (): void => {
    const [done = 0, total = 0] = ticket.progress()
    if (total === 0 || failures.length > 0) return
    try {
      onProgress?.({ done, total })
    } catch (error) {
      failures.push(error)
      cancel()
    }
  }
  const unlisten = signals.map((each) => listen(each, cancel))
  const timer = setInterval(report, progressMs)
  try {
    const value = unwrap(await call(ticket))
    report()
    // What the callback threw is the caller's own.
    if (failures.length > 0) throw failures[0]
    return value
  } catch (error) {
    throw failures.length > 0 ? failures[0] : reason(error, signal)
  } finally {
    clearInterval(timer)
    for (const leave of unlisten) leave()
  }
}

/** Whose wish it was that the job ended. */
function reason(error: unknown, signal: AbortSignal | undefined): unknown {
  if (!isCairnError(error, 'ERR_ABORTED')) return error
  if (signal?.aborted === true) return aborted(signal)
  return closedMeanwhile()
}
