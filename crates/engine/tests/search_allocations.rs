//! A warm search through the engine allocates its answer and nothing else: as often over many records
//! as over few, and with long lists of candidates as with short ones.

// The only test of this file: the allocator counts for the whole process. Background work is done inside
// the calls that ask for it, so nothing else runs meanwhile.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_engine::{
    Effort, HnswSettings, IndexKind, Job, KeyType, MetricName, Options, SearchRequest, Select,
    SelectFields, Stop,
};
use cairn_testkit::{SimDisk, data, sim_env};
use common::{Home, Row, number, put, schema, text, vector_field};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DIM: usize = 8;
const QUERIES: usize = 50;

/// Four columns of the answer, keys, distances, scores and versions, each of which grows to ten in three
/// steps.
const MOST: usize = 4 * 3;
/// The bytes of keys that are strings, a hundred of them, are a column more, which grows in five.
const MOST_OF_STRINGS: usize = MOST + 5;

/// Allocations of each of many searches, over `rows` records in one segment with a graph.
fn counted(rows: usize, key: KeyType, index: IndexKind) -> BTreeSet<usize> {
    let home = Home::on(sim_env(&SimDisk::new()));
    let database = home.open(Options::default());
    let name = match index {
        IndexKind::Qg => "qg",
        _ => "hnsw",
    };
    let field = vector_field("vector", DIM as u32, MetricName::Cosine, index);
    let collection = database.create_collection("c", schema(key, vec![field]));
    let collection = collection.unwrap();
    let mut vectors = data::normal(3, rows + QUERIES, DIM);
    let queries = vectors.split_off(rows * DIM);
    let row = |n: usize| {
        let key = match key {
            KeyType::U64 => number(n as u64),
            KeyType::String => text(format!("key {n:06}")),
        };
        Row::new(key, &vectors[n * DIM..][..DIM]).with("n", n as i64)
    };
    for first in (0..rows).step_by(2_000) {
        let some = first..rows.min(first + 2_000);
        put(&collection, &some.map(row).collect::<Vec<_>>());
    }
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!((stats.segments.len(), stats.segments[0].index), (1, name));

    let snapshot = collection.snapshot().unwrap();
    let efforts = [
        Effort::EfSearch(400),
        Effort::EfSearch(10),
        Effort::EfSearch(100),
        Effort::Recall(0.95),
    ];
    let mut counts = BTreeSet::new();
    for is_warm in [false, true] {
        for effort in efforts {
            for query in queries.chunks(DIM) {
                let request = SearchRequest {
                    effort,
                    select: Select {
                        fields: SelectFields::None,
                        vectors: false,
                    },
                    ..SearchRequest::new(query, 10)
                };
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                let hits = snapshot.search(&request, &Stop::never()).unwrap();
                let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
                assert_eq!(hits.distances.len(), 10);
                if is_warm {
                    counts.insert(count);
                }
            }
        }
    }
    println!("{rows} rows, {key:?}, {name}: {counts:?} allocations a search");
    counts
}

#[test]
fn a_warm_search_allocates_its_answer_and_nothing_else() {
    let quick = HnswSettings {
        ef_construction: 32,
        ..HnswSettings::for_m(8)
    };
    for (key, most) in [(KeyType::U64, MOST), (KeyType::String, MOST_OF_STRINGS)] {
        for index in [IndexKind::Hnsw(quick.clone()), IndexKind::Qg] {
            // The fewest that have a graph, and many.
            let few = counted(1_100, key, index.clone());
            let many = counted(20_000, key, index);
            assert_eq!(few.len(), 1, "each search as often as any other: {few:?}");
            assert_eq!(few, many, "not more often over more records");
            assert!(*few.last().unwrap() <= most, "{few:?}");
        }
    }
}
