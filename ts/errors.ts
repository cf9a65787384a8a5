// The one table of error codes, and the one error class.
import { show } from './internal/describe.js'

/** Every code an error of this package can carry. Codes are part of the API; messages are not. */
export type ErrorCode =
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_INVALID_NAME'
  | 'ERR_INVALID_KEY'
  | 'ERR_INVALID_FILTER'
  | 'ERR_DIM_MISMATCH'
  | 'ERR_NOT_FINITE'
  | 'ERR_ZERO_VECTOR'
  | 'ERR_SCHEMA_MISMATCH'
  | 'ERR_LIMIT_EXCEEDED'
  | 'ERR_NOT_FOUND'
  | 'ERR_ALREADY_EXISTS'
  | 'ERR_CONDITION_FAILED'
  | 'ERR_CONFLICT'
  | 'ERR_FENCED'
  | 'ERR_LOCKED'
  | 'ERR_READ_ONLY'
  | 'ERR_CLOSED'
  | 'ERR_ABORTED'
  | 'ERR_DEADLINE'
  | 'ERR_OUTCOME_UNKNOWN'
  | 'ERR_CORRUPT'
  | 'ERR_UNSUPPORTED_FORMAT'
  | 'ERR_NO_SPACE'
  | 'ERR_IO'
  | 'ERR_STORE_UNSAFE'
  | 'ERR_UNSUPPORTED_PLATFORM'
  | 'ERR_UNAVAILABLE'
  | 'ERR_NO_QUORUM'
  | 'ERR_UNAUTHENTICATED'
  | 'ERR_FORBIDDEN'
  | 'ERR_RATE_LIMITED'
  | 'ERR_INTERNAL'

interface ErrorEntry {
  /** Whether the very same call may succeed later. */
  readonly retryable: boolean
  /** When it happens, for people. */
  readonly text: string
}

const changeTheCall = (text: string): ErrorEntry => ({ retryable: false, text })
const tryAgain = (text: string): ErrorEntry => ({ retryable: true, text })

/** What each code means and whether a retry can help. */
export const errorTable: Readonly<Record<ErrorCode, ErrorEntry>> = {
  ERR_INVALID_ARGUMENT: changeTheCall('an argument or option has the wrong kind or range'),
  ERR_INVALID_NAME: changeTheCall('a collection or field name is not allowed'),
  ERR_INVALID_KEY: changeTheCall('a key is empty, too long or of the wrong type'),
  ERR_INVALID_FILTER: changeTheCall('a filter cannot be understood'),
  ERR_DIM_MISMATCH: changeTheCall('a vector has the wrong length'),
  ERR_NOT_FINITE: changeTheCall('a number is NaN, infinite, or too large for 32 bits'),
  ERR_ZERO_VECTOR: changeTheCall('a zero vector has no direction, which cosine needs'),
  ERR_SCHEMA_MISMATCH: changeTheCall('the stored schema differs from the given one'),
  ERR_LIMIT_EXCEEDED: changeTheCall('a documented limit is exceeded'),
  ERR_NOT_FOUND: changeTheCall('there is no such database, collection, record, version or file'),
  ERR_ALREADY_EXISTS: changeTheCall('the collection or record exists'),
  ERR_CONDITION_FAILED: changeTheCall('a condition of the write does not hold'),
  ERR_CONFLICT: changeTheCall('the idempotency key stands for another write'),
  ERR_FENCED: changeTheCall('another writer has taken over'),
  ERR_LOCKED: tryAgain('another writer holds the directory'),
  ERR_READ_ONLY: changeTheCall('the database was opened for reading'),
  ERR_CLOSED: changeTheCall('the handle is closed, or writes stopped after a failed sync'),
  ERR_ABORTED: changeTheCall("the caller's signal fired"),
  ERR_DEADLINE: tryAgain("the caller's deadline passed"),
  ERR_OUTCOME_UNKNOWN: tryAgain('the write may or may not have happened'),
  ERR_CORRUPT: changeTheCall('a stored file is damaged'),
  ERR_UNSUPPORTED_FORMAT: changeTheCall('a stored file needs another version of cairn'),
  ERR_NO_SPACE: tryAgain('the disk is full'),
  ERR_IO: changeTheCall('the disk failed or refused'),
  ERR_STORE_UNSAFE: changeTheCall('the object store does not honour conditions'),
  ERR_UNSUPPORTED_PLATFORM: changeTheCall('there is no native binary for this platform'),
  ERR_UNAVAILABLE: tryAgain('the server cannot be reached'),
  ERR_NO_QUORUM: tryAgain('too few replicas answer'),
  ERR_UNAUTHENTICATED: changeTheCall('credentials are missing or wrong'),
  ERR_FORBIDDEN: changeTheCall('the credentials do not allow this'),
  ERR_RATE_LIMITED: tryAgain('too many requests'),
  ERR_INTERNAL: changeTheCall('a bug in cairn; the process lives on'),
}

