//! Decompressed blocks of stored fields, kept for whoever asks for them again.
//!
//! The algorithm is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP
//! 2023). A block enters a small queue, a tenth of the room; most blocks are never asked for again
//! and leave at its end. One that was asked for twice meanwhile moves on to the main queue, and so
//! does one that comes back soon after it left (its id is remembered as a ghost). In the main queue
//! a block goes round once more for each time it was asked for, three times at most. A hit changes
//! one small number and moves nothing; LRU would write to a list at each.
//!
//! Readers of whole segments (scans, merges) look and put nothing in, so they push nothing out.
//! Keys are numbers that each opened segment file gets from here, never again given to another one:
//! a block cannot be taken for that of a file that went and came back under the same name.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_env::sync::Mutex;
use cairn_env::sync::atomic::{AtomicU64, Ordering};
use cairn_env::{Bug, planted};
use hashbrown::{HashMap, HashSet};

use crate::keys::KeyState;

/// Parts with a lock each, so that readers seldom meet. Of small caches there is one.
const SHARDS_MAX: usize = 16;

/// A part has room for some of the largest blocks, which have 1 MiB.
const SHARD_BYTES_MIN: usize = 8 * 1024 * 1024;

/// What a block costs beside its bytes: its place in the map (90, half of the slots being free), in
/// a queue (32), as a ghost (70), and the counts of its references (16).
const ENTRY_BYTES: usize = 208;

/// Times a block was asked for that are remembered.
const ASKED_MAX: u8 = 3;

/// A block: the opened file, and which of its blocks.
type BlockId = (u64, u32);

/// What a cache of blocks holds, and how often it helped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCacheStats {
    /// Blocks that were asked for and found, since the database was opened.
    pub hits: u64,
    /// Blocks that had to be read.
    pub misses: u64,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Bytes that it takes at most.
    pub bytes_max: u64,
}

