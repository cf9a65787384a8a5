// Checks of everything stored, and saving what is left of what does not open.
import { availableParallelism } from 'node:os'
import { refuseBackups } from './backup.js'
import { checkSignal, flag, optionsOf } from './check.js'
import { keySource, type Encryption, type KeySource } from './encryption.js'
import { toCairnError } from './errors.js'
import { watchJob } from './job.js'
import { keyForDamaged } from './key-lookup.js'
import type { Binding, BindingProblem, BindingReport } from './native/binding.js'
import { loadBinding } from './native/loader.js'
import { pathOf } from './options.js'
import { unlessAborted } from './signal.js'
import type { CompactOptions } from './types.js'

/** Something that a check found. */
export interface Problem {
  /**
   * `damaged`: not what was written, bytes that the disk refuses to read, or something else in the
   * place of a file. `unsupported`: of a newer format. `missing`: a file that must be there is not.
   * `foreign`: not of the database. Among notes only: `torn`, what a crash may leave at the end of a log, and `leftover`, a file of
   * work that was cut short; the next open takes care of both. `sealed`: encrypted, and checked by
   * checksums alone. `unchecked`: not checked, because another process writes it.
   */
  readonly kind:
    'damaged' | 'unsupported' | 'missing' | 'foreign' | 'torn' | 'leftover' | 'sealed' | 'unchecked'
  /** The file or directory. */
  readonly file: string
  /** The section as FORMAT.md calls it; null in files without sections. */
  readonly section: string | null
  /** Where it begins, in bytes from the start of the file. */
  readonly offset: number
  /** Bytes known to be wrong; 0 where that is not known. */
  readonly bytes: number
  /** Which rule is broken. */
  readonly what: string
  /** Records that it touches; null where that cannot be told. Of what is `unchecked`, those that the log alone has. */
  readonly records: number | null
}

/** What a check came to. */
export interface VerifyReport {
  /** Whether there are no problems in what was checked; `notes` say what was not. */
  readonly ok: boolean
  /** Files that were checked. */
  readonly files: number
  /** Bytes that were read. */
  readonly bytes: number
  /** All that is wrong, not the first alone. */
  readonly problems: readonly Problem[]
  /** What is worth knowing and right. */
  readonly notes: readonly Problem[]
  /**
   * `decrypted`: an encrypted database, of which everything was decrypted and checked. `checksums`: one
   * without its key, of which every byte was held against its checksum, and nothing that is encrypted
   * was looked into. `none`: not encrypted.
   */
  readonly encryption: 'none' | 'decrypted' | 'checksums'
}

/** Wishes of `db.verify`. */
export type VerifyOptions = CompactOptions

/** Wishes of {@link verify}. */
export interface VerifyDirectoryOptions extends VerifyOptions {
  /** The key of an encrypted database. Without it checksums alone are checked; the report says so. */
  readonly encryption?: Encryption | undefined
}

/** Wishes of {@link repair}. */
export interface RepairOptions extends CompactOptions {
  /** An empty or missing directory for the new database, outside the damaged one and every other. */
  readonly target: string
  /**
   * Whether records are saved of which nobody can tell any more whether they were deleted, because the
   * file that says so is damaged. Default false, so that nothing comes back.
   */
  readonly keepDoubtful?: boolean | undefined
  /** The key of an encrypted database. The new one is encrypted with it, or with a provider's current key. */
  readonly encryption?: Encryption | undefined
}

/** What a repair came to. */
export interface RepairReport {
  /** The collections of the new database. */
  readonly collections: readonly {
    readonly name: string
    /** Records saved. */
    readonly records: number
    /** Rows left behind because they are damaged. */
    readonly lost: number
    /** Rows of which nobody can tell whether they were deleted. */
    readonly doubtful: number
  }[]
  /** What is wrong with the old database. */
  readonly problems: readonly Problem[]
  /** Rows of segments that were left behind; all of a segment of which nothing can be read. */
  readonly lost: readonly {
    readonly file: string
    readonly firstRow: number
    readonly rows: number
    /** Keys that can be read, at most 100; numbers in decimal digits. */
    readonly keys: readonly string[]
    /** Whether they are whole, but may have been deleted. */
    readonly doubtful: boolean
  }[]
  /**
   * Recorded versions. The new database has none of them: what they alone hold stays in the old directory,
   * where `at` finds it as long as that opens.
   */
  readonly versions: readonly {
    readonly version: bigint
    /** Null when it has none, or cannot be read. */
    readonly name: string | null
    readonly isReadable: boolean
  }[]
}

