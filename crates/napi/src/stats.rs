//! Figures. Counts and sizes stay far below 2^53, so numbers hold them exactly.

use std::time::Duration;

use cairn_engine::{
    BackgroundError, BlockCacheStats, CollectionStats, DatabaseStats, Point, SegmentStats,
};
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;

/// Figures of a database.
#[napi(object)]
pub struct BindingDatabaseStats {
    /// Version of the newest write.
    pub version: BigInt,
    /// Why the last version that should have come or gone by itself did not.
    pub last_version_error: Option<String>,
    /// Process that writes the directory; 0 where nobody knows.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// When it took the directory, in ms since 1970 UTC; 0 where nobody knows.
    pub since: f64,
    /// Recorded versions.
    pub recorded_versions: f64,
    /// Bytes of segments, deletions and logs.
    pub stored_bytes: f64,
    /// Bytes that the disk has free.
    pub free_bytes: Option<f64>,
    /// Bytes that should be free.
    pub headroom_bytes: f64,
    /// Stored fields in memory.
    pub block_cache: BindingBlockCacheStats,
    /// The longest sync of a log, in milliseconds.
    pub longest_sync_ms: f64,
    /// Figures of each collection.
    pub collections: Vec<BindingNamedStats>,
}

/// Figures of the cache of stored fields.
#[napi(object)]
pub struct BindingBlockCacheStats {
    /// Blocks that were found.
    pub hits: f64,
    /// Blocks that were read.
    pub misses: f64,
    /// Bytes that it takes.
    pub bytes: f64,
    /// Bytes that it takes at most.
    pub bytes_max: f64,
}

/// Figures of one of a database's collections.
#[napi(object)]
pub struct BindingNamedStats {
    /// Its name.
    pub name: String,
    /// Its figures.
    pub stats: BindingCollectionStats,
}

/// Figures of a collection.
#[napi(object)]
pub struct BindingCollectionStats {
    /// Live records.
    pub count: f64,
    /// Version of the newest write.
    pub version: BigInt,
    /// Rows in all memtables.
    pub memtable_rows: f64,
    /// Bytes in all memtables.
    pub memtable_bytes: f64,
    /// Bytes at which it is flushed.
    pub memtable_bytes_max: f64,
    /// Memtables being flushed.
    pub frozen_memtables: f64,
    /// Bytes of log.
    pub wal_bytes: f64,
    /// Log files.
    pub wal_files: f64,
    /// Version up to which the log is durable.
    pub wal_synced_version: BigInt,
    /// Syncs that made writes in the log durable, since it was opened.
    pub wal_syncs: f64,
    /// Its segments.
    pub segments: Vec<BindingSegmentStats>,
    /// Bytes of live records on disk.
    pub live_bytes: f64,
    /// Bytes of records that are gone.
    pub dead_bytes: f64,
    /// Bytes of the key index.
    pub key_index_bytes: f64,
    /// Bytes of vectors in memory.
    pub vector_bytes: f64,
    /// Bytes of vectors that are mapped.
    pub mapped_bytes: f64,
    /// Bytes of graphs in memory.
    pub graph_bytes: f64,
    /// Bytes of codes in memory.
    pub code_bytes: f64,
    /// Bytes of the words of texts in memory.
    pub text_bytes: f64,
    /// Bytes of indexes of fields in memory.
    pub field_index_bytes: Vec<BindingFieldBytes>,
    /// Why the last flush or merge failed.
    pub last_background_error: Option<String>,
    /// When that was, in ms since 1970 UTC.
    pub last_background_error_at: Option<f64>,
    /// Whether writes are refused until reopened.
    pub poisoned: bool,
}

/// What a field takes.
#[napi(object)]
pub struct BindingFieldBytes {
    /// Its name.
    pub field: String,
    /// Bytes.
    pub bytes: f64,
}