/// The cache of a database.
pub(crate) struct BlockCache {
    shards: Vec<Mutex<Shard>>,
    limit: usize,
    opened: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl BlockCache {
    /// A cache that never takes more than `limit` bytes; none at all with 0.
    pub fn new(limit: usize) -> Arc<Self> {
        let shards = (limit / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shard = |_| Mutex::new(Shard::new(limit / shards));
        Arc::new(Self {
            shards: (0..shards).map(shard).collect(),
            limit,
            opened: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// A number for the blocks of a file that was opened.
    pub fn number(&self) -> u64 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }

    /// The block, for somebody who may want it again.
    pub fn get(&self, file: u64, block: u32) -> Option<Arc<[u8]>> {
        let id = block_id(file, block);
        let found = self.shard(id).lock().get(id);
        let count = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// The block, for somebody who passes by.
    pub fn peek(&self, file: u64, block: u32) -> Option<Arc<[u8]>> {
        let id = block_id(file, block);
        let shard = self.shard(id).lock();
        shard.blocks.get(&id).map(|entry| Arc::clone(&entry.bytes))
    }

    /// Keeps a block that [`get`](Self::get) did not find.
    pub fn insert(&self, file: u64, block: u32, bytes: &Arc<[u8]>) {
        let id = block_id(file, block);
        self.shard(id).lock().insert(id, bytes);
    }

    /// Lets go of all blocks of a file that nobody has open any more.
    pub fn forget(&self, file: u64) {
        if planted(Bug::CacheKeepsClosedSegments) {
            return;
        }
        for shard in &self.shards {
            shard.lock().forget(file);
        }
    }

    pub fn stats(&self) -> BlockCacheStats {
        let bytes = |shard: &Mutex<Shard>| shard.lock().bytes as u64;
        BlockCacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.shards.iter().map(bytes).sum(),
            bytes_max: self.limit as u64,
        }
    }

    fn shard(&self, (file, block): BlockId) -> &Mutex<Shard> {
        // Neighbours go to different parts: a search reads rows from all over.
        let mixed = file.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let at = (mixed + u64::from(block)) % self.shards.len() as u64;
        &self.shards[usize::try_from(at).expect("there are few shards")]
    }
}

fn block_id(file: u64, block: u32) -> BlockId {
    if planted(Bug::CacheMixesSegments) {
        return (0, block);
    }
    (file, block)
}

struct Entry {
    bytes: Arc<[u8]>,
    /// Times it was asked for since it came, or came round.
    asked: u8,
    is_main: bool,
}

impl Entry {
    fn cost(&self) -> usize {
        cost(&self.bytes)
    }
}

fn cost(bytes: &[u8]) -> usize {
    bytes.len() + ENTRY_BYTES
}

struct Shard {
    limit: usize,
    /// Of all blocks, and of those in the small queue.
    bytes: usize,
    small_bytes: usize,
    blocks: HashMap<BlockId, Entry, KeyState>,
    small: VecDeque<BlockId>,
    main: VecDeque<BlockId>,
    /// Blocks that left the small queue, oldest first; those that came back are in it still.
    ghosts: VecDeque<BlockId>,
    is_ghost: HashSet<BlockId, KeyState>,
}

impl Shard {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            small_bytes: 0,
            blocks: HashMap::default(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: VecDeque::new(),
            is_ghost: HashSet::default(),
        }
    }

    fn get(&mut self, id: BlockId) -> Option<Arc<[u8]>> {
        let entry = self.blocks.get_mut(&id)?;
        entry.asked = (entry.asked + 1).min(ASKED_MAX);
        Some(Arc::clone(&entry.bytes))
    }

    fn insert(&mut self, id: BlockId, bytes: &Arc<[u8]>) {
        let cost = cost(bytes);
        // Somebody else may have read it at the same time.
        if cost > self.limit || self.blocks.contains_key(&id) {
            return;
        }
        while self.bytes + cost > self.limit {
            self.make_room();
        }
        let is_main = self.is_ghost.remove(&id);
        if is_main {
            self.main.push_back(id);
        } else {
            self.small.push_back(id);
            self.small_bytes += cost;
        }
        self.bytes += cost;
        let entry = Entry {
            bytes: Arc::clone(bytes),
            asked: 0,
            is_main,
        };
        self.blocks.insert(id, entry);
    }

    /// Takes one step: a block goes, or moves on. Each block moves a few times at most.
    fn make_room(&mut self) {
        if self.small_bytes > self.limit / 10 || self.main.is_empty() {
            self.leave_small();
        } else {
            self.leave_main();
        }
        self.trim_ghosts();
    }

    fn leave_small(&mut self) {
        let Some(id) = self.small.pop_front() else {
            return;
        };
        let entry = self.blocks.get_mut(&id).expect("queues hold what is there");
        self.small_bytes -= entry.cost();
        if entry.asked > 1 {
            entry.asked = 0;
            entry.is_main = true;
            self.main.push_back(id);
            return;
        }
        self.remove(id);
        self.ghosts.push_back(id);
        self.is_ghost.insert(id);
    }

    fn leave_main(&mut self) {
        let Some(id) = self.main.pop_front() else {
            return;
        };
        let entry = self.blocks.get_mut(&id).expect("queues hold what is there");
        if entry.asked > 0 {
            entry.asked -= 1;
            self.main.push_back(id);
        } else {
            self.remove(id);
        }
    }

    /// As many ghosts as there are blocks.
    fn trim_ghosts(&mut self) {
        while self.ghosts.len() > self.blocks.len() {
            let oldest = self.ghosts.pop_front().expect("it is longer than nothing");
            self.is_ghost.remove(&oldest);
        }
    }

    fn remove(&mut self, id: BlockId) {
        let gone = self.blocks.remove(&id).expect("queues hold what is there");
        self.bytes -= gone.cost();
    }

    fn forget(&mut self, file: u64) {
        let stays = |id: &BlockId| id.0 != file;
        let (bytes, small_bytes) = (&mut self.bytes, &mut self.small_bytes);
        self.blocks.retain(|id, entry| {
            if !stays(id) {
                *bytes -= entry.cost();
                *small_bytes -= if entry.is_main { 0 } else { entry.cost() };
            }
            stays(id)
        });
        self.small.retain(stays);
        self.main.retain(stays);
        self.ghosts.retain(stays);
        self.is_ghost.retain(stays);
        self.trim_ghosts();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize) -> Arc<[u8]> {
        vec![7; bytes].into()
    }

    /// Bytes by their blocks, and whether queues and map agree.
    fn count(cache: &BlockCache) -> usize {
        let mut sum = 0;
        for shard in &cache.shards {
            let shard = shard.lock();
            let queued = shard.small.len() + shard.main.len();
            assert_eq!(queued, shard.blocks.len());
            let costs = |queue: &VecDeque<BlockId>| -> usize {
                queue.iter().map(|id| shard.blocks[id].cost()).sum()
            };
            assert_eq!(costs(&shard.small), shard.small_bytes);
            assert_eq!(costs(&shard.small) + costs(&shard.main), shard.bytes);
            assert!(shard.ghosts.len() <= shard.blocks.len());
            sum += shard.bytes;
        }
        sum
    }

    #[test]
    fn it_never_takes_more_than_its_limit() {
        for limit in [0, 1_000, 100_000, 40_000_000] {
            let cache = BlockCache::new(limit);
            let mut seed = 1_u64;
            for step in 0..4_000_u32 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (file, number) = (seed >> 60, (seed >> 40) as u32 % 3_000);
                let bytes = (seed >> 20) as usize % 30_000;
                if cache.get(file, number).is_none() {
                    cache.insert(file, number, &block(bytes));
                }
                if step % 500 == 499 {
                    cache.forget(file);
                    assert!(cache.peek(file, number).is_none());
                }
                assert!(count(&cache) <= limit, "{limit}");
            }
            let stats = cache.stats();
            assert_eq!(stats.bytes as usize, count(&cache));
            assert_eq!(stats.hits + stats.misses, 4_000);
            for file in 0..16 {
                cache.forget(file);
            }
            assert_eq!(cache.stats().bytes, 0);
        }
    }

    #[test]
    fn what_is_asked_for_often_outlives_what_is_read_once() {
        let cache = BlockCache::new(100 * 1_208);
        for _ in 0..3 {
            for hot in 0..50 {
                if cache.get(1, hot).is_none() {
                    cache.insert(1, hot, &block(1_000));
                }
            }
        }
        for cold in 0..10_000 {
            assert!(cache.get(2, cold).is_none());
            cache.insert(2, cold, &block(1_000));
        }
        let kept = (0..50).filter(|&hot| cache.peek(1, hot).is_some()).count();
        assert!(kept >= 45, "{kept} of 50");
    }
}