const verifyNames = new Set(['encryption', 'onProgress', 'signal'])
const repairNames = new Set(['target', 'keepDoubtful', 'encryption', 'onProgress', 'signal'])

/**
 * Checks every file of the database in a directory, which need not open. Nothing is written. While it
 * runs nobody can open the directory for writing; `db.verify()` checks one that is open. Where the file
 * `LOCK` is missing there is no such protection, and what a writer changes meanwhile may look damaged.
 *
 * @param path - The directory.
 * @returns A report, of a damaged database too.
 * @throws {CairnError} `ERR_LOCKED` when it is open, `ERR_NOT_FOUND`, `ERR_INVALID_ARGUMENT` with `keyId` for
 * a wrong key, or for a directory of backups, `ERR_ABORTED`, `ERR_IO`, also when `LOCK` may not be read.
 */
export async function verify(
  path: string,
  options?: VerifyDirectoryOptions,
): Promise<VerifyReport> {
  return verifyWith(loadBinding, path, options)
}

/** {@link verify} over a given addon. */
export async function verifyWith(
  load: () => Binding,
  path: string,
  options?: VerifyDirectoryOptions,
): Promise<VerifyReport> {
  let keys: KeySource | undefined
  try {
    const directory = pathOf(path, 'path')
    const given = optionsOf<VerifyDirectoryOptions>(options, verifyNames, 'options')
    const signal = checkSignal(given.signal)
    keys = keysOf(given.encryption)
    const binding = load()
    const threads = availableParallelism()
    const key = await unlessAborted(signal, async () => {
      await refuseBackups(binding, directory)
      return keys === undefined ? null : keyForDamaged(binding, directory, keys, threads)
    })
    const report = await watchJob(binding, given, undefined, (ticket) =>
      binding.verify(directory, key, threads, ticket),
    )
    return fromNativeReport(report)
  } catch (error) {
    throw toCairnError(error)
  } finally {
    keys?.forget()
  }
}

/**
 * Saves everything of a damaged database that can be proved into a new one. The damaged directory is
 * not changed.
 *
 * @param path - The damaged directory, which must not be open.
 * @param options - `target` must be given.
 * @returns What was saved and what was left behind.
 * @throws {CairnError} `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_ALREADY_EXISTS` when `target` is not empty,
 * `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`, `ERR_IO`, `ERR_NO_SPACE`.
 */
export async function repair(path: string, options: RepairOptions): Promise<RepairReport> {
  let keys: KeySource | undefined
  try {
    const source = pathOf(path, 'path')
    const given = optionsOf<RepairOptions>(options, repairNames, 'repair options')
    const target = pathOf(given.target, 'target')
    const keepDoubtful =
      given.keepDoubtful !== undefined && flag(given.keepDoubtful, 'keepDoubtful')
    const signal = checkSignal(given.signal)
    keys = keysOf(given.encryption)
    const binding = loadBinding()
    const threads = availableParallelism()
    const { key, newKey } = await unlessAborted(signal, async () => {
      await refuseBackups(binding, source)
      const key = keys && (await keyForDamaged(binding, source, keys, threads))
      return { key, newKey: await keys?.current() }
    })
    const report = await watchJob(binding, given, undefined, (ticket) =>
      binding.repair(source, target, { keepDoubtful, key, newKey }, threads, ticket),
    )
    return {
      ...report,
      problems: report.problems.map(fromNativeProblem),
      versions: report.versions.map((version) => ({ ...version, name: version.name ?? null })),
    }
  } catch (error) {
    throw toCairnError(error)
  } finally {
    keys?.forget()
  }
}

function keysOf(encryption: Encryption | undefined): KeySource | undefined {
  return encryption === undefined ? undefined : keySource(encryption, 'encryption')
}

/** Public form of a report. */
export function fromNativeReport(report: BindingReport): VerifyReport {
  const { files, bytes, problems, notes, encryption } = report
  return {
    ok: problems.length === 0,
    files,
    bytes,
    problems: problems.map(fromNativeProblem),
    notes: notes.map(fromNativeProblem),
    encryption: encryption as VerifyReport['encryption'],
  }
}

function fromNativeProblem(problem: BindingProblem): Problem {
  return { ...problem, section: problem.section ?? null, records: problem.records ?? null }
}
