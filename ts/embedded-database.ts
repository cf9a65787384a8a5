// An embedded database: collections by name, and its life from open to close.
import type { Writable } from 'node:stream'
import { Structures } from './alter.js'
import { archiveInto, type ArchiveOptions, type ArchiveResult } from './archive.js'
import { commitsAtRest, tidiesAtRest } from './at-rest.js'
import {
  backupInto,
  backupTarget,
  pruneBackups,
  type BackupInfo,
  type BackupOptions,
} from './backup.js'
import { callback, oneOf, wrong } from './check.js'
import type { Collection } from './collection.js'
import type { CollectionContext } from './context.js'
import type { CollectionInfo, Database } from './database.js'
import { withGround, type Finding } from './doctor.js'
import { EmbeddedCollection } from './embedded-collection.js'
import { keySource, type Encryption } from './encryption.js'
import { CairnError, checked, toCairnError } from './errors.js'
import { Lifetime } from './internal/lifetime.js'
import { VersionEvents, type VersionListener } from './internal/version-events.js'
import { runJob } from './job.js'
import type {
  Binding,
  BindingCollection,
  BindingCollectionInfo,
  BindingDatabase,
  BindingTicket,
} from './native/binding.js'
import { fromNativeError, unwrap } from './native/from-native.js'
import { Writes } from './native/writes.js'
import type { ResolvedOptions } from './options.js'
import { Refresher } from './refresher.js'
import { failedBackup, Schedule, type BackupSchedule, type ScheduleOptions } from './schedule.js'
import { fromShape, toShape, type Schema } from './schema.js'
import { callSignal, throwIfAborted, unlessAborted } from './signal.js'
import { SlowQueries } from './slow-query.js'
import { fromNativeDatabaseStats, type DatabaseStats } from './stats.js'
import type { CallOptions, CompactOptions } from './types.js'
import { fromNativeReport, type VerifyOptions, type VerifyReport } from './verify.js'
import {
  aboutVersion,
  fromNativeVersion,
  VersionClock,
  type VersionId,
  type VersionInfo,
} from './versions.js'
import { tell, type Watch } from './warnings.js'

/** What lives as long as a database. */
export interface Beside {
  readonly lifetime: Lifetime
  readonly writes: Writes
  readonly events: VersionEvents
  /** None of a database in memory, or one that only reads. */
  readonly watches: readonly Watch[] | undefined
}

/** What of its options a database goes by. */
export type Settings = Pick<
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

/** A database that lives in this process. */
export class EmbeddedDatabase implements Database {
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

