//! A warm search allocates nothing: not those of graphs, with or without a filter, not the scan's.

// The only test of this file: the allocator counts for the whole process.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_distance::Kernels;
use cairn_index::{
    Coded, CodedSpace, HnswConfig, Metric, MultiQuery, MultiVectors, Quantisation, Query, Scratch,
    SingleThread, flat, qg,
};
use common::{Random, build, clustered, matrix};

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

#[test]
fn warm_searches_allocate_nothing() {
    let mut random = Random::new(51);
    let mut rows = clustered(20, 3_000, 12, &mut random);
    let twins = rows[..500].to_vec();
    rows.extend(twins);
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    let config = qg::Config::new(20);
    let quantised =
        qg::QuantisedGraph::build(&vectors, Metric::L2, &config, &SingleThread, &()).unwrap();
    let coded = [Quantisation::Sq8, Quantisation::Rabitq { bits: 4 }]
        .map(|it| Coded::new(&vectors, Metric::L2, it, &SingleThread, &()).unwrap());
    let mut spaces = [CodedSpace::default(), CodedSpace::default()];
    let queries = clustered(20, 100, 12, &mut random);
    let mut query = Query::new(&queries[0], vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let mut top = flat::TopK::new(10);
    let mut several = MultiVectors::new(20);
    for record in rows.chunks(7) {
        several.push(&record.concat());
    }
    let mut question = MultiQuery::default();
    let mut pass = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for vector in &queries {
            query.set(vector);
            for filter in [1, 3, 50] {
                let accept = |row| row % filter == 0;
                graph
                    .search(
                        &vectors,
                        &query,
                        10,
                        100,
                        accept,
                        &mut scratch,
                        || false,
                        &mut hits,
                    )
                    .unwrap();
                quantised
                    .search(
                        &vectors,
                        &query,
                        10,
                        100,
                        accept,
                        &mut scratch,
                        || false,
                        &mut hits,
                    )
                    .unwrap();
            }
            let never = || false;
            for (coded, space) in coded.iter().zip(&mut spaces) {
                graph
                    .search_coded(
                        &vectors,
                        coded,
                        &query,
                        10,
                        100,
                        |_| true,
                        &mut scratch,
                        space,
                        never,
                        &mut hits,
                    )
                    .unwrap();
            }
            top.reset(10);
            let (rows, tie) = (0..vectors.len() as u32, |a: u32, b: u32| a.cmp(&b));
            flat::scan(
                &vectors,
                Metric::L2,
                &query,
                rows,
                0,
                |_| true,
                tie,
                || false,
                &mut top,
            )
            .unwrap();
            hits.clear();
            top.finish(tie, &mut hits);
            top.reset(10);
            question.set(vector, 20);
            let (kernels, rows) = (Kernels::new(Metric::L2), 0..several.len() as u32);
            several
                .scan(kernels, &question, rows, |_| true, tie, never, &mut top)
                .unwrap();
            hits.clear();
            top.finish(tie, &mut hits);
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    let cold = pass();
    let warm = pass();
    println!("allocations cold={cold} warm={warm}");
    assert!(cold > 0);
    assert_eq!(warm, 0);
}
