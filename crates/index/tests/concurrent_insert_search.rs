//! Searches may run while rows are inserted, from several threads each: they never fail, never
//! return a row that does not exist, and find every row whose insert has returned.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cairn_index::{Graph, HnswConfig, Metric, Query, Scratch};
use common::{Random, clustered, matrix, recall};

#[test]
fn inserts_and_searches_at_once() {
    let mut random = Random::new(61);
    let mut rows = clustered(12, 5_000, 25, &mut random);
    for _ in 0..500 {
        let twin = rows[random.below(100)].clone();
        rows.insert(random.below(rows.len()), twin);
    }
    let vectors = matrix(&rows, Metric::L2);
    let graph = Graph::with_capacity(Metric::L2, &HnswConfig::with_m(12), rows.len()).unwrap();
    let inserted: Vec<AtomicBool> = rows.iter().map(|_| AtomicBool::new(false)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut scratch = Scratch::new();
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    if row >= rows.len() {
                        return;
                    }
                    assert!(graph.insert(&vectors, row as u32, &mut scratch));
                    inserted[row].store(true, Ordering::Release);
                }
            });
        }
        for seed in 0..3 {
            let (graph, vectors, inserted, next) = (&graph, &vectors, &inserted, &next);
            scope.spawn(move || {
                let mut random = Random::new(62 + seed);
                let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
                let mut query = Query::new(&[], vectors.stride());
                let mut missed = 0;
                let mut searches = 0;
                while next.load(Ordering::Relaxed) < inserted.len() {
                    let row = random.below(inserted.len());
                    let there = inserted[row].load(Ordering::Acquire);
                    let vector = vectors.row(row as u32);
                    query.set(vector);
                    graph
                        .search(
                            vectors,
                            &query,
                            20,
                            80,
                            |_| true,
                            &mut scratch,
                            || false,
                            &mut hits,
                        )
                        .unwrap();
                    assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
                    let found = hits.first().is_some_and(|hit| hit.distance == 0.0);
                    searches += 1;
                    missed += usize::from(there && !found);
                }
                println!("searches={searches} missed={missed}");
                // A list that is being rewritten may hide a link for an instant.
                assert!(missed <= searches / 200);
            });
        }
    });
    assert_eq!(graph.rows(), rows.len());
    graph.check(&vectors, Metric::L2).unwrap();
    let queries: Vec<_> = (0..rows.len())
        .step_by(10)
        .map(|row| rows[row].clone())
        .collect();
    let recall = recall(&graph, &vectors, &queries, 10, 64);
    println!("recall={recall}");
    assert!(recall > 0.99);
}
