// Backups: directories of them, and databases made of them.
import { realpathSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { hostname, availableParallelism } from 'node:os'
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path'
import { callback, checkSignal, flag, optionsOf, wholeNumber, wrong } from './check.js'
import { readArchive, type ArchiveSource } from './archive.js'
import { keySource, type Encryption, type KeySource, type NamedKey } from './encryption.js'
import { CairnError, isCairnError, toCairnError, withDetails } from './errors.js'
import { watchJob, type JobOptions } from './job.js'
import type { Binding, BindingBackup, BindingDatabase, BindingWorker } from './native/binding.js'
import { fromNativeError, unwrap } from './native/from-native.js'
import { loadBinding } from './native/loader.js'
import { directoryPath } from './options.js'
import { callSignal, throwIfAborted, unlessAborted } from './signal.js'
import type { CallOptions } from './types.js'
import { toNativeVersion, versionFacts, type VersionId } from './versions.js'

/** Wishes of a backup. */
export interface BackupOptions extends JobOptions {
  /** Something to call it by, as a collection is named. Need not be unique. */
  readonly name?: string | undefined
  /** A recorded version instead of the state of this moment. */
  readonly version?: VersionId | undefined
  /**
   * Compares every checksum of the files that earlier backups there have, and copies those that are damaged
   * again, which heals the earlier ones too. Reads all that the backup consists of. `false` by default: then
   * lengths and ends are looked at.
   */
  readonly verify?: boolean | undefined
}

/** One backup of a directory. */
export interface BackupInfo {
  /** Its number in the directory, counted from 1. */
  readonly id: number
  readonly name: string | null
  /** The version that it has. */
  readonly version: bigint
  readonly created: Date
  /** Files that it consists of, and their bytes. */
  readonly files: number
  readonly bytesTotal: number
  /** Files that were copied for it, and their bytes; the others were there from earlier ones. */
  readonly filesCopied: number
  readonly bytesCopied: number
  /** Why it cannot be used; only there when its record is damaged. */
  readonly error?: CairnError
}

/** Which backups are verified. */
export interface VerifyBackupOptions extends JobOptions {
  /** One; all when it is missing. */
  readonly id?: number | undefined
}

/** What a verification has read. */
export interface VerifiedBackups {
  readonly backups: number
  /** Files, each once, and their bytes. */
  readonly files: number
  readonly bytes: number
}

/** Which backups stay. */
export interface PruneOptions extends CallOptions {
  /** So many of the newest good ones. Integer from 1. */
  readonly keep: number
}

/** What is restored. */
export interface RestoreOptions extends JobOptions {
  /** The backup of this id; the newest when it is missing. Not of an archive. */
  readonly id?: number | undefined
  /** The newest backup of this version, of a version or backup of this name, or of a version made until then. */
  readonly version?: VersionId | undefined
  /** The key of an encrypted database, as `open` takes it: the one it had when the backup was made. */
  readonly encryption?: Encryption | undefined
}

/** What was restored. */
export interface RestoreResult {
  /** The version that the database has. */
  readonly version: bigint
  readonly files: number
  readonly bytes: number
}

const idMax = Number.MAX_SAFE_INTEGER
const backupNames = new Set(['name', 'version', 'verify', 'onProgress', 'signal'])
const verifyNames = new Set(['id', 'onProgress', 'signal'])
const restoreNames = new Set(['id', 'version', 'encryption', 'onProgress', 'signal'])
const pruneNames = new Set(['keep', 'signal'])

/**
 * Refuses a directory of backups where that of a database is meant; `open` does so itself.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`.
 */
export async function refuseBackups(binding: Binding, directory: string): Promise<void> {
  const found = await binding.BindingBackups.list(directory, worker())
  // What cannot be listed is told by whoever needs it.
  if (!Array.isArray(found) || found.length === 0) return
  const what = 'this is a directory of backups: verifyBackup checks it (cairn backups verify)'
  throw new CairnError('ERR_INVALID_ARGUMENT', what, { directory })
}

/**
 * The directory that backups go to.
 *
 * @param directory - That of the database; null for one in memory.
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` for one that would be lost with the database.
 */
export function backupTarget(target: unknown, directory: string | null): string {
  const path = directoryPath(target, 'target')
  if (directory === null) return path
  const way = relative(realPath(directory), realPath(path))
  if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) return path
  const what = 'backups do not go into the directory of the database, with which they would be lost'
  throw wrong(what, 'a directory elsewhere', path, 'target')
}

