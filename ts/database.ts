// A database: collections by name, and its life from open to close.
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Structures } from './alter.js'
import { archiveInto, type ArchiveOptions, type ArchiveResult } from './archive.js'
import {
  backupInto,
  backupTarget,
  pruneBackups,
  type BackupInfo,
  type BackupOptions,
} from './backup.js'
import { callback, oneOf, wrong } from './check.js'
import { EmbeddedCollection, type Collection } from './collection.js'
import type { CollectionContext } from './context.js'
import { withGround, type Finding } from './doctor.js'
import { keySource, type Encryption, type KeySource } from './encryption.js'
import { CairnError, checked, isCairnError, toCairnError, withDetails } from './errors.js'
import { commitsAtRest, tidiesAtRest } from './at-rest.js'
import { Lifetime } from './internal/lifetime.js'
import { runJob } from './job.js'
import { keyFor } from './key-lookup.js'
import type {
  Binding,
  BindingCollection,
  BindingCollectionInfo,
  BindingDatabase,
  BindingTicket,
} from './native/binding.js'
import { fromNativeError, unwrap } from './native/from-native.js'
import { loadBinding } from './native/loader.js'
import { Writes } from './native/writes.js'
import { directoryPath, resolveOptions, type OpenOptions, type ResolvedOptions } from './options.js'
import { Refresher } from './refresher.js'
import { failedBackup, Schedule, type BackupSchedule, type ScheduleOptions } from './schedule.js'
import { fromShape, toShape, type AnySchema, type Schema, type StoredSchema } from './schema.js'
import { SlowQueries } from './slow-query.js'
import { fromNativeDatabaseStats, type DatabaseStats } from './stats.js'
import type { CompactOptions } from './types.js'
import {
  aboutVersion,
  fromNativeVersion,
  VersionClock,
  type VersionId,
  type VersionInfo,
} from './versions.js'
import { VersionEvents, type VersionListener } from './internal/version-events.js'
import { fromNativeReport, type VerifyOptions, type VerifyReport } from './verify.js'
import { SpaceWatch, SyncWatch, headroomOf, tell, warnAbout, type Watch } from './warnings.js'

/** An open database. Every call may fail with `ERR_CLOSED`. */
export interface Database extends AsyncDisposable {
  /**
   * Opens a collection, or creates it.
   *
   * @param name - 1-128 of `A-Z a-z 0-9 _ . -`, not starting with a dot. A new one does not end with a dot either,
   * and is no device of Windows, such as `con` or `nul.txt`.
   * @param schema - Its structure; types of keys, fields and hits follow from the literal.
   * @throws {CairnError} `ERR_SCHEMA_MISMATCH` with the first difference in `details.path`,
   * `ERR_INVALID_NAME`, `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`.
   */
  collection<const S extends Schema>(name: string, schema: S): Promise<Collection<S>>
  /**
   * Opens a collection that exists.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`.
   */
  collection<S extends Schema = AnySchema>(name: string): Promise<Collection<S>>

  /**
   * Creates a collection.
   *
   * @throws {CairnError} `ERR_ALREADY_EXISTS`; as {@link collection}.
   */
  createCollection<const S extends Schema>(name: string, schema: S): Promise<Collection<S>>

  /**
   * Opens a collection that exists.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`.
   */
  openCollection<S extends Schema = AnySchema>(name: string): Promise<Collection<S>>

  /**
   * Removes a collection and its files.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`.
   */
  dropCollection(name: string): Promise<void>

  /**
   * Gives a collection another name. Handles that are open go on working and have the new name.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_ALREADY_EXISTS`, `ERR_INVALID_NAME`.
   */
  renameCollection(from: string, to: string): Promise<void>

  /** All collections, by name, also those that are damaged. */
  listCollections(): Promise<CollectionInfo[]>

  /** Makes everything acknowledged durable, whatever its `durability`; the version that is. */
  commit(): Promise<bigint>

