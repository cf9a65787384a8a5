//! Settings of an open database.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_storage::KeyProvider;

/// When a write is acknowledged, and so what it survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In the memtable: survives nothing until the next flush or commit.
    Memory,
    /// Handed to the kernel: survives the death of the process.
    Os,
    /// Synced, in groups: survives power loss as well.
    #[default]
    Sync,
}

/// When segments are merged without being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compaction {
    /// Four segments of a size become one. Each row is written about once for every fourfold growth.
    #[default]
    SizeTiered,
    /// Two segments of a size become one: half as many to search, and about twice the writing.
    Leveled,
    /// Never: dead rows stay, and no graph is built, until `compact` is called.
    None,
}

/// How the fields of records are written to segments. Any segment can be read with any setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Compressed with LZ4, in blocks of about 16 KiB, where that makes them smaller by more than an
    /// eighth.
    #[default]
    Lz4,
    /// As they are.
    None,
}

/// Settings of [`crate::Database::open`]. They change how records are stored, never which.
#[derive(Clone, Debug)]
pub struct Options {
    /// Default of every write.
    pub durability: Durability,
    /// How long to wait for another writer's lock.
    pub lock_timeout: Duration,
    /// Bytes that the memtables of all collections and the caches may take together.
    pub memory_budget: usize,
    /// Bytes of blocks of stored fields that are kept for later reads, at most; 0: none. A quarter
    /// of `memory_budget` when that is less.
    pub block_cache_bytes: usize,
    /// Whether vectors of segments stay in their files, mapped, and are not copied to memory. What they
    /// are compared with is then the system's: pages come when they are touched and go when memory is
    /// short. Without effect where a database is encrypted, and on other systems than Unix.
    pub memory_map: bool,
    /// How stored fields are written.
    pub compression: Compression,
    /// A memtable of this many bytes is flushed. Writers are slowed, never refused, above it.
    pub memtable_bytes: usize,
    /// Holds the key of an encrypted database. A new one is encrypted when this is given; one that
    /// is there needs it, or must not have it.
    pub encryption: Option<Arc<dyn KeyProvider>>,
    /// Where write-ahead logs go; beside the data when `None`. Recorded with the database.
    pub wal_dir: Option<PathBuf>,
    /// Bytes of log per collection at which a flush has long begun.
    pub wal_bytes_max: u64,
    /// When segments are merged.
    pub compaction: Compaction,
    /// Bytes a second that merging in the background writes at most. The merges that
    /// [`crate::Database::compact`] does are not slowed.
    pub compaction_rate_max: Option<NonZeroU64>,
    /// Rows of the largest segment that merging in the background makes. [`crate::Collection::compact`]
    /// makes one segment, however large.
    pub segment_rows_max: usize,
    /// Room on the disk of the data that writes leave, beside what flushes of all that is in memory
    /// need: for manifests, and for the rest of the machine. 0: writes take all there is.
    pub disk_reserve_bytes: u64,
    /// How long an idempotency key is remembered after its write.
    pub idempotency_window: Duration,
    /// Versions without a name that are kept, at least one. With more than one, or with `retain`
    /// above zero, versions are made by themselves: at every commit of the database that has
    /// something new, and once a minute while there are writes.
    pub retain_versions: usize,
    /// How long versions without a name are kept at least.
    pub retain: Duration,
    /// Name of this machine, for the lock's holder.
    pub host: String,
    /// Process id, for the lock's holder.
    pub pid: u32,
}

/// A memtable beyond this is flushed whatever the options say: 1 GiB, so that with one more group
/// of batches the offsets of its columns stay within 32 bits.
const MEMTABLE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Enough for the manifests of a few collections at the same time: those of usual ones have some
/// 10 KiB, and where segments or dimensions are many, what they need comes on top.
const DISK_RESERVE_BYTES: u64 = 1024 * 1024; // 1 MiB

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            lock_timeout: Duration::ZERO,
            memory_budget: 1024 * 1024 * 1024, // 1 GiB; the public layer asks the machine
            block_cache_bytes: 256 * 1024 * 1024,
            memory_map: false,
            compression: Compression::Lz4,
            memtable_bytes: 64 * 1024 * 1024,
            encryption: None,
            wal_dir: None,
            wal_bytes_max: 512 * 1024 * 1024,
            compaction: Compaction::SizeTiered,
            compaction_rate_max: None,
            segment_rows_max: 64 * 1024 * 1024,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            idempotency_window: Duration::from_secs(24 * 60 * 60),
            retain_versions: 1,
            retain: Duration::ZERO,
            host: String::from("unknown"),
            pid: std::process::id(),
        }
    }
}

impl Options {
    /// The flush threshold that fits the option, the memory budget and the log's cap: one memtable
    /// fills while two others are written out, and all stay below the budget.
    #[must_use]
    pub(crate) fn memtable_bytes_effective(&self) -> usize {
        self.memtable_bytes
            .min(self.memory_budget / 4)
            .min(usize::try_from(self.wal_bytes_max / 4).unwrap_or(usize::MAX))
            .clamp(64 * 1024, MEMTABLE_BYTES_MAX)
    }

    /// What the memtables of all collections may have together: the budget without the cache.
    pub(crate) fn memtables_bytes_max(&self) -> u64 {
        (self.memory_budget - self.block_cache_bytes_effective()) as u64
    }

    /// The limit of the cache that fits the option and the memory budget: memtables may take the
    /// other three quarters.
    pub(crate) fn block_cache_bytes_effective(&self) -> usize {
        self.block_cache_bytes.min(self.memory_budget / 4)
    }
}
