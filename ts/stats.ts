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
  /** Syncs that made writes in the log durable, since the database was opened. */
  readonly walSyncs: number
  readonly segments: readonly SegmentStats[]
  /** Of segment files: bytes of live records, and of records that are gone. */
  readonly liveBytes: number
  readonly deadBytes: number
  readonly keyIndexBytes: number
  readonly vectorBytes: number
  readonly graphBytes: number
  /** Why the last flush, merge or refresh failed, if it did; of a damaged collection, why it could not be opened. */
  readonly lastBackgroundError: string | null
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
  readonly index: 'flat' | 'hnsw'
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
  /** Figures by collection. */
  readonly collections: Readonly<Record<string, CollectionStats>>
}

/** Public form of a collection's figures. */
export function fromNativeStats(stats: BindingCollectionStats): CollectionStats {
  return {
    ...stats,
    segments: stats.segments.map(segmentStats),
    lastBackgroundError: stats.lastBackgroundError ?? null,
  }
}

/** Public form of a database's figures. */
export function fromNativeDatabaseStats(
  { version, lastVersionError, collections }: BindingDatabaseStats,
  lastRefreshError: string | null,
  schedules: readonly ScheduleStats[] = [],
): DatabaseStats {
  return {
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
}: BindingSegmentStats): SegmentStats {
  return {
    id,
    rows,
    live,
    diskBytes: bytesDisk,
    memoryBytes: bytesMemory,
    index: index === 'hnsw' ? 'hnsw' : 'flat',
  }
}
