//! What the cache of blocks takes of memory, counted by the allocator and not by itself, stays within its
//! limit, give or take 5 %.

// The only test of this file: the allocator counts for the whole process.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_engine::{
    Compaction, IndexKind, Job, KeyType, MetricName, Options, Select, SelectFields,
};
use cairn_testkit::Rng;
use common::{Home, Row, keys, number, put, schema, vector_field};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: u64 = 40_000;

#[test]
fn memory_stays_within_five_percent_of_the_limit() {
    for limit in [1 << 20, 4 << 20] {
        let home = Home::memory();
        let database = home.open(Options {
            block_cache_bytes: limit,
            compaction: Compaction::None,
            memtable_bytes: 1 << 20,
            ..Options::default()
        });
        let field = vector_field("vector", 2, MetricName::L2, IndexKind::Flat);
        let shape = schema(KeyType::U64, vec![field]);
        let collection = database.create_collection("c", shape).unwrap();
        let row = |n: u64| {
            let text = format!("what is said about record {n}, ").repeat(8);
            Row::new(number(n), &[n as f32, 1.0]).with("text", text.as_str())
        };
        for first in (0..ROWS).step_by(2_000) {
            put(
                &collection,
                &(first..first + 2_000).map(row).collect::<Vec<_>>(),
            );
        }
        collection.compact(&Job::default()).unwrap();
        home.idle();

        let snapshot = collection.snapshot().unwrap();
        let select = Select {
            fields: SelectFields::All,
            vectors: false,
        };
        let mut rng = Rng::new(1);
        let before = LIVE.load(Ordering::Relaxed);
        let mut most = 0;
        for _ in 0..6_000 {
            // Some are asked for again and again.
            let key = match rng.chance(0.5) {
                true => rng.below(500),
                false => rng.below(ROWS),
            };
            let wanted = keys(KeyType::U64, &[number(key)]);
            let found = snapshot.get(&wanted, &select).unwrap();
            assert!(found[0].is_some());
            drop((found, wanted));
            most = most.max(LIVE.load(Ordering::Relaxed).saturating_sub(before));
            let stats = database.stats().unwrap().block_cache;
            assert!(stats.bytes <= limit as u64, "{stats:?}");
        }
        let stats = database.stats().unwrap().block_cache;
        println!(
            "limit {limit}: {most} bytes at most, {:.0} % hits",
            100.0 * stats.hits as f64 / (stats.hits + stats.misses) as f64
        );
        assert!(most > limit * 9 / 10, "{most} of {limit}: it is used");
        assert!(most <= limit + limit / 20, "{most} of {limit}");
        assert!(stats.hits > stats.misses / 2, "{stats:?}");
    }
}
