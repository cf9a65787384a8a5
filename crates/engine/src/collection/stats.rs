//! Numbers about a collection, each equal to an independent count.

use std::sync::Arc;

use cairn_storage::Wal;

use crate::error::Result;
use crate::segment::Memory;

use super::Collection;

/// What a collection holds and costs.
#[derive(Clone, Debug, Default)]
pub struct CollectionStats {
    /// Live records.
    pub count: u64,
    /// The last version.
    pub version: u64,
    /// Rows of the memtables, dead ones included.
    pub memtable_rows: u64,
    /// Bytes of the memtables.
    pub memtable_bytes: u64,
    /// Bytes at which a memtable is flushed.
    pub memtable_bytes_max: u64,
    /// Memtables that wait to be flushed.
    pub frozen_memtables: u64,
    /// Bytes of log files.
    pub wal_bytes: u64,
    /// Oldest first.
    pub segments: Vec<SegmentStats>,
    /// Bytes on disk of live rows, by their share of each segment.
    pub live_bytes: u64,
    /// Bytes on disk of deleted rows.
    pub dead_bytes: u64,
    /// Memory: vectors of segments.
    pub vector_bytes: u64,
    /// Memory: graphs.
    pub graph_bytes: u64,
    /// Memory: keys.
    pub key_bytes: u64,
    /// Memory: from key to row.
    pub key_index_bytes: u64,
    /// The last error of flush or compaction, if any.
    pub last_background_error: Option<String>,
    /// Whether writes are refused until the database is reopened.
    pub poisoned: bool,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentStats {
    /// Its name.
    pub id: String,
    /// Rows, dead ones included.
    pub rows: u64,
    /// Live rows.
    pub live: u64,
    /// Bytes on disk, deletion file included.
    pub bytes_disk: u64,
    /// Bytes in memory.
    pub bytes_memory: u64,
    /// `hnsw` when a graph stands over the first vector field, else `flat`.
    pub index: &'static str,
}

impl Collection {
    /// Counts everything.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn stats(self: &Arc<Self>) -> Result<CollectionStats> {
        self.check_open()?;
        let deletion_bytes = |id| {
            let manifest = self.manifest.lock();
            let entry = manifest.segments.iter().find(|entry| entry.id == id);
            entry
                .and_then(|entry| entry.deletions)
                .map(|d| d.file.bytes)
        };
        let (wal_bytes, poisoned) = {
            let core = self.core.lock();
            let wal = core.wal.as_ref();
            let poisoned = core.poisoned || wal.is_some_and(Wal::is_poisoned);
            (wal.map_or(0, Wal::bytes), poisoned)
        };
        let view = self.view.load_full();
        let tables = || view.memtables.iter().map(|memtable| &memtable.table);
        let mut stats = CollectionStats {
            count: view.count,
            version: view.lsn,
            memtable_rows: tables().map(|table| table.rows() as u64).sum(),
            memtable_bytes: tables().map(|table| table.bytes() as u64).sum(),
            memtable_bytes_max: self.options.memtable_bytes_effective() as u64,
            frozen_memtables: view.frozen() as u64,
            wal_bytes,
            last_background_error: self.background_error.lock().clone(),
            poisoned,
            ..CollectionStats::default()
        };
        let mut memory = Memory::default();
        for segment in view.segments.iter() {
            let rows = segment.rows() as u64;
            let live = rows - segment.tombstones.count_at(view.lsn) as u64;
            let used = segment.memory();
            let bytes_disk = segment.entry.file.bytes + deletion_bytes(segment.id).unwrap_or(0);
            let live_bytes = bytes_disk * live / rows.max(1);
            stats.live_bytes += live_bytes;
            stats.dead_bytes += bytes_disk - live_bytes;
            stats.segments.push(SegmentStats {
                id: segment.id.to_string(),
                rows,
                live,
                bytes_disk,
                bytes_memory: used.total() as u64,
                index: if segment.has_graph(0) { "hnsw" } else { "flat" },
            });
            memory.vectors += used.vectors;
            memory.graphs += used.graphs;
            memory.keys += used.keys;
            memory.key_index += used.key_index;
        }
        stats.vector_bytes = memory.vectors as u64;
        stats.graph_bytes = memory.graphs as u64;
        stats.key_bytes = memory.keys as u64;
        stats.key_index_bytes = memory.key_index as u64;
        Ok(stats)
    }
}
