// What is not as it should be, and what mends it.
import { availableParallelism } from 'node:os'
import { refuseBackups } from './backup.js'
import { checkSignal, optionsOf, wholeNumber } from './check.js'
import { keySource, type Encryption, type KeySource } from './encryption.js'
import { toCairnError } from './errors.js'
import { watchJob } from './job.js'
import { keyForDamaged } from './key-lookup.js'
import type { Binding, BindingFinding } from './native/binding.js'
import { loadBinding } from './native/loader.js'
import { pathOf } from './options.js'
import { unlessAborted } from './signal.js'
import type { CompactOptions } from './types.js'
import { groundWarnings } from './warnings.js'

/** Something that a doctor found. */
export interface Finding {
  /**
   * `damaged`, `missing`, `newer-format`, `log-failed` (errors); `foreign-file`, `many-dead-rows`, `large-log`,
   * `low-headroom`, `background-error`, `loose-permissions`, `network-file-system` (warnings); `locked`,
   * `lock-left-behind`, `leftover`, `torn-log`, `sealed`, `unchecked`, `no-graph` (worth knowing); `kernels`,
   * which is a warning where they are slow ones.
   */
  readonly code: string
  readonly severity: 'info' | 'warning' | 'error'
  /** What is the case. */
  readonly what: string
  /** The file, directory or collection. */
  readonly where: string
  /** What mends it. */
  readonly remedy: string
}

/** Wishes of {@link doctor}. */
export interface DoctorOptions extends CompactOptions {
  /** The key of an encrypted database. */
  readonly encryption?: Encryption | undefined
  /** Bytes of log above which a collection is told. Default 512 MiB, as of `open`. */
  readonly walBytesMax?: number | undefined
}

const names = new Set(['encryption', 'walBytesMax', 'onProgress', 'signal'])
const walBytesDefault = 512 * 1024 * 1024

/**
 * Looks at a directory as `verify` does, and at how the database in it lives. Nothing is written. Of a
 * database that is open it says who has it; `db.doctor()` says more.
 *
 * @param path - The directory.
 * @returns Findings; those that are worth knowing, too.
 * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_INVALID_ARGUMENT` with `keyId` for a wrong key, or for a directory of backups, `ERR_ABORTED`,
 * `ERR_IO`.
 */
export async function doctor(path: string, options?: DoctorOptions): Promise<Finding[]> {
  let keys: KeySource | undefined
  try {
    const directory = pathOf(path, 'path')
    const given = optionsOf<DoctorOptions>(options, names, 'options')
    const most = wholeNumber(
      given.walBytesMax ?? walBytesDefault,
      'walBytesMax',
      1,
      Number.MAX_SAFE_INTEGER,
    )
    const signal = checkSignal(given.signal)
    if (given.encryption !== undefined) keys = keySource(given.encryption, 'encryption')
    const binding: Binding = loadBinding()
    const threads = availableParallelism()
    const key = await unlessAborted(signal, async () => {
      await refuseBackups(binding, directory)
      return keys === undefined ? null : keyForDamaged(binding, directory, keys, threads)
    })
    const found = await watchJob(binding, given, undefined, (ticket) =>
      binding.doctor(directory, key, most, threads, ticket),
    )
    return await withGround(directory, found)
  } catch (error) {
    throw toCairnError(error)
  } finally {
    keys?.forget()
  }
}

/** Adds what the operating system says of a directory. */
export async function withGround(
  directory: string | null,
  found: readonly BindingFinding[],
): Promise<Finding[]> {
  if (directory === null) return [...found]
  const warnings = await groundWarnings(directory)
  const ground = warnings.map(({ code, message }): Finding => {
    const loose = code === 'WARN_PERMISSIONS'
    return {
      code: loose ? 'loose-permissions' : 'network-file-system',
      severity: 'warning',
      what: message,
      where: directory,
      remedy: loose ? 'chmod 700, and 600 for its files' : 'move it to a local disk',
    }
  })
  return [...found, ...ground]
}