  /**
   * Resolves when every collection is flushed, indexed and merged. It happens by itself, too.
   *
   * @throws {CairnError} The first error of a collection, `ERR_CORRUPT` of a damaged one among them;
   * the others are compacted all the same.
   */
  compact(options?: CompactOptions): Promise<void>

  /**
   * Records the state of all collections at this moment as a version that `at` opens again. What it has is
   * durable. Writers are held for the moment in which it is chosen, and go on while it is flushed.
   *
   * @param name - As a collection's; a version with a name stays until `dropVersion`. Without one it stays as
   * `retainVersions` and `retainMs` say.
   * @throws {CairnError} `ERR_ALREADY_EXISTS`, `ERR_INVALID_NAME`, `ERR_READ_ONLY`, `ERR_CORRUPT` when a
   * collection is damaged, `ERR_NO_SPACE`, `ERR_IO`: no version was made.
   */
  snapshot(name?: string): Promise<VersionInfo>

  /**
   * Opens a recorded version. It is a database of its own for reading, which is closed by itself; its files
   * stay as long as it is open. It has its vectors and graphs in memory, beside those of this one.
   *
   * @param version - A number (`0n` and above), a name, or a time: the newest version made until then.
   * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_CORRUPT`.
   */
  at(version: VersionId): Promise<Database>

  /** All recorded versions, oldest first, also those that are damaged. */
  listVersions(): Promise<VersionInfo[]>

  /**
   * Forgets a version. Its files go when nothing else needs them.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_READ_ONLY`.
   */
  dropVersion(version: VersionId): Promise<void>

  /**
   * Copies the state of this moment, or a recorded version, into a directory of backups. Only files that earlier
   * backups there do not have are copied, each whole and checked before it counts, and writes go on meanwhile.
   * The backups that were there stay as they were, whatever happens. `restore` makes a database of it.
   *
   * @param target - A directory of nothing but backups of this database; made when missing.
   * @param options.onProgress - Hears bytes.
   * @throws {CairnError} `ERR_INVALID_ARGUMENT` when the target is a database, is below this one, or has backups of another one;
   * `ERR_LOCKED` when another backup is made there; `ERR_NOT_FOUND` when there is no such version; `ERR_CORRUPT`
   * with the damaged file; `ERR_ABORTED`, `ERR_READ_ONLY`, `ERR_NO_SPACE`, `ERR_IO`.
   */
  backup(target: string | URL, options?: BackupOptions): Promise<BackupInfo>

  /**
   * Makes backups by itself, one at a time. The timer keeps no process alive. Each that fails is told to `onWarning`
   * (`WARN_BACKUP`), and the next one tries again; the handle and `stats()` have how it goes.
   *
   * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_CLOSED`, `ERR_READ_ONLY`, at once.
   */
  scheduleBackup(target: string | URL, options: ScheduleOptions): BackupSchedule

  /**
   * Streams the state of this moment, or a recorded version, as a tar archive, as fast as the stream takes it,
   * and ends the stream. Unpacked by any tar it is a database; `restore` reads it as well, and checks it.
   *
   * @param options.onProgress - Hears bytes.
   * @throws {CairnError} `ERR_NOT_FOUND` when there is no such version; `ERR_CORRUPT` with the damaged file;
   * `ERR_UNSUPPORTED_PLATFORM` for zstd where Node has none; `ERR_ABORTED`, `ERR_READ_ONLY`; `ERR_NO_SPACE` or
   * `ERR_IO` with what the stream says as the cause.
   */
  archive(writable: Writable, options?: ArchiveOptions): Promise<ArchiveResult>

  /**
   * Checks every byte of every file, beside everything else that goes on, and resolves to a report
   * also when there is damage. {@link verify} does so for a directory that does not open.
   *
   * Of a database that was opened with `mode: 'ro'` only the segments that are open are checked, not the log,
   * deletions, manifests, the catalog and versions; an `unchecked` note says so.
   *
   * @throws {CairnError} `ERR_ABORTED`, `ERR_IO`.
   */
  verify(options?: VerifyOptions): Promise<VerifyReport>