/** A path without links, also of what is not there yet. */
function realPath(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(realPath(above), basename(path))
  }
}

/** Backs a database up into a directory that {@link backupTarget} gave. */
export async function backupInto(
  binding: Binding,
  native: BindingDatabase,
  path: string,
  options: BackupOptions | undefined,
  ending: AbortSignal,
): Promise<BackupInfo> {
  const { name, version, verify, ...job } = optionsOf<BackupOptions>(
    options,
    backupNames,
    'backup options',
  )
  if (name !== undefined && typeof name !== 'string') {
    throw new CairnError('ERR_INVALID_NAME', 'the name of a backup is a string')
  }
  const of = version === undefined ? null : toNativeVersion(version)
  const checked = verify === undefined ? false : flag(verify, 'verify')
  const made = await watchJob(binding, job, ending, (ticket) =>
    native.backup(path, name ?? null, of, checked, ticket),
  )
  return fromNativeBackup(made)
}

/**
 * All backups of a directory, oldest first, also those whose record is damaged.
 *
 * @throws {CairnError} `ERR_NOT_FOUND` when there are none, `ERR_ABORTED`, `ERR_IO`.
 */
export async function listBackups(
  target: string | URL,
  options?: CallOptions,
): Promise<BackupInfo[]> {
  return run(async ({ BindingBackups }) => {
    const path = directoryPath(target, 'target')
    return unlessAborted(callSignal(options), async () =>
      unwrap(await BindingBackups.list(path, worker())).map(fromNativeBackup),
    )
  })
}

/**
 * Compares every checksum of one backup, or of all, without restoring.
 *
 * @param options.onProgress - Hears bytes.
 * @throws {CairnError} `ERR_CORRUPT` with `file` and `offset` of the first damage; `ERR_NOT_FOUND`,
 * `ERR_ABORTED`, `ERR_IO`.
 */
export async function verifyBackup(
  target: string | URL,
  options?: VerifyBackupOptions,
): Promise<VerifiedBackups> {
  return run(async (binding) => {
    const path = directoryPath(target, 'target')
    const { id, ...job } = optionsOf<VerifyBackupOptions>(options, verifyNames, 'verify options')
    const one = idOf(id)
    return watchJob(binding, job, undefined, (ticket) =>
      binding.BindingBackups.verify(path, one, worker(), ticket),
    )
  })
}

/**
 * Removes all backups of a directory but the newest `keep` good ones, with the files that only those had. A
 * good one has all of its files; one that is damaged does not count, and at least one good one stays.
 *
 * @returns Ids of the backups that went.
 * @throws {CairnError} `ERR_LOCKED` when a backup is being made there; `ERR_NOT_FOUND`, `ERR_ABORTED`, `ERR_IO`.
 */
export async function pruneBackups(target: string | URL, options: PruneOptions): Promise<number[]> {
  return run(async ({ BindingBackups }) => {
    const path = directoryPath(target, 'target')
    const { keep, signal } = optionsOf<PruneOptions>(options, pruneNames, 'prune options')
    const most = wholeNumber(keep, 'keep', 1, idMax)
    throwIfAborted(checkSignal(signal))
    return unwrap(await BindingBackups.prune(path, most, worker()))
  })
}

/**
 * Makes a database of a backup or an archive. It is a database of its own, with its logs beside the data, and
 * has exactly what the version had. Every checksum is compared before it counts; when it fails, a target
 * that was there is empty again but for its lock file, and one that was not is gone. When its process is killed, what is there does not open, and the next `restore` starts over. Of an
 * encrypted database it is encrypted as that was.
 *
 * @param source - A directory of backups or the file of an archive, as a path or a `file:` URL; or an archive
 * as a stream of bytes. Compression with gzip or zstd is recognised. A directory of a database will do, or what
 * a program copied of one while it was written to, when it has a recorded version: that one is restored.
 * @param target - A directory that is empty or absent.
 * @param options.onProgress - Hears bytes. Of an archive it does not know how many there are in all.
 * @throws {CairnError} `ERR_ALREADY_EXISTS` when the target is not empty; `ERR_NOT_FOUND` when there is no such
 * backup; `ERR_INVALID_ARGUMENT` with `keyId` where another key is needed; `ERR_CORRUPT`, `ERR_ABORTED`, `ERR_NO_SPACE`, `ERR_IO`; `ERR_UNSUPPORTED_PLATFORM` for zstd where
 * Node has none.
 */
