// Versions of a database, as the public types have them.
import { wrong } from './check.js'
import { isCairnError, withDetails, type CairnError, type ErrorDetails } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { Answer, BindingDatabase, BindingVersion } from './native/binding.js'
import { fromNativeError, unwrap } from './native/from-native.js'

/** Which version is meant: a number, a name, or the newest that was made at that time or before. */
export type VersionId = bigint | string | Date

/** A recorded version. */
export interface VersionInfo {
  /** Every write up to this one is in it, and none after. */
  readonly version: bigint
  /** Null for one that goes by itself; see `retainVersions`. */
  readonly name: string | null
  readonly created: Date
  /** What `at` rejects with; only there when it is damaged. */
  readonly error?: CairnError
}

const u64Max = 2n ** 64n - 1n

/** A version as the addon takes it. */
export function toNativeVersion(version: unknown): bigint | string | number {
  if (typeof version === 'string') return version
  if (typeof version === 'bigint' && version >= 0n && version <= u64Max) return version
  if (version instanceof Date && version.getTime() >= 0) return version.getTime()
  throw wrong(
    'a version is a number, a name or a time',
    'bigint, string or Date',
    version,
    'version',
  )
}

/** A version as the facts of an error. */
export function versionFacts(version: bigint | string | number | undefined): ErrorDetails {
  if (version === undefined) return {}
  if (typeof version === 'bigint') return { version }
  return typeof version === 'string' ? { name: version } : { time: version }
}

/** A call about a recorded version; where there is none, its error says which was asked for. */
export async function aboutVersion<T>(
  version: VersionId,
  call: (native: bigint | string | number) => Promise<Answer<T>>,
): Promise<T> {
  const native = toNativeVersion(version)
  try {
    return unwrap(await call(native))
  } catch (error) {
    if (!isCairnError(error, 'ERR_NOT_FOUND')) throw error
    throw withDetails(error, {}, versionFacts(native))
  }
}

/** Public form of a recorded version. */
export function fromNativeVersion({ version, name, created, error }: BindingVersion): VersionInfo {
  const info = { version, name: name ?? null, created: new Date(created) }
  return error ? { ...info, error: fromNativeError(error) } : info
}

/** How often the engine is asked whether it is time for a version; it has the rule. */
const askMs = 15_000

/**
 * Sees to it that versions are recorded while there are writes. Keeps no process alive, and no database that
 * nobody holds any more.
 */
export class VersionClock {
  readonly #timer: NodeJS.Timeout

  constructor(
    native: Pick<BindingDatabase, 'recordWhenDue'>,
    lifetime: Lifetime,
    every: number = askMs,
  ) {
    const held = new WeakRef(native)
    const record = async (): Promise<void> => {
      const there = held.deref()
      if (there !== undefined) unwrap(await there.recordWhenDue())
    }
    this.#timer = setInterval(() => {
      // What fails shows in `stats()`, and is tried again.
      if (lifetime.open) lifetime.track(record()).catch(() => {})
    }, every).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