  /**
   * Looks at all that {@link verify} does and at how the database lives, and says what mends what is not as it
   * should be.
   *
   * @throws {CairnError} `ERR_ABORTED`, `ERR_IO`.
   */
  doctor(options?: CompactOptions): Promise<Finding[]>

  /** Figures. */
  stats(): Promise<DatabaseStats>

  /**
   * Shows what the writer has made durable until now: with `mode: 'ro'` everything that was acknowledged with
   * `durability: 'sync'` before this call, by whatever process. Each collection is at one version, never at a
   * mixture; those of two collections may be of different moments. Calls that run keep the version they began
   * with. Writes with `'os'` or `'memory'` show once they are committed, those with `'memory'` even where later ones
   * are seen before. Where this process is the writer, all is seen already.
   *
   * @returns The newest version seen.
   * @throws {CairnError} `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`, `ERR_IO`: the first of a collection, the others
   * are looked at all the same. What was seen before stays.
   */
  refresh(): Promise<bigint>

  /**
   * Calls `listener` with the version after each change that can be read from now on: of a writer its own
   * writes, once acknowledged; of a reader what a refresh found. Changes that came together are told together, by
   * the last version. What a listener throws is an uncaught exception.
   */
  on(event: 'version', listener: VersionListener): this

  /** Takes a listener of {@link on} away. */
  off(event: 'version', listener: VersionListener): this

  /**
   * Has the database open with another key from now on. No file is rewritten: what encrypts them is
   * encrypted with the new key, and files to come get a new one. The old key opens the database until this
   * resolves. After `ERR_IO` either key may be the one that opens it.
   *
   * @throws {CairnError} `ERR_INVALID_ARGUMENT` for a database that is not encrypted; `ERR_NO_SPACE`,
   * `ERR_IO`.
   */
  rotateKey(encryption: Encryption): Promise<void>

  /**
   * Lets calls that run end, then closes the directory for others to open. Again is harmless.
   * `await using` does it by itself.
   */
  close(): Promise<void>
}

/** A collection as a listing shows it. */
export interface CollectionInfo {
  readonly name: string
  readonly schema: StoredSchema
  /** Live records; 0 when it is damaged. */
  readonly count: number
  /** What `openCollection` rejects with; only there when it is damaged. */
  readonly error?: CairnError
}

/** Waiting for a lock, it is asked for this often. */
const lockPollMs = 20

/**
 * Opens a database, creating it when there is none and `mode` is not `'ro'`.
 *
 * @param target - A directory, as a path or a `file:` URL; `':memory:'` for one that lives in
 * memory only.
 * @param options - See {@link OpenOptions}.
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, with `keyId` where an encrypted database needs another key;
 * `ERR_LOCKED` with `pid`, `host` and `since` of the writer that has it; `ERR_NOT_FOUND` when there is
 * nothing to read; `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`, `ERR_NO_SPACE`, `ERR_IO`;
 * `ERR_UNSUPPORTED_PLATFORM`.
 */
export async function open(target: string | URL, options?: OpenOptions): Promise<Database> {
  return openWith(loadBinding, target, options)
}

/** {@link open} over a given addon. */
export async function openWith(
  load: () => Binding,
  target: string | URL,
  options?: OpenOptions,
): Promise<Database> {
  let path: string | null
  let settings: ResolvedOptions
  try {
    path = directoryOf(target)
    settings = resolveOptions(options)
    if (path === null && settings.readOnly) {
      throw wrong('nobody else writes what is in memory only', 'a directory', target, 'mode')
    }
  } catch (error) {
    throw toCairnError(error)
  }
  const binding = load()
  const lifetime = new Lifetime()
  const events = new VersionEvents()
  const writes = new Writes(lifetime, events)
  const native = await openNative(binding, path, settings, writes)
  if (path !== null) void warnAbout(path, settings.onWarning)
  const watches = path === null || settings.readOnly ? undefined : watch(path, settings, native)
  const database = new EmbeddedDatabase(
    binding,
    native,
    { lifetime, writes, events, watches },
    { ...settings, path },
  )
  if (settings.readOnly) await database.follow(settings.refreshMs)
  return database
}

