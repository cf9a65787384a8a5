// Checks of arguments, each with the error it raises.
import { types } from 'node:util'
import { CairnError } from './errors.js'
import { describe } from './internal/describe.js'
import { meant } from './internal/suggest.js'

/** The argument is wrong: what was expected and what came. */
export function wrong(what: string, expected: string, got: unknown, path?: string): CairnError {
  const where = path === undefined ? {} : { path }
  return new CairnError('ERR_INVALID_ARGUMENT', what, { ...where, expected, got: describe(got) })
}

/** An object that is not an array, a function, or null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether it is several keys, of whatever kind, and not one. */
export function isMany(keys: unknown): boolean {
  return typeof keys === 'object' && keys !== null
}

/** An object literal, also of another realm; not an instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (!isObject(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Options as given, or none; only names of `known` are allowed. */
export function optionsOf<T extends object>(
  value: T | undefined,
  known: ReadonlySet<string>,
  what: string,
): Partial<T> {
  if (value === undefined) return {}
  if (!isPlainObject(value)) throw wrong(`${what} must be a plain object`, 'object', value)
  refuseUnknown(value, known, what)
  return ownOf(value)
}

/** A copy without a prototype: what somebody put on `Object.prototype` is no argument. */
export function ownOf<T extends object>(value: T): Partial<T> {
  return Object.assign(Object.create(null) as Partial<T>, value)
}

/** Refuses names that nobody reads, with the one that was probably meant. */
export function refuseUnknown(given: object, known: ReadonlySet<string>, what: string): void {
  for (const name of Object.keys(given)) {
    if (known.has(name)) continue
    const suggestion = meant(name, known)
    const hint = suggestion === undefined ? {} : { suggestion }
    throw new CairnError('ERR_INVALID_ARGUMENT', `unknown name in ${what}`, {
      path: name,
      ...hint,
    })
  }
}

/** Refuses what the package will have and this version has not. */
export function notYet(path: string, got?: unknown): CairnError {
  const details = got === undefined ? { path } : { path, got: describe(got) }
  return new CairnError('ERR_INVALID_ARGUMENT', 'not available in this version', details)
}

/** A whole number within bounds; above `max` it is a limit that is exceeded. */
export function wholeNumber(value: unknown, path: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min) {
    throw wrong(`${path} must be a whole number`, `integer of at least ${min}`, value, path)
  }
  if (value > max) {
    throw new CairnError('ERR_LIMIT_EXCEEDED', `${path} is over its limit`, {
      path,
      limit: max,
      got: value,
    })
  }
  return value
}

/** A number within bounds, both included. */
export function numberWithin(value: unknown, path: string, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw wrong(`${path} is out of range`, `number from ${min} to ${max}`, value, path)
  }
  return value
}

/** `true` or `false`, nothing like it. */
export function flag(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw wrong(`${path} must be a boolean`, 'boolean', value, path)
  return value
}

/** A function, or nothing. */
export function callback<T>(value: T | undefined, path: string): T | undefined {
  if (value !== undefined && typeof value !== 'function') {
    throw wrong(`${path} must be a function`, 'function', value, path)
  }
  return value
}

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

/** One of a few words. */
export function oneOf<T extends string>(value: unknown, words: readonly T[], path: string): T {
  const found = words.find((word) => word === value)
  if (found === undefined) throw wrong(`${path} is not known`, words.join(' | '), value, path)
  return found
}

/** Whether the memory of a view was transferred away. */
export function isDetached(view: ArrayBufferView): boolean {
  if (view.byteLength > 0 || types.isSharedArrayBuffer(view.buffer)) return false
  try {
    return new Uint8Array(view.buffer).byteLength < 0
  } catch {
    return true
  }
}

/** Refuses views whose memory others may change or have taken. */
export function refuseUnsafeMemory(view: ArrayBufferView, details: object): void {
  if (types.isSharedArrayBuffer(view.buffer)) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'shared memory is not accepted: copy it first', {
      ...details,
    })
  }
  if (isDetached(view)) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'the buffer is detached', { ...details })
  }
}
