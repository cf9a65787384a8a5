// A database as its users see it: collections by name, versions, backups.
import type { Writable } from 'node:stream'
import type { ArchiveOptions, ArchiveResult } from './archive.js'
import type { BackupInfo, BackupOptions } from './backup.js'
import type { Collection } from './collection.js'
import type { Finding } from './doctor.js'
import type { Encryption } from './encryption.js'
import type { CairnError } from './errors.js'
import type { VersionListener } from './internal/version-events.js'
import type { BackupSchedule, ScheduleOptions } from './schedule.js'
import type { AnySchema, Schema, StoredSchema } from './schema.js'
import type { DatabaseStats } from './stats.js'
import type { CallOptions, CompactOptions } from './types.js'
import type { VerifyOptions, VerifyReport } from './verify.js'
import type { VersionId, VersionInfo } from './versions.js'

/** An open database. Every call may fail with `ERR_CLOSED`, and under a {@link CallOptions | signal} with `ERR_ABORTED`. */
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
  collection<const S extends Schema>(
    name: string,
    schema: S,
    options?: CallOptions,
  ): Promise<Collection<S>>
  /**
   * Opens a collection that exists.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`.
   */
  collection<S extends Schema = AnySchema>(
    name: string,
    schema?: undefined,
    options?: CallOptions,
  ): Promise<Collection<S>>

  /**
   * Creates a collection.
   *
   * @throws {CairnError} `ERR_ALREADY_EXISTS`; as {@link collection}.
   */
  createCollection<const S extends Schema>(
    name: string,
    schema: S,
    options?: CallOptions,
  ): Promise<Collection<S>>

  /**
   * Opens a collection that exists.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`.
   */
  openCollection<S extends Schema = AnySchema>(
    name: string,
    options?: CallOptions,
  ): Promise<Collection<S>>

  /**
   * Removes a collection and its files.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`.
   */
  dropCollection(name: string, options?: CallOptions): Promise<void>

  /**
   * Gives a collection another name. Handles that are open go on working and have the new name.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_ALREADY_EXISTS`, `ERR_INVALID_NAME`.
   */
  renameCollection(from: string, to: string, options?: CallOptions): Promise<void>

  /** All collections, by name, also those that are damaged. */
  listCollections(options?: CallOptions): Promise<CollectionInfo[]>

  /**
   * Makes everything acknowledged durable, whatever its `durability`; the version that is. A signal that fires ends the
   * wait for it alone.
   */
  commit(options?: CallOptions): Promise<bigint>

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
  snapshot(name?: string, options?: CallOptions): Promise<VersionInfo>

  /**
   * Opens a recorded version. It is a database of its own for reading, which is closed by itself; its files
   * stay as long as it is open. It has its vectors and graphs in memory, beside those of this one.
   *
   * @param version - A number (`0n` and above), a name, or a time: the newest version made until then.
   * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_CORRUPT`.
   */
  at(version: VersionId, options?: CallOptions): Promise<Database>

  /** All recorded versions, oldest first, also those that are damaged. */
  listVersions(options?: CallOptions): Promise<VersionInfo[]>

  /**
   * Forgets a version. Its files go when nothing else needs them.
   *
   * @throws {CairnError} `ERR_NOT_FOUND`, `ERR_READ_ONLY`.
   */
  dropVersion(version: VersionId, options?: CallOptions): Promise<void>

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
  stats(options?: CallOptions): Promise<DatabaseStats>

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
  refresh(options?: CallOptions): Promise<bigint>

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
   * @throws {CairnError} `ERR_INVALID_ARGUMENT` for a database that is not encrypted, and with `keyId` for a new
   * key that has the id of the current one; `ERR_NO_SPACE`, `ERR_IO`.
   */
  rotateKey(encryption: Encryption, options?: CallOptions): Promise<void>

  /**
   * Lets calls that run end, then closes the directory for others to open. Again is harmless.
   * `await using` does it by itself. It takes no signal: work that may be long, such as `compact`, `backup` and `ingest`,
   * ends early with `ERR_CLOSED`, and all else is soon done.
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