/** Warns when the disk of a directory fills or syncs slowly, from now on. */
function watch(path: string, settings: ResolvedOptions, native: BindingDatabase): Watch[] {
  const { onWarning, walDir = path } = settings
  const space = new SpaceWatch(path, headroomOf(settings), onWarning)
  const syncs = new SyncWatch(walDir, onWarning, () => native.takeLongestSync())
  space.start()
  syncs.start()
  return [space, syncs]
}

/** The directory that `target` names; null for none. */
function directoryOf(target: unknown): string | null {
  if (target === ':memory:') return null
  return directoryPath(target, 'target')
}

/** Waiting happens here, on a timer, so that no thread of the pool is held meanwhile. */
async function openNative(
  binding: Binding,
  path: string | null,
  settings: ResolvedOptions,
  writes: Writes,
): Promise<BindingDatabase> {
  const {
    lockTimeoutMs,
    refreshMs: _,
    onWarning: __,
    slowQueryMs: _slow,
    onSlowQuery: _tell,
    encryption: keys,
    ...native
  } = settings
  const until = performance.now() + lockTimeoutMs
  try {
    const encryption = keys && (await keyFor(binding, path, keys, native.threads))
    for (;;) {
      try {
        const options = { ...native, encryption }
        return unwrap(await binding.BindingDatabase.open(path, options, writes.settle))
      } catch (error) {
        const left = until - performance.now()
        if (!isCairnError(error, 'ERR_LOCKED') || left <= 0) throw error
        await delay(Math.min(left, lockPollMs))
      }
    }
  } catch (error) {
    throw named(toCairnError(error), path, native.walDir)
  } finally {
    keys?.forget()
  }
}

/** An error that names no file gets the directories that were to be opened. */
function named(error: unknown, directory: string | null, walDir: string | undefined): unknown {
  if (directory === null || !(error instanceof CairnError)) return error
  if (error.details['file'] !== undefined || error.details['path'] !== undefined) return error
  return withDetails(error, {}, { directory, ...(walDir === undefined ? {} : { walDir }) })
}

/** What lives as long as a database. */
interface Beside {
  readonly lifetime: Lifetime
  readonly writes: Writes
  readonly events: VersionEvents
  /** None of a database in memory, or one that only reads. */
  readonly watches: readonly Watch[] | undefined
}

type Settings = Pick<
  ResolvedOptions,
  | 'durability'
  | 'readOnly'
  | 'onWarning'
  | 'retainVersions'
  | 'retainMs'
  | 'slowQueryMs'
  | 'onSlowQuery'
  | 'walBytesMax'
> & {
  /** Null in memory. */
  readonly path: string | null
}

class EmbeddedDatabase implements Database {
  readonly #native: BindingDatabase
  readonly #settings: Settings
  readonly #watches: readonly Watch[] | undefined
  readonly #context: CollectionContext
  readonly #events: VersionEvents
  readonly #refresher: Refresher
  readonly #ending = new AbortController()
  readonly #clock: VersionClock | undefined
  readonly #schedules = new Set<Schedule>()

