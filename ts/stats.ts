// Figures, as the public types have them.
import type {
  BindingCollectionStats,
  BindingDatabaseStats,
  BindingSegmentStats,
} from './native/binding.js'
import type { ScheduleStats } from './schedule.js'

/** Figures of a collection. All sizes are bytes. */
export interface CollectionStats {
  /** Live records. */
  readonly count: number
  /** Version of the newest write. */
  readonly version: bigint
  /** Rows in all memtables, replaced ones included. */
  readonly memtableRows: number
  /** Of all memtables: the one that is filled, and those that wait for their flush. */
  readonly memtableBytes: number
  /** One memtable is flushed at this size. */
  readonly memtableBytesMax: number
  /** Memtables that wait for their flush, the one that is being flushed included. */
  readonly frozenMemtables: number
  readonly walBytes: number
  /** The one that is written included. */
  readonly walFiles: number
  /** Everything up to it is durable in the log or in segments that were flushed. */
  readonly walSyncedVersion: bigint
  /** Syncs that made writes in the log durable, since the database was opened. */
  readonly walSyncs: number
  readonly segments: readonly SegmentStats[]
  /** Of segment files: bytes of live records, and of records that are gone. */
  readonly liveBytes: number
  readonly deadBytes: number
  readonly keyIndexBytes: number
  readonly vectorBytes: number
  /**
   * Vectors that stay in their files, see `memoryMap`: not memory of this process, but pages of the system that it
   * takes back at will. 0 where nothing is mapped.
   */
  readonly mappedBytes: number
  readonly graphBytes: number
  /** Of segments: codes that searches compare in the place of vectors, of `quantize` or because they were asked often. */
  readonly codeBytes: number
  /** Of segments: words of texts, and which records have them. */
  readonly textBytes: number
  /** Of segments, by field: its index. */
  readonly fieldIndexBytes: Readonly<Record<string, number>>
  /** Why the last flush, merge or refresh failed, if it did; of a damaged collection, why it could not be opened. */
  readonly lastBackgroundError: string | null
  /** When that was. */
  readonly lastBackgroundErrorAt: Date | null
  /** A sync failed: reads go on, writes need a reopen. */
  readonly poisoned: boolean
}

/** Figures of a segment. */
export interface SegmentStats {
  readonly id: string
  readonly rows: number
  readonly live: number
  readonly diskBytes: number
  readonly memoryBytes: number
  /** The graph over the first vector field, or `'flat'` where there is none. */
  readonly index: 'flat' | 'hnsw' | 'qg' | 'ivf'
  /**
   * The recall@10 that the graph over the first vector field reaches with candidate lists of these lengths
   * (`efSearch`), shortest first; measured when it was built, on rows of its own. What `search({ recall })` goes by.
   * Empty without a graph.
   */
  readonly calibration: readonly { readonly ef: number; readonly recall: number }[]
  /** Share of rows that are deleted or replaced, 0 ... 1. */
  readonly tombstoneRatio: number
  /** Tier, from 0: segments of one tier are within a factor of four, and merged together. */
  readonly level: number
  /**
   * `many-dead`: more than 30 % of its rows are dead, and it is about to be rewritten. `no-graph`: it is large
   * enough for a graph and has none yet, so it is searched exactly.
   */
  readonly health: 'good' | 'many-dead' | 'no-graph'
  /** Versions of its rows. */
  readonly versionMin: bigint
  readonly versionMax: bigint
}

/** Figures of the cache of stored fields, of all collections. The hit ratio is `hits / (hits + misses)`. */
export interface BlockCacheStats {
  /** Reads of a record's fields that found their block in memory, since the database was opened. */
  readonly hits: number
  /** Reads that had to go to the file. Scans and merges count as neither. */
  readonly misses: number
  /** Bytes that the cache takes. */
  readonly bytes: number
  /** Bytes that it takes at most: `blockCacheBytes`, or a quarter of `memoryBudget`. */
  readonly bytesMax: number
}

/** Figures of a database. */
export interface DatabaseStats {
  /** Version of the newest write, or of the newest snapshot when that is above. */
  readonly version: bigint
  /** With `mode: 'ro'`: why the last look for a newer version failed, if it did. */
  readonly lastRefreshError: string | null
  /** Why the last version that should have come or gone by itself (`retainVersions`, `retainMs`) did not. */
  readonly lastVersionError: string | null
  /** Backups that are made by themselves. */
  readonly schedules: readonly ScheduleStats[]
  /** Who writes the directory; null where nobody does, or in memory. */
  readonly holder: { readonly pid: number; readonly host: string; readonly since: Date } | null
  /** Recorded versions. */
  readonly recordedVersions: number
  /** Bytes of segments, deletions and logs. */
  readonly storedBytes: number
  /** Bytes that the disk has free; null where it cannot tell. */
  readonly freeBytes: number | null
  /** Bytes that should be free: twice those stored, so that the disk has three times the data. */
  readonly headroomBytes: number
  /** Stored fields in memory; see `blockCacheBytes`. */
  readonly blockCache: BlockCacheStats
  /** The longest sync of a log since the database was opened, in milliseconds; one that still runs counts. */
  readonly longestSyncMs: number
  /** Figures by collection. */
  readonly collections: Readonly<Record<string, CollectionStats>>
}

/** Public form of a collection's figures. */
export function fromNativeStats(stats: BindingCollectionStats): CollectionStats {
  return {
    ...stats,
    segments: stats.segments.map(segmentStats),
    fieldIndexBytes: Object.fromEntries(
      stats.fieldIndexBytes.map(({ field, bytes }) => [field, bytes]),
    ),
    lastBackgroundError: stats.lastBackgroundError ?? null,
    lastBackgroundErrorAt:
      typeof stats.lastBackgroundErrorAt === 'number'
        ? new Date(stats.lastBackgroundErrorAt)
        : null,
  }
}

/** Public form of a database's figures. */
export function fromNativeDatabaseStats(
  native: BindingDatabaseStats,
  lastRefreshError: string | null,
  schedules: readonly ScheduleStats[] = [],
): DatabaseStats {
  const { version, lastVersionError, collections, pid, host, since } = native
  return {
    holder: since === 0 ? null : { pid, host, since: new Date(since) },
    recordedVersions: native.recordedVersions,
    storedBytes: native.storedBytes,
    freeBytes: native.freeBytes ?? null,
    headroomBytes: native.headroomBytes,
    blockCache: native.blockCache,
    longestSyncMs: native.longestSyncMs,
    schedules,
    version,
    lastRefreshError,
    lastVersionError: lastVersionError ?? null,
    collections: Object.fromEntries(
      collections.map(({ name, stats }) => [name, fromNativeStats(stats)]),
    ),
  }
}

function segmentStats({
  id,
  rows,
  live,
  bytesDisk,
  bytesMemory,
  index,
  calibration,
  level,
  health,
  versionMin,
  versionMax,
}: BindingSegmentStats): SegmentStats {
  return {
    id,
    rows,
    live,
    diskBytes: bytesDisk,
    memoryBytes: bytesMemory,
    index: index as SegmentStats['index'],
    calibration,
    tombstoneRatio: (rows - live) / Math.max(rows, 1),
    level,
    health: health as SegmentStats['health'],
    versionMin,
    versionMax,
  }
}
