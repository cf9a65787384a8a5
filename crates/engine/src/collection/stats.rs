//! Numbers about a collection, each equal to an independent count.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_env::{Bug, planted};
use cairn_index::Point;
use cairn_storage::Wal;

use crate::error::Result;
use crate::manifest::SegmentEntry;
use crate::segment::Memory;
use crate::ulid::Ulid;

use super::Collection;
use super::compaction::{has_many_dead, tier_of};

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
    /// Log files, the one that is written included.
    pub wal_files: u64,
    /// Version up to which the log is known durable.
    pub wal_synced_version: u64,
    /// Syncs that made writes in the log durable, since the collection was opened.
    pub wal_syncs: u64,
    /// Oldest first.
    pub segments: Vec<SegmentStats>,
    /// Bytes on disk of live rows, by their share of each segment.
    pub live_bytes: u64,
    /// Bytes on disk of deleted rows.
    pub dead_bytes: u64,
    /// Memory: vectors of segments.
    pub vector_bytes: u64,
    /// Vectors of segments that are mapped and not in memory of ours; see
    /// [`Options::memory_map`](crate::Options::memory_map).
    pub mapped_bytes: u64,
    /// Memory: graphs.
    pub graph_bytes: u64,
    /// Memory: codes in the place of vectors.
    pub code_bytes: u64,
    /// Memory: keys.
    pub key_bytes: u64,
    /// Memory: from key to row.
    pub key_index_bytes: u64,
    /// Memory: words of texts.
    pub text_bytes: u64,
    /// Memory: indexes of fields, by the name of the field. Part of what segments take besides the above.
    pub field_index_bytes: BTreeMap<String, u64>,
    /// The last error of flush or compaction, if any.
    pub last_background_error: Option<BackgroundError>,
    /// Whether writes are refused until the database is reopened.
    pub poisoned: bool,
}

/// What failed in the background, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackgroundError {
    /// The error.
    pub what: String,
    /// By the wall clock, in milliseconds since 1970 UTC.
    pub unix_ms: u64,
}

/// What a segment lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing.
    Good,
    /// More than 30 % of its rows are dead: it is about to be rewritten.
    ManyDead,
    /// It is large enough for a graph and has none: it is searched exactly until then.
    NoGraph,
}

impl Health {
    /// Its public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::ManyDead => "many-dead",
            Self::NoGraph => "no-graph",
        }
    }
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
    /// `hnsw` or `qg` when such a graph stands over the first vector field, else `flat`.
    pub index: &'static str,
    /// The recall@10 that its graph over the first vector field reached with lists of these lengths,
    /// measured when it was built: shortest first. Empty without one.
    pub calibration: Vec<Point>,
    /// Its tier, from 0: segments of one tier are within a factor of four, and merged together.
    pub level: u32,
    /// What it lacks.
    pub health: Health,
    /// Lowest version of its rows.
    pub version_min: u64,
    /// Highest version of its rows.
    pub version_max: u64,
}

impl Collection {
    /// Counts everything. Waits for a publication or a group of commits that runs.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn stats(self: &Arc<Self>) -> Result<CollectionStats> {
        self.check_open()?;
        let deletion_bytes = self.deletion_bytes();
        let (wal_bytes, wal_files, wal_synced_version, wal_syncs, poisoned) = {
            let core = self.core.lock();
            let count = |figure: fn(&Wal) -> u64| core.wal.as_ref().map_or(0, figure);
            (
                count(Wal::bytes),
                count(|wal| wal.files().len() as u64),
                count(Wal::synced_lsn),
                count(Wal::syncs),
                core.is_poisoned(),
            )
        };
        let view = self.view.load_full();
        let at = self.moment(view.lsn);
        let tables = || view.memtables.iter().map(|memtable| &memtable.table);
        let mut stats = CollectionStats {
            count: match self.stored().expires_at {
                Some(_) => view.count_seen(at),
                None => view.count,
            },
            version: view.lsn,
            memtable_rows: tables().map(|table| table.rows() as u64).sum(),
            memtable_bytes: tables().map(|table| table.bytes() as u64).sum(),
            memtable_bytes_max: self.options.memtable_bytes_effective() as u64,
            frozen_memtables: view.frozen() as u64,
            wal_bytes,
            wal_files,
            wal_synced_version,
            wal_syncs,
            last_background_error: self.background_error.lock().clone(),
            poisoned,
            ..CollectionStats::default()
        };
        let mut memory = Memory::default();
        for segment in view.segments.iter() {
            let rows = segment.rows() as u64;
            let live = rows - segment.count_gone(at) as u64;
            let used = segment.memory();
            let deletions = deletion_bytes.get(&segment.id);
            let bytes_disk = segment.entry.file.bytes + deletions.copied().unwrap_or(0);
            let live_bytes = live_share(bytes_disk, live, rows);
            stats.live_bytes += live_bytes;
            stats.dead_bytes += bytes_disk - live_bytes;
            stats.segments.push(SegmentStats {
                id: segment.id.to_string(),
                rows,
                live,
                bytes_disk,
                bytes_memory: used.total() as u64,
                index: segment.index_name(0),
                calibration: segment
                    .curve(0)
                    .map_or_else(Vec::new, |it| it.points().to_vec()),
                level: tier_of(segment),
                health: if has_many_dead(segment, segment.count_gone(at)) {
                    Health::ManyDead
                } else if self.lacks_graph(segment) {
                    Health::NoGraph
                } else {
                    Health::Good
                },
                version_min: segment.entry.lsn_min,
                version_max: segment.entry.lsn_max,
            });
            for (stored, bytes) in segment.index_memory() {
                let name = view.structure.names.shown(&stored).to_owned();
                *stats.field_index_bytes.entry(name).or_default() += bytes as u64;
            }
            memory.vectors += used.vectors;
            memory.mapped += used.mapped;
            memory.graphs += used.graphs;
            memory.codes += used.codes;
            memory.keys += used.keys;
            memory.key_index += used.key_index;
            memory.texts += used.texts;
        }
        stats.vector_bytes = memory.vectors as u64;
        stats.mapped_bytes = memory.mapped as u64;
        stats.graph_bytes = memory.graphs as u64;
        stats.code_bytes = memory.codes as u64;
        stats.key_bytes = memory.keys as u64;
        stats.key_index_bytes = memory.key_index as u64;
        stats.text_bytes = memory.texts as u64;
        Ok(stats)
    }

    /// Bytes of each segment's deletion file, where it has one.
    fn deletion_bytes(&self) -> BTreeMap<Ulid, u64> {
        let manifest = self.manifest.lock();
        let bytes = |entry: &SegmentEntry| Some((entry.id, entry.deletions?.file.bytes));
        manifest.segments.iter().filter_map(bytes).collect()
    }
}

/// Bytes of the live rows of a segment, by their share of its rows.
fn live_share(bytes: u64, live: u64, rows: u64) -> u64 {
    if planted(Bug::StatsCountDeadAsLive) {
        return bytes;
    }
    let share = u128::from(bytes) * u128::from(live) / u128::from(rows.max(1));
    u64::try_from(share).expect("at most all of them")
}