  constructor(
    binding: Binding,
    native: BindingDatabase,
    { lifetime, writes, events, watches }: Beside,
    settings: Settings,
  ) {
    const { durability, readOnly, onWarning, retainVersions, retainMs } = settings
    const { slowQueryMs, onSlowQuery } = settings
    const retains = !readOnly && (retainVersions > 1 || retainMs > 0)
    this.#settings = settings
    this.#clock = retains ? new VersionClock(native, lifetime) : undefined
    this.#native = native
    this.#watches = watches
    this.#events = events
    const structures = new Structures()
    this.#refresher = new Refresher(native, { lifetime, events, structures, onWarning })
    this.#context = {
      binding,
      lifetime,
      writes,
      structures,
      ending: this.#ending.signal,
      durability,
      readOnly,
      slowQueries:
        slowQueryMs === undefined ? undefined : new SlowQueries(slowQueryMs, onSlowQuery),
      commits: watches === undefined ? undefined : commitsAtRest(lifetime),
      tidies: watches === undefined ? undefined : tidiesAtRest(lifetime, native),
    }
  }

  /** Looks at what another process writes from now on. */
  async follow(refreshMs: number): Promise<void> {
    const { version } = unwrap(await this.#native.stats())
    this.#events.known(version)
    this.#refresher.start(refreshMs)
  }

  collection<S extends Schema>(name: string, schema?: S): Promise<Collection<S>> {
    return this.#open(() =>
      this.#native.collection(nameOf(name), schema === undefined ? null : toShape(schema)),
    )
  }

  createCollection<S extends Schema>(name: string, schema: S): Promise<Collection<S>> {
    return this.#open(() => this.#native.createCollection(nameOf(name), toShape(schema)))
  }

  openCollection<S extends Schema>(name: string): Promise<Collection<S>> {
    return this.#open(() => this.#native.openCollection(nameOf(name)))
  }

  dropCollection(name: string): Promise<void> {
    return this.#run(async () => unwrap(await this.#native.dropCollection(nameOf(name))))
  }

  renameCollection(from: string, to: string): Promise<void> {
    return this.#run(async () =>
      unwrap(await this.#native.renameCollection(nameOf(from), nameOf(to))),
    )
  }

  listCollections(): Promise<CollectionInfo[]> {
    return this.#run(async () => {
      const infos = unwrap(await this.#native.listCollections())
      return infos.map(fromNativeInfo)
    })
  }

  commit(): Promise<bigint> {
    return this.#run(async () => unwrap(await this.#native.commit()))
  }

  compact(options?: CompactOptions): Promise<void> {
    const { binding, ending } = this.#context
    return this.#run(() =>
      runJob(binding, options, ending, (ticket) => this.#native.compact(ticket)),
    )
  }

  snapshot(name?: string): Promise<VersionInfo> {
    return this.#run(async () => {
      const given = name === undefined ? null : nameOf(name, 'version')
      return fromNativeVersion(unwrap(await this.#native.snapshot(given)))
    })
  }

  at(version: VersionId): Promise<Database> {
    const { binding } = this.#context
    return this.#run(async () => {
      const lifetime = new Lifetime()
      const events = new VersionEvents()
      const writes = new Writes(lifetime, events)
      const native = await aboutVersion(version, (id) => this.#native.at(id, writes.settle))
      const beside = { lifetime, writes, events, watches: undefined }
      const settings = { ...this.#settings, readOnly: true }
      return new EmbeddedDatabase(binding, native, beside, settings)
    })
  }

  listVersions(): Promise<VersionInfo[]> {
    return this.#run(async () => unwrap(await this.#native.listVersions()).map(fromNativeVersion))
  }

  dropVersion(version: VersionId): Promise<void> {
    return this.#run(() => aboutVersion(version, (id) => this.#native.dropVersion(id)))
  }

  backup(target: string | URL, options?: BackupOptions): Promise<BackupInfo> {
    const { binding, ending } = this.#context
    return this.#run(async () => {
      const path = backupTarget(target, this.#settings.path)
      return backupInto(binding, this.#native, path, options, ending)
    })
  }

  scheduleBackup(target: string | URL, options: ScheduleOptions): BackupSchedule {
    if (!this.#context.lifetime.open) throw closed()
    if (this.#context.readOnly) {
      throw new CairnError('ERR_READ_ONLY', 'the database was opened for reading')
    }
    const schedule = checked(() => {
      const { onWarning, path: directory } = this.#settings
      const path = backupTarget(target, directory)
      return new Schedule(path, options, {
        backup: () => this.backup(path),
        prune: (keep) => pruneBackups(path, { keep }),
        failed: (error) => tell(onWarning, failedBackup(path, error)),
      })
    })
    for (const old of this.#schedules) if (old.stopped) this.#schedules.delete(old)
    this.#schedules.add(schedule)
    return schedule
  }

  archive(writable: Writable, options?: ArchiveOptions): Promise<ArchiveResult> {
    const { ending } = this.#context
    return this.#run(() => archiveInto(this.#native, writable, options, ending))
  }

  verify(options?: VerifyOptions): Promise<VerifyReport> {
    const { binding, ending } = this.#context
    return this.#run(async () => {
      const check = (ticket: BindingTicket) => this.#native.verify(ticket)
      return fromNativeReport(await runJob(binding, options, ending, check))
    })
  }

  doctor(options?: CompactOptions): Promise<Finding[]> {
    const { binding, ending } = this.#context
    const { path, walBytesMax } = this.#settings
    return this.#run(async () => {
      const look = (ticket: BindingTicket) => this.#native.doctor(walBytesMax, ticket)
      return withGround(path, await runJob(binding, options, ending, look))
    })
  }

  stats(): Promise<DatabaseStats> {
    return this.#run(async () => {
      const running = [...this.#schedules].filter((schedule) => !schedule.stopped)
      const schedules = running.map((schedule) => schedule.stats())
      const stats = unwrap(await this.#native.stats())
      return fromNativeDatabaseStats(stats, this.#refresher.lastError, schedules)
    })
  }

  refresh(): Promise<bigint> {
    return this.#run(() => this.#refresher.refresh())
  }

  on(event: 'version', listener: VersionListener): this {
    this.#events.add(listenerOf(event, listener))
    return this
  }

  off(event: 'version', listener: VersionListener): this {
    this.#events.remove(listenerOf(event, listener))
    return this
  }

  async rotateKey(encryption: Encryption): Promise<void> {
    let keys: KeySource
    try {
      keys = keySource(encryption, 'encryption')
    } catch (error) {
      throw toCairnError(error)
    }
    try {
      await this.#run(async () => unwrap(await this.#native.rotateKey(await keys.current())))
    } finally {
      keys.forget()
    }
  }

  close(): Promise<void> {
    const { lifetime, commits, tidies } = this.#context
    const closed = lifetime.close(async () => unwrap(await this.#native.close()))
    commits?.stop()
    tidies?.stop()
    for (const each of this.#watches ?? []) each.stop()
    this.#refresher.stop()
    this.#clock?.stop()
    for (const schedule of this.#schedules) void schedule.stop()
    this.#ending.abort()
    return closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #open<S extends Schema>(
    call: () => ReturnType<BindingDatabase['openCollection']>,
  ): Promise<Collection<S>> {
    return this.#run(async () => {
      const native: BindingCollection = unwrap(await call())
      this.#context.tidies?.note({ name: native.name })
      return new EmbeddedCollection(native, this.#context) as unknown as Collection<S>
    })
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    const { lifetime } = this.#context
    if (!lifetime.open) throw closed()
    try {
      return await lifetime.track(work())
    } catch (error) {
      throw toCairnError(error)
    }
  }
}

function fromNativeInfo({ name, schema, count, error }: BindingCollectionInfo): CollectionInfo {
  const info = { name, schema: fromShape(schema), count }
  return error ? { ...info, error: fromNativeError(error) } : info
}

function closed(): CairnError {
  return new CairnError('ERR_CLOSED', 'the database is closed')
}

/** Names are checked by the engine; here only that there is one. */
function nameOf(name: unknown, of = 'collection'): string {
  if (typeof name === 'string') return name
  const { details } = wrong('', 'string', name)
  throw new CairnError('ERR_INVALID_NAME', `a ${of} name is a string`, details)
}

function listenerOf(event: unknown, listener: unknown): VersionListener {
  oneOf(event, ['version'], 'event')
  const given = callback(listener as VersionListener, 'listener')
  if (given === undefined) throw wrong('listener is missing', 'function', listener, 'listener')
  return given
}
