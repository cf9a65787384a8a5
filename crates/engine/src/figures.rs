//! Numbers about a database, each equal to an independent count.

use std::time::Duration;

use cairn_env::sync::atomic::Ordering;

use crate::block_cache::BlockCacheStats;
use crate::collection::{BackgroundError, CollectionStats};
use crate::database::Database;
use crate::doctor::headroom;
use crate::error::Result;

/// Numbers about a database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseStats {
    /// The last version of any collection.
    pub version: u64,
    /// Process that holds the directory: this one.
    pub pid: u32,
    /// Machine that holds the directory.
    pub host: String,
    /// When it took the directory, in milliseconds since 1970 UTC; 0 where nobody knows.
    pub since_unix_ms: u64,
    /// Recorded versions.
    pub recorded_versions: u64,
    /// Bytes of segments, deletions and logs.
    pub stored_bytes: u64,
    /// Bytes that the disk of the directory has free, where it can tell.
    pub free_bytes: Option<u64>,
    /// Bytes that should be free: twice what is stored, so that the disk has three times the data.
    pub headroom_bytes: u64,
    /// Blocks of stored fields that are kept in memory.
    pub block_cache: BlockCacheStats,
    /// The longest sync of a log since the database was opened, one that still runs included.
    pub longest_sync: Duration,
    /// Why the last version that should have been made by itself was not.
    pub last_version_error: Option<String>,
    /// By name. One that could not be opened has nothing but its error, as the last one of the
    /// background.
    pub collections: Vec<(String, CollectionStats)>,
}

impl Database {
    /// Counts everything.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn stats(&self) -> Result<DatabaseStats> {
        let named: Vec<_> = {
            let state = self.state()?;
            let entries = state.catalog.collections.iter();
            entries
                .map(|entry| (entry.name.clone(), state.find(&entry.name)))
                .collect()
        };
        let mut collections = Vec::new();
        for (name, opened) in named {
            let stats = match opened {
                Ok(collection) => match self.unless_dropped(&collection, collection.stats())? {
                    Some(stats) => stats,
                    None => continue,
                },
                Err(error) => CollectionStats {
                    last_background_error: Some(BackgroundError {
                        what: error.to_string(),
                        unix_ms: self.env.clock.unix_ms(),
                    }),
                    ..CollectionStats::default()
                },
            };
            collections.push((name, stats));
        }
        collections.sort_by(|a, b| a.0.cmp(&b.0));
        let stored =
            |stats: &CollectionStats| stats.live_bytes + stats.dead_bytes + stats.wal_bytes;
        let stored_bytes = collections.iter().map(|(_, stats)| stored(stats)).sum();
        let holder = cairn_storage::holder_of(&self.env, &self.dir);
        Ok(DatabaseStats {
            version: self.versions.load(Ordering::Relaxed),
            pid: holder.pid,
            host: holder.host,
            since_unix_ms: holder.since_unix_ms,
            recorded_versions: self.versions()?.len() as u64,
            stored_bytes,
            free_bytes: self.env.disk.free_bytes(&self.dir).ok(),
            headroom_bytes: headroom(stored_bytes),
            block_cache: self.blocks.stats(),
            longest_sync: self.sync_times.longest(&*self.env.clock),
            last_version_error: self.version_error.lock().clone(),
            collections,
        })
    }

    /// The longest sync of a log that has ended since the last call or still runs; zero when there
    /// was none. Waits for nothing, so a disk that hangs is told while it does.
    #[must_use]
    pub fn take_longest_sync(&self) -> Duration {
        self.sync_times.take_recent(&*self.env.clock)
    }
}