export async function restore(
  source: string | URL | ArchiveSource,
  target: string | URL,
  options?: RestoreOptions,
): Promise<RestoreResult> {
  return run(async (binding) => {
    const into = directoryPath(target, 'target')
    const given = optionsOf<RestoreOptions>(options, restoreNames, 'restore options')
    const { id, version, encryption, ...job } = given
    const one = idOf(id) ?? undefined
    // Before anything is looked for.
    callback(job.onProgress, 'onProgress')
    const signal = checkSignal(job.signal)
    const of = version === undefined ? undefined : toNativeVersion(version)
    const keys = encryption === undefined ? undefined : keySource(encryption, 'encryption')
    try {
      throwIfAborted(signal)
      return await restoreWith(binding, source, into, { id: one, version: of, keys, job })
    } finally {
      keys?.forget()
    }
  })
}

/** What is restored, checked. */
interface Wanted {
  readonly id: number | undefined
  readonly version: bigint | string | number | undefined
  readonly keys: KeySource | undefined
  readonly job: JobOptions
}

async function restoreWith(
  binding: Binding,
  source: string | URL | ArchiveSource,
  into: string,
  { id, version, keys, job }: Wanted,
): Promise<RestoreResult> {
  const from = await sourceOf(source)
  if (from.directory === undefined) {
    if (id !== undefined || version !== undefined) {
      throw wrong('an archive has one version', 'no id and no version', source, 'source')
    }
    const watch = {
      onProgress: callback(job.onProgress, 'onProgress'),
      signal: checkSignal(job.signal),
    }
    return readArchive(binding, from.archive, into, worker(), { ...watch, keys })
  }
  const path = from.directory
  const named = await unlessAborted(checkSignal(job.signal), () => keysFor(binding, path, keys))
  const wanted = { id, version, keys: named }
  try {
    return await watchJob(binding, job, undefined, (ticket) =>
      binding.BindingBackups.restore(path, into, wanted, worker(), ticket),
    )
  } catch (error) {
    if (!isCairnError(error, 'ERR_NOT_FOUND')) throw error
    throw withDetails(error, versionFacts(version), { path })
  }
}

/** The keys that a directory of backups may need: one, unless it was rotated between them. */
async function keysFor(
  binding: Binding,
  path: string,
  keys: KeySource | undefined,
): Promise<NamedKey[]> {
  if (keys === undefined) return []
  const ids = unwrap(await binding.BindingBackups.keyIds(path, worker()))
  // Where none is needed, one that was given is refused.
  if (ids.length === 0) return [await keys.current()]
  const found = await Promise.allSettled(ids.map(async (id) => keys.stored(id)))
  const named = found.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  // A provider need not have those that were given up; which one is needed is known later.
  if (named.length === 0) for (const one of found) if (one.status === 'rejected') throw one.reason
  return [...new Set(named)]
}

type Source =
  | { readonly directory: string }
  | { readonly directory?: undefined; readonly archive: string | ArchiveSource }

/** A directory is one of backups; anything else is an archive. */
async function sourceOf(source: unknown): Promise<Source> {
  if (typeof source !== 'string' && !(source instanceof URL)) {
    return { archive: source as ArchiveSource }
  }
  const path = directoryPath(source, 'source')
  const found = await stat(path).catch((cause: unknown) => {
    throw new CairnError('ERR_NOT_FOUND', 'there is nothing to restore', { path }, cause)
  })
  return found.isDirectory() ? { directory: path } : { archive: path }
}

function idOf(id: unknown): number | null {
  return id === undefined ? null : wholeNumber(id, 'id', 1, idMax)
}

function fromNativeBackup({ name, created, error, ...rest }: BindingBackup): BackupInfo {
  const info = { ...rest, name: name ?? null, created: new Date(created) }
  return error ? { ...info, error: fromNativeError(error) } : info
}

/** Who works, where no database is open. */
function worker(): BindingWorker {
  return { threads: availableParallelism(), host: hostname(), pid: process.pid }
}

async function run<T>(work: (binding: Binding) => Promise<T>): Promise<T> {
  try {
    return await work(loadBinding())
  } catch (error) {
    throw toCairnError(error)
  }
}