/// Figures of a segment.
#[napi(object)]
pub struct BindingSegmentStats {
    /// Its id.
    pub id: String,
    /// Rows, dead ones included.
    pub rows: f64,
    /// Live rows.
    pub live: f64,
    /// Bytes of its file.
    pub bytes_disk: f64,
    /// Bytes it takes in memory.
    pub bytes_memory: f64,
    /// `flat`, `hnsw` or `qg`.
    pub index: String,
    /// Lengths of lists, shortest first, and the recall@10 that each reached.
    pub calibration: Vec<BindingPoint>,
    /// Its tier, from 0.
    pub level: u32,
    /// `good`, `many-dead` or `no-graph`.
    pub health: String,
    /// Lowest version of its rows.
    pub version_min: BigInt,
    /// Highest version of its rows.
    pub version_max: BigInt,
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl From<&DatabaseStats> for BindingDatabaseStats {
    fn from(stats: &DatabaseStats) -> Self {
        let collections = stats
            .collections
            .iter()
            .map(|(name, stats)| BindingNamedStats {
                name: name.clone(),
                stats: BindingCollectionStats::from(stats),
            });
        Self {
            version: BigInt::from(stats.version),
            last_version_error: stats.last_version_error.clone(),
            collections: collections.collect(),
            pid: stats.pid,
            host: stats.host.clone(),
            since: stats.since_unix_ms as f64,
            recorded_versions: stats.recorded_versions as f64,
            stored_bytes: stats.stored_bytes as f64,
            free_bytes: stats.free_bytes.map(|free| free as f64),
            headroom_bytes: stats.headroom_bytes as f64,
            block_cache: BindingBlockCacheStats::from(stats.block_cache),
            longest_sync_ms: milliseconds(stats.longest_sync),
        }
    }
}

impl From<BlockCacheStats> for BindingBlockCacheStats {
    fn from(stats: BlockCacheStats) -> Self {
        Self {
            hits: stats.hits as f64,
            misses: stats.misses as f64,
            bytes: stats.bytes as f64,
            bytes_max: stats.bytes_max as f64,
        }
    }
}

impl From<&CollectionStats> for BindingCollectionStats {
    fn from(stats: &CollectionStats) -> Self {
        let error: Option<&BackgroundError> = stats.last_background_error.as_ref();
        Self {
            count: stats.count as f64,
            version: BigInt::from(stats.version),
            memtable_rows: stats.memtable_rows as f64,
            memtable_bytes: stats.memtable_bytes as f64,
            memtable_bytes_max: stats.memtable_bytes_max as f64,
            frozen_memtables: stats.frozen_memtables as f64,
            wal_bytes: stats.wal_bytes as f64,
            wal_files: stats.wal_files as f64,
            wal_synced_version: BigInt::from(stats.wal_synced_version),
            wal_syncs: stats.wal_syncs as f64,
            segments: stats
                .segments
                .iter()
                .map(BindingSegmentStats::from)
                .collect(),
            live_bytes: stats.live_bytes as f64,
            dead_bytes: stats.dead_bytes as f64,
            key_index_bytes: stats.key_index_bytes as f64,
            vector_bytes: stats.vector_bytes as f64,
            mapped_bytes: stats.mapped_bytes as f64,
            graph_bytes: stats.graph_bytes as f64,
            code_bytes: stats.code_bytes as f64,
            text_bytes: stats.text_bytes as f64,
            field_index_bytes: stats
                .field_index_bytes
                .iter()
                .map(|(field, bytes)| BindingFieldBytes {
                    field: field.clone(),
                    bytes: *bytes as f64,
                })
                .collect(),
            last_background_error: error.map(|error| error.what.clone()),
            last_background_error_at: error.map(|error| error.unix_ms as f64),
            poisoned: stats.poisoned,
        }
    }
}

/// What a list of candidates was measured to find.
#[napi(object)]
pub struct BindingPoint {
    /// Its length.
    pub ef: u32,
    /// In 0 ... 1.
    pub recall: f64,
}

impl From<&Point> for BindingPoint {
    fn from(point: &Point) -> Self {
        Self {
            ef: point.ef,
            recall: f64::from(point.recall),
        }
    }
}

impl From<&SegmentStats> for BindingSegmentStats {
    fn from(stats: &SegmentStats) -> Self {
        Self {
            id: stats.id.clone(),
            rows: stats.rows as f64,
            live: stats.live as f64,
            bytes_disk: stats.bytes_disk as f64,
            bytes_memory: stats.bytes_memory as f64,
            index: stats.index.to_owned(),
            calibration: stats.calibration.iter().map(BindingPoint::from).collect(),
            level: stats.level,
            health: stats.health.as_str().to_owned(),
            version_min: BigInt::from(stats.version_min),
            version_max: BigInt::from(stats.version_max),
        }
    }
}
