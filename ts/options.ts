// Options of `open`: defaults, checks, and the frozen form the rest of the package uses.
import { availableParallelism, hostname, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { types } from 'node:util'
import process from 'node:process'
import {
  callback,
  checkSignal,
  flag,
  notYet,
  numberWithin,
  oneOf,
  optionsOf,
  wholeNumber,
  wrong,
} from './check.js'
import { keySource, type Encryption, type KeySource } from './encryption.js'
import { isWellFormed } from './internal/text.js'
import type { Durability, SearchPlan } from './types.js'

const MiB = 1024 * 1024
const dayMs = 24 * 60 * 60 * 1000

/** Longest that a timer of Node waits. */
const timerMs = 2 ** 31 - 1

/** Something the user should know and may ignore. */
export interface CairnWarning {
  /** `WARN_PERMISSIONS`, `WARN_NETWORK_FILE_SYSTEM`, `WARN_FREE_SPACE`, `WARN_SLOW_SYNC`, `WARN_REFRESH` or `WARN_BACKUP`. */
  readonly code: string
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

/** A search that took long. */
export interface SlowQuery {
  /** Name of the collection. */
  readonly collection: string
  /** From the call to its answer, time in the queue included. */
  readonly elapsedMs: number
  /** What such a search does: its own with `explain`, else by asking once more; null while another one is asked for. */
  readonly plan: SearchPlan | null
}

/** How a database is opened. */
export interface OpenOptions {
  /**
   * Default `'rw'`: the one writer of the directory. `'ro'`: any number of readers beside it, in any process. They
   * write nothing and take no lock, so a read-only mount will do; all calls that change something answer
   * `ERR_READ_ONLY`. They see what is durable: writes with `'sync'` once they are acknowledged, others once they
   * are committed. Options of writing are ignored.
   */
  readonly mode?: 'rw' | 'ro' | undefined
  /**
   * When writes are acknowledged. Default `'sync'`. What was acknowledged with `'memory'` or `'os'` becomes
   * durable by itself once its collection has rested for about a second, and by `commit()` and `close()`.
   */
  readonly durability?: Durability | undefined
  /** How long to wait for another writer, in milliseconds, before `ERR_LOCKED`. Default 0. */
  readonly lockTimeoutMs?: number | undefined
  /** Memtables and caches stay inside it. Bytes from 1 MiB, or a share such as `'25%'`. Default half of the machine's or its control group's memory. */
  readonly memoryBudget?: number | `${number}%` | undefined
  /** A memtable is flushed at this size. Bytes from 64 KiB, default 64 MiB. Larger: fewer, larger segments, slower recovery. */
  readonly memtableBytes?: number | undefined
  /** Directory of the write-ahead logs. Default beside the data. */
  readonly walDir?: string | undefined
  /** A flush begins long before a log has this size. Bytes from 1 MiB, default 512 MiB. */
  readonly walBytesMax?: number | undefined
  /**
   * When segments are merged without being asked. `'size-tiered'` (default): four of a size become one.
   * `'leveled'`: two do, so there are half as many to search, for about twice the writing. `'none'`: only
   * `compact()` merges, removes deleted rows and builds graphs.
   */
  readonly compaction?: CompactionPolicy | undefined
  /** Bytes a second that merging in the background writes at most. From 64 KiB, default no limit. */
  readonly compactionRateMax?: number | undefined
  /**
   * How long a write's `idempotencyKey` is remembered, in milliseconds, at least: time in which a clock was
   * set back does not count. From 1, default 24 hours. Of a collection at most 100,000 keys are, whatever
   * their age.
   */
  readonly idempotencyWindowMs?: number | undefined
  /**
   * Workers of the engine's own pool. Integer 1-1 024, default the cores. The process has one pool: the first
   * open decides, and what a later one asks for is ignored.
   */
  readonly threads?: number | undefined
  /** Not available in this version. */
  readonly cacheDir?: string | undefined
  /** Not available in this version. */
  readonly cacheBytes?: number | undefined
  /**
   * Bytes of stored fields, and of codes of `'ivf'` fields, that are kept in memory for later reads, at most; a quarter of `memoryBudget` when
   * that is less. Integer from 0 (none), default 256 MiB. Larger: fewer reads of the disk by `get`, and by searches that
   * return fields; `stats().blockCache` tells how many. Scans and merges put nothing in.
   */
  readonly blockCacheBytes?: number | undefined
  /**
   * Whether vectors of segments stay in their files and are compared where the system has them in its cache of pages,
   * not copied to memory. Default `false`. With it a database may be larger than memory, opens without taking any for
   * vectors, and a search may wait for the disk, `searchSync` on the JavaScript thread, too. Graphs, keys and new records are in
   * memory all the same. Checksums are compared when a segment is opened and whenever a vector is returned; not again by
   * searches, which a file that others overwrite can mislead. One that is cut while it is open answers `ERR_CORRUPT`.
   * Without effect in an encrypted database, in memory, and on Windows; `stats().mappedBytes` tells.
   */
  readonly memoryMap?: boolean | undefined
  /**
   * How fields are written to segments. `'lz4'` (default): in compressed blocks, where that makes them smaller by
   * more than an eighth. `'none'`: as they are. Holds for segments written from now on; all others stay readable.
   */
  readonly compression?: Compression | undefined
  /**
   * Versions without a name that stay openable with `at`. Integer from 1, default 1: the newest recorded one.
   * With more than 1, or with `retainMs`, versions are recorded by themselves: at each `db.commit()` that has
   * something new, and at most once a minute while there are writes. Each costs the files that the current state
   * no longer needs. Those with a name stay until `dropVersion`.
   */
  readonly retainVersions?: number | undefined
  /** How long versions without a name stay at least, in milliseconds. Integer from 0, default 0. */
  readonly retainMs?: number | undefined
  /**
   * Encrypts a new database, and opens one that is encrypted: its files, logs and temporary files cannot be
   * read without the key. Lose the key and the data is lost. Default none; a database in clear stays so.
   */
  readonly encryption?: Encryption | undefined
  /**
   * With `mode: 'ro'`: every so many milliseconds the newest version is looked for. Integer 0-2 147 483 647, default
   * 1000; 0: only by `refresh()`. Smaller: fresher, at the cost of a few system calls a collection.
   */
  readonly refreshMs?: number | undefined
  /**
   * Told of permissions looser than 700, network file systems, when the disk of the directory has less
   * than four memtables and `walBytesMax` free (at least 64 MiB), at the open or later, when a sync of a log takes
   * longer than a second (once a minute at most, while it still runs too), when looking for a newer version
   * fails, or fails differently, and when a backup of `scheduleBackup` fails. Default `process.emitWarning`. What it throws, or rejects
   * with, is ignored: a warning fails nothing.
   */
  readonly onWarning?: ((warning: CairnWarning) => void) | undefined
  /**
   * Searches that take at least so many milliseconds are told to `onSlowQuery`. Default: none are. Without
   * `onSlowQuery` they go to `process.emitWarning`.
   */
  readonly slowQueryMs?: number | undefined
  /** Told of slow searches, with their plan. What it throws is ignored. */
  readonly onSlowQuery?: ((slow: SlowQuery) => void) | undefined
  /**
   * Ends the opening, and nothing after it, with `ERR_ABORTED`: waits for a lock or a key end at once, and what is being
   * opened is closed again before the promise rejects. The directory of a new database may stay, with nothing in it.
   */
  readonly signal?: AbortSignal | undefined
}

/** When segments are merged without being asked. */
export type CompactionPolicy = 'size-tiered' | 'leveled' | 'none'

/** How fields are written to segments. */
export type Compression = 'lz4' | 'none'

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly readOnly: boolean
  readonly refreshMs: number
  readonly durability: Durability
  readonly lockTimeoutMs: number
  readonly memoryBudget: number
  readonly memtableBytes: number
  readonly blockCacheBytes: number
  readonly memoryMap: boolean
  readonly compression: Compression
  readonly walDir: string | undefined
  readonly walBytesMax: number
  readonly compaction: CompactionPolicy
  /** 0 for no limit. */
  readonly compactionRateMax: number
  readonly idempotencyWindowMs: number
  readonly threads: number
  readonly retainVersions: number
  readonly retainMs: number
  readonly host: string
  readonly pid: number
  readonly encryption: KeySource | undefined
  readonly onWarning: (warning: CairnWarning) => void
  readonly slowQueryMs: number | undefined
  readonly onSlowQuery: (slow: SlowQuery) => void
  readonly signal: AbortSignal | undefined
}

/** What later versions can do, with the only value that this one knows. */
const later = {
  cacheDir: undefined,
  cacheBytes: undefined,
} as const

const names = new Set([
  'mode',
  'refreshMs',
  'durability',
  'lockTimeoutMs',
  'memoryBudget',
  'memtableBytes',
  'blockCacheBytes',
  'memoryMap',
  'compression',
  'walDir',
  'walBytesMax',
  'compaction',
  'compactionRateMax',
  'idempotencyWindowMs',
  'threads',
  'encryption',
  'retainVersions',
  'retainMs',
  'onWarning',
  'slowQueryMs',
  'onSlowQuery',
  'signal',
  ...Object.keys(later),
])

/** The words of `durability`. */
export const durabilities: readonly Durability[] = ['memory', 'os', 'sync']

const compressions: readonly Compression[] = ['lz4', 'none']

const compactions: readonly CompactionPolicy[] = ['size-tiered', 'leveled', 'none']

/**
 * Checks options and fills in defaults.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, with the name in `details.path`.
 */
export function resolveOptions(options: OpenOptions | undefined): ResolvedOptions {
  const given = optionsOf<OpenOptions>(options, names, 'options')
  refuseLater(given)
  return Object.freeze({
    readOnly: given.mode !== undefined && oneOf(given.mode, ['rw', 'ro'], 'mode') === 'ro',
    refreshMs:
      given.refreshMs === undefined ? 1000 : wholeNumber(given.refreshMs, 'refreshMs', 0, timerMs),
    durability:
      given.durability === undefined ? 'sync' : oneOf(given.durability, durabilities, 'durability'),
    lockTimeoutMs:
      given.lockTimeoutMs === undefined
        ? 0
        : numberWithin(given.lockTimeoutMs, 'lockTimeoutMs', 0, Number.MAX_SAFE_INTEGER),
    memoryBudget: memoryBudget(given.memoryBudget === undefined ? '50%' : given.memoryBudget),
    memtableBytes: bytes(given.memtableBytes, 'memtableBytes', 64 * 1024, 64 * MiB),
    blockCacheBytes: bytes(given.blockCacheBytes, 'blockCacheBytes', 0, 256 * MiB),
    memoryMap: given.memoryMap === undefined ? false : flag(given.memoryMap, 'memoryMap'),
    compression:
      given.compression === undefined
        ? 'lz4'
        : oneOf(given.compression, compressions, 'compression'),
    walDir: given.walDir === undefined ? undefined : pathOf(given.walDir, 'walDir'),
    walBytesMax: bytes(given.walBytesMax, 'walBytesMax', MiB, 512 * MiB),
    compaction:
      given.compaction === undefined
        ? 'size-tiered'
        : oneOf(given.compaction, compactions, 'compaction'),
    compactionRateMax: bytes(given.compactionRateMax, 'compactionRateMax', 64 * 1024, 0),
    idempotencyWindowMs:
      given.idempotencyWindowMs === undefined
        ? dayMs
        : wholeNumber(given.idempotencyWindowMs, 'idempotencyWindowMs', 1, Number.MAX_SAFE_INTEGER),
    threads:
      given.threads === undefined
        ? availableParallelism()
        : wholeNumber(given.threads, 'threads', 1, 1024),
    retainVersions:
      given.retainVersions === undefined
        ? 1
        : wholeNumber(given.retainVersions, 'retainVersions', 1, Number.MAX_SAFE_INTEGER),
    retainMs:
      given.retainMs === undefined
        ? 0
        : wholeNumber(given.retainMs, 'retainMs', 0, Number.MAX_SAFE_INTEGER),
    host: hostname(),
    pid: process.pid,
    encryption:
      given.encryption === undefined ? undefined : keySource(given.encryption, 'encryption'),
    onWarning: callback(given.onWarning, 'onWarning') ?? emitWarning,
    slowQueryMs:
      given.slowQueryMs === undefined
        ? undefined
        : numberWithin(given.slowQueryMs, 'slowQueryMs', 0, Number.MAX_SAFE_INTEGER),
    onSlowQuery: callback(given.onSlowQuery, 'onSlowQuery') ?? warnSlow,
    signal: checkSignal(given.signal),
  })
}

/** An absolute path from a path or a `file:` URL. */
export function directoryPath(value: unknown, path: string): string {
  if (value instanceof URL) {
    if (value.protocol !== 'file:') {
      throw wrong('only file: URLs name a directory', 'file:', value.protocol, path)
    }
    return pathOf(fileURLToPath(value), path)
  }
  if (typeof value === 'string' && /^[a-z][a-z\d+.-]*:\/\//i.test(value)) {
    throw wrong('a URL is given as a URL object', 'path or new URL(...)', value, path)
  }
  if (types.isProxy(value)) throw wrong(`${path} must be a path`, 'string', value, path)
  return pathOf(value, path)
}

/** An absolute path from what a user calls one. */
export function pathOf(value: unknown, path: string): string {
  return resolve(checkPath(value, path))
}

/** A path as it is, if it can be one. */
export function checkPath(value: unknown, path: string): string {
  if (typeof value !== 'string') throw wrong(`${path} must be a path`, 'string', value, path)
  if (value === '') throw wrong(`${path} is empty`, 'path', value, path)
  if (value.includes('\0')) throw wrong(`${path} has a NUL`, 'path', value, path)
  if (!isWellFormed(value)) throw wrong(`${path} has half a character`, 'path', value, path)
  return value
}

function refuseLater(given: Partial<OpenOptions>): void {
  for (const [name, only] of Object.entries(later)) {
    const value: unknown = given[name as keyof typeof later]
    if (value === undefined || value === only) continue
    throw notYet(name, value)
  }
}

function memoryBudget(value: unknown): number {
  if (typeof value === 'number') return bytes(value, 'memoryBudget', MiB, MiB)
  const percent = typeof value === 'string' ? /^(\d+(?:\.\d+)?)%$/.exec(value)?.[1] : undefined
  const share = percent === undefined ? Number.NaN : Number(percent) / 100
  if (!(share > 0 && share <= 1)) {
    throw wrong(
      'memoryBudget is bytes or a share',
      "number or such as '25%'",
      value,
      'memoryBudget',
    )
  }
  return Math.max(MiB, Math.floor(machineMemory() * share))
}

/** Bytes this process may use: the machine's, or its control group's when that is less. */
function machineMemory(): number {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem()
}

function bytes(value: unknown, path: string, min: number, byDefault: number): number {
  if (value === undefined) return byDefault
  return wholeNumber(value, path, min, Number.MAX_SAFE_INTEGER)
}

function warnSlow({ collection, elapsedMs, plan }: SlowQuery): void {
  const stages = plan?.stages.map(({ source, path, rows }) => `${source}: ${path}, ${rows} rows`)
  process.emitWarning(
    `a search of ${collection} took ${elapsedMs.toFixed(1)} ms${stages ? ` (${stages.join('; ')})` : ''}`,
    'CairnWarning',
    'WARN_SLOW_QUERY',
  )
}

function emitWarning({ code, message }: CairnWarning): void {
  process.emitWarning(message, 'CairnWarning', code)
}
