//! Figures. Counts and sizes stay far below 2^53, so numbers hold them exactly.

use cairn_engine::{CollectionStats, DatabaseStats, SegmentStats};
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;

/// Figures of a database.
#[napi(object)]
pub struct BindingDatabaseStats {
    /// Version of the newest write.
    pub version: BigInt,
    /// Why the last version that should have come or gone by itself did not.
    pub last_version_error: Option<String>,
    /// Figures of each collection.
    pub collections: Vec<BindingNamedStats>,
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
    /// Bytes of graphs in memory.
    pub graph_bytes: f64,
    /// Why the last flush or merge failed.
    pub last_background_error: Option<String>,
    /// Whether writes are refused until reopened.
    pub poisoned: bool,
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
    /// `flat` or `hnsw`.
    pub index: String,
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
        }
    }
}

impl From<&CollectionStats> for BindingCollectionStats {
    fn from(stats: &CollectionStats) -> Self {
        Self {
            count: stats.count as f64,
            version: BigInt::from(stats.version),
            memtable_rows: stats.memtable_rows as f64,
            memtable_bytes: stats.memtable_bytes as f64,
            memtable_bytes_max: stats.memtable_bytes_max as f64,
            frozen_memtables: stats.frozen_memtables as f64,
            wal_bytes: stats.wal_bytes as f64,
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
            graph_bytes: stats.graph_bytes as f64,
            last_background_error: stats.last_background_error.clone(),
            poisoned: stats.poisoned,
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
        }
    }
}