  collection<S extends Schema>(
    name: string,
    schema?: S,
    options?: CallOptions,
  ): Promise<Collection<S>> {
    if (schema === undefined) {
      return this.#read(options, () =>
        this.#opened(() => this.#native.collection(nameOf(name), null)),
      )
    }
    return this.#change(options, () =>
      this.#opened(() => this.#native.collection(nameOf(name), toShape(schema))),
    )
  }

  createCollection<S extends Schema>(
    name: string,
    schema: S,
    options?: CallOptions,
  ): Promise<Collection<S>> {
    return this.#change(options, () =>
      this.#opened(() => this.#native.createCollection(nameOf(name), toShape(schema))),
    )
  }

  openCollection<S extends Schema>(name: string, options?: CallOptions): Promise<Collection<S>> {
    return this.#read(options, () => this.#opened(() => this.#native.openCollection(nameOf(name))))
  }

  dropCollection(name: string, options?: CallOptions): Promise<void> {
    return this.#change(options, async () =>
      unwrap(await this.#native.dropCollection(nameOf(name))),
    )
  }

  renameCollection(from: string, to: string, options?: CallOptions): Promise<void> {
    return this.#change(options, async () =>
      unwrap(await this.#native.renameCollection(nameOf(from), nameOf(to))),
    )
  }

  listCollections(options?: CallOptions): Promise<CollectionInfo[]> {
    return this.#read(options, async () => {
      const infos = unwrap(await this.#native.listCollections())
      return infos.map(fromNativeInfo)
    })
  }

  commit(options?: CallOptions): Promise<bigint> {
    return this.#read(options, async () => unwrap(await this.#native.commit()))
  }

  compact(options?: CompactOptions): Promise<void> {
    const { binding, ending } = this.#context
    return this.#run(() =>
      runJob(binding, options, ending, (ticket) => this.#native.compact(ticket)),
    )
  }

  snapshot(name?: string, options?: CallOptions): Promise<VersionInfo> {
    return this.#change(options, async () => {
      const given = name === undefined ? null : nameOf(name, 'version')
      return fromNativeVersion(unwrap(await this.#native.snapshot(given)))
    })
  }

  at(version: VersionId, options?: CallOptions): Promise<Database> {
    const { binding } = this.#context
    const opened = async (): Promise<Database> => {
      const lifetime = new Lifetime()
      const events = new VersionEvents()
      const writes = new Writes(lifetime, events)
      const native = await aboutVersion(version, (id) => this.#native.at(id, writes.settle))
      const beside = { lifetime, writes, events, watches: undefined }
      const settings = { ...this.#settings, readOnly: true }
      return new EmbeddedDatabase(binding, native, beside, settings)
    }
    return this.#read(options, opened, (late) => late.close())
  }

  listVersions(options?: CallOptions): Promise<VersionInfo[]> {
    return this.#read(options, async () =>
      unwrap(await this.#native.listVersions()).map(fromNativeVersion),
    )
  }

  dropVersion(version: VersionId, options?: CallOptions): Promise<void> {
    return this.#change(options, () => aboutVersion(version, (id) => this.#native.dropVersion(id)))
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
    return this.#run(() => archiveInto(this.#native, writable, options, this.#context))
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

  stats(options?: CallOptions): Promise<DatabaseStats> {
    return this.#read(options, async () => {
      const running = [...this.#schedules].filter((schedule) => !schedule.stopped)
      const schedules = running.map((schedule) => schedule.stats())
      const stats = unwrap(await this.#native.stats())
      return fromNativeDatabaseStats(stats, this.#refresher.lastError, schedules)
    })
  }

  refresh(options?: CallOptions): Promise<bigint> {
    return this.#read(options, () => this.#refresher.refresh())
  }

  on(event: 'version', listener: VersionListener): this {
    this.#events.add(listenerOf(event, listener))
    return this
  }

  off(event: 'version', listener: VersionListener): this {
    this.#events.remove(listenerOf(event, listener))
    return this
  }

  async rotateKey(encryption: Encryption, options?: CallOptions): Promise<void> {
    const signal = checked(() => callSignal(options))
    const keys = checked(() => keySource(encryption, 'encryption'))
    try {
      await this.#run(async () => {
        // A provider may take its time, and until it has answered nothing has begun.
        const key = await unlessAborted(signal, () => keys.current())
        return unwrap(await this.#native.rotateKey(key))
      })
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

  async #opened<S extends Schema>(
    call: () => ReturnType<BindingDatabase['openCollection']>,
  ): Promise<Collection<S>> {
    const native: BindingCollection = unwrap(await call())
    this.#context.tidies?.note({ name: native.name })
    return new EmbeddedCollection(native, this.#context) as unknown as Collection<S>
  }

  /** A call that changes something: refused until it begins, and finished once it has begun. */
  #change<T>(options: CallOptions | undefined, work: () => Promise<T>): Promise<T> {
    return this.#run(() => {
      throwIfAborted(callSignal(options))
      return work()
    })
  }

  /** A call that reads or waits: it goes on without its caller when the signal fires. */
  #read<T>(
    options: CallOptions | undefined,
    work: () => Promise<T>,
    drop?: (late: T) => unknown,
  ): Promise<T> {
    const { lifetime } = this.#context
    return this.#run(() => unlessAborted(callSignal(options), work, { lifetime, drop }))
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