/** Facts about an error by name: `index`, `key`, `field`, `expected`, `got`, `file`, `pid` ... */
export type ErrorDetails = Readonly<Record<string, unknown>>

/** Farthest from 1970 that a date can be, in milliseconds. */
const instantMax = 8.64e15

// Shared by every copy of this package in a process, so that they know each other's errors.
const brand: unique symbol = Symbol.for('cairndb.error') as never

/** Every error this package throws or rejects with. */
export class CairnError extends Error {
  /** What the caller can do; see the table of codes. */
  readonly code: ErrorCode
  /** Whether the very same call may succeed later. */
  readonly retryable: boolean
  /** Facts: which record, which field, what was expected. */
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(withFacts(message, details), cause === undefined ? undefined : { cause })
    this.name = 'CairnError'
    this.code = code
    this.retryable = errorTable[code]?.retryable ?? false
    this.details = Object.freeze({ ...details })
    Object.defineProperty(this, brand, { value: message })
  }
}

/** The same error with more facts before its own, and some of its own replaced. */
export function withDetails(
  error: CairnError,
  before: ErrorDetails,
  replaced: ErrorDetails = {},
): CairnError {
  const { [brand]: message } = error as CairnError & Record<typeof brand, string>
  const details = { ...before, ...error.details, ...replaced }
  return new CairnError(error.code, message, details, error.cause)
}

/**
 * Whether `error` is one of ours, from any copy of this package, and of that code if one is given.
 *
 * @param error - Anything that was caught.
 * @param code - Ask for one code only.
 */
export function isCairnError(error: unknown, code?: ErrorCode): error is CairnError {
  if (typeof error !== 'object' || error === null || !(brand in error)) return false
  return code === undefined || (error as unknown as CairnError).code === code
}

/** Ours as it is; anything else that came up while arguments were read becomes one of ours. */
export function toCairnError(error: unknown, details: ErrorDetails = {}): CairnError {
  if (error instanceof CairnError) return error
  return new CairnError('ERR_INVALID_ARGUMENT', 'reading an argument failed', details, error)
}

/** Runs a check; whatever it throws becomes ours. */
export function checked<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw toCairnError(error)
  }
}

/**
 * The same error, with a stack that begins where `callee` was called: frames below it, of which there may be any
 * number, leave the caller's own out.
 */
export function atCaller(error: CairnError, callee: (...args: never[]) => unknown): CairnError {
  Error.captureStackTrace(error, callee)
  return error
}

function withFacts(message: string, { suggestion, ...details }: ErrorDetails): string {
  const facts = Object.entries(details).map(([name, value]) => `${name}=${fact(name, value)}`)
  const told = facts.length === 0 ? message : `${message}: ${facts.join(', ')}`
  return typeof suggestion === 'string' ? `${told}; did you mean ${suggestion}?` : told
}

/** Details whose numbers are milliseconds since 1970. */
const instants: ReadonlySet<string> = new Set(['since', 'time'])

/** A fact as people read it: an instant as a date, a time to three digits. */
function fact(name: string, value: unknown): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return show(value)
  if (instants.has(name) && Math.abs(value) <= instantMax) return new Date(value).toISOString()
  return name.endsWith('Ms') ? show(Number(value.toPrecision(3))) : show(value)
}
