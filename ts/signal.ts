// A caller's AbortSignal, tied to a ticket of the addon for the length of one call.
import { wrong } from './check.js'
import { CairnError, isCairnError } from './errors.js'
import type { Answer, Binding, BindingTicket } from './native/binding.js'
import { unwrap } from './native/from-native.js'

/** A signal, or nothing; whatever has the calls of one will do. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined) return undefined
  const { aborted, addEventListener, removeEventListener } = Object(signal) as Partial<AbortSignal>
  const isSignal =
    typeof aborted === 'boolean' &&
    typeof addEventListener === 'function' &&
    typeof removeEventListener === 'function'
  if (!isSignal) throw wrong('signal must be an AbortSignal', 'AbortSignal', signal, 'signal')
  return signal as AbortSignal
}

/** Throws when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw aborted(signal)
}

/**
 * Runs a call under a signal: it is asked to end when the signal fires, and the listener goes
 * when the call ends, however it does.
 */
export async function underSignal<T>(
  { BindingTicket }: Pick<Binding, 'BindingTicket'>,
  signal: AbortSignal | undefined,
  call: (ticket: BindingTicket | null) => Promise<Answer<T>>,
): Promise<T> {
  if (signal === undefined) return unwrap(await call(null))
  throwIfAborted(signal)
  const ticket = new BindingTicket()
  const cancel = (): void => ticket.cancel()
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return unwrap(await call(ticket))
  } catch (error) {
    throw isCairnError(error, 'ERR_ABORTED') ? aborted(signal) : error
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** The error of a call whose signal has fired. */
export function aborted(signal: AbortSignal): CairnError {
  return new CairnError('ERR_ABORTED', 'the call was aborted', {}, signal.reason)
}
