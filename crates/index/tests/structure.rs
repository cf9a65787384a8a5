//! The graph keeps to its shape: no list beyond its cap, no link to nowhere, no row out of reach,
//! whatever the parameters and however many threads built it; and one thread always builds the same.

mod common;

use cairn_index::{BuildError, Graph, HnswConfig, Metric, Progress, SingleThread, Workers};
use common::{Random, Threads, build, clustered, exact, matrix, nearest, normal, recall};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn no_list_exceeds_its_cap() {
    let rows = clustered(8, 3_000, 10, &mut Random::new(11));
    let vectors = matrix(&rows, Metric::L2);
    for (m, m0, m_max) in [
        (2, 4, 2),
        (3, 5, 2),
        (8, 40, 3),
        (16, 8, 16),
        (16, 32, 20),
        (20, 33, 17),
    ] {
        let config = HnswConfig {
            m0,
            m_max,
            ef_construction: 60,
            ..HnswConfig::with_m(m)
        };
        let graph = build(&vectors, Metric::L2, &config);
        let report = graph.check(&vectors, Metric::L2).unwrap();
        println!("m={m} m0={m0} m_max={m_max} {report:?}");
        assert!(report.degree_max[0] <= m0);
        assert!(report.degree_max[1..].iter().all(|&degree| degree <= m_max));
        assert_eq!(report.reachable, 3_000);
        assert_eq!(graph.levels(), report.levels.len());
    }
}

#[test]
fn one_thread_builds_the_same_graph_every_time() {
    let rows = clustered(8, 2_000, 10, &mut Random::new(12));
    let vectors = matrix(&rows, Metric::L2);
    let bytes = || build(&vectors, Metric::L2, &HnswConfig::default()).to_bytes();
    assert_eq!(bytes(), bytes());
}

#[test]
fn several_threads_build_a_sound_graph_of_the_same_quality() {
    let mut random = Random::new(13);
    let rows = normal(24, 6_000, &mut random);
    let queries = normal(24, 200, &mut random);
    let vectors = matrix(&rows, Metric::L2);
    let config = HnswConfig {
        ef_construction: 80,
        ..HnswConfig::default()
    };
    let single = build(&vectors, Metric::L2, &config);
    let several = Graph::build(&vectors, Metric::L2, &config, &Threads(4), &()).unwrap();
    several.check(&vectors, Metric::L2).unwrap();
    let (one, four) = (
        recall(&single, &vectors, &queries, 10, 40),
        recall(&several, &vectors, &queries, 10, 40),
    );
    println!("recall one={one} four={four}");
    assert!((one - four).abs() < 0.02);
}

#[test]
fn several_threads_keep_duplicates_in_reach() {
    let mut rows = normal(4, 300, &mut Random::new(14));
    rows.extend(vec![vec![0.25; 4]; 2_000]);
    let vectors = matrix(&rows, Metric::L2);
    let config = HnswConfig::default();
    for _ in 0..5 {
        let graph = Graph::build(&vectors, Metric::L2, &config, &Threads(4), &()).unwrap();
        graph.check(&vectors, Metric::L2).unwrap();
        let hits = nearest(&graph, &vectors, &[0.25; 4], 2_300, 2_300);
        assert_eq!(hits.len(), 2_300);
    }
}

#[test]
fn renumbering_changes_the_numbers_and_nothing_else() {
    let mut random = Random::new(15);
    let mut rows = clustered(8, 2_000, 10, &mut random);
    let twins = rows[..300].to_vec();
    rows.extend(twins);
    let queries = clustered(8, 50, 10, &mut random);
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    let order = graph.locality_order();
    let renumbered: Vec<_> = order
        .iter()
        .map(|&row| rows[row as usize].clone())
        .collect();
    let renumbered = matrix(&renumbered, Metric::L2);
    let permuted = graph.permuted(&order);
    let (before, after) = (
        graph.check(&vectors, Metric::L2).unwrap(),
        permuted.check(&renumbered, Metric::L2).unwrap(),
    );
    assert_eq!(before, after);
    assert!(before.twins >= 300);
    for query in &queries {
        let old = nearest(&graph, &vectors, query, 10, 50);
        let new = nearest(&permuted, &renumbered, query, 10, 50);
        let old: Vec<f32> = old.iter().map(|hit| hit.distance).collect();
        let new: Vec<f32> = new.iter().map(|hit| hit.distance).collect();
        assert_eq!(old, new);
    }
}

#[test]
fn a_cancelled_build_leaves_nothing() {
    struct Impatient(AtomicUsize);
    impl Progress for Impatient {
        fn advance(&self, rows: usize) {
            self.0.fetch_add(rows, Ordering::Relaxed);
        }
        fn cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 100
        }
    }
    let vectors = matrix(&normal(4, 1_000, &mut Random::new(16)), Metric::L2);
    let progress = Impatient(AtomicUsize::new(0));
    let config = HnswConfig::default();
    let built = Graph::build(&vectors, Metric::L2, &config, &SingleThread, &progress);
    assert_eq!(built.unwrap_err(), BuildError::Cancelled);
    assert!(progress.0.load(Ordering::Relaxed) < 200);
}

#[test]
fn a_worker_that_gives_way_leaves_its_rows_to_the_others() {
    struct Polite;
    impl Workers for Polite {
        fn run(&self, work: &(dyn Fn(usize) + Sync)) {
            Threads(2).run(work);
        }
        fn gives_way(&self, worker: usize) -> bool {
            BUSY.with(|busy| busy.set(worker == 0));
            worker == 1
        }
    }
    thread_local! {
        static BUSY: Cell<bool> = const { Cell::new(true) };
    }
    struct Count(AtomicUsize);
    impl Progress for Count {
        fn advance(&self, rows: usize) {
            assert!(BUSY.get(), "the polite worker took rows");
            self.0.fetch_add(rows, Ordering::Relaxed);
        }
        fn cancelled(&self) -> bool {
            false
        }
    }
    let vectors = matrix(&normal(4, 1_003, &mut Random::new(18)), Metric::L2);
    let (config, progress) = (HnswConfig::default(), Count(AtomicUsize::new(0)));
    let graph = Graph::build(&vectors, Metric::L2, &config, &Polite, &progress).unwrap();
    assert_eq!(progress.0.load(Ordering::Relaxed), 1_003);
    assert_eq!(graph.rows(), 1_003);
}

#[test]
fn progress_counts_every_row_once() {
    struct Count(AtomicUsize);
    impl Progress for Count {
        fn advance(&self, rows: usize) {
            self.0.fetch_add(rows, Ordering::Relaxed);
        }
        fn cancelled(&self) -> bool {
            false
        }
    }
    let vectors = matrix(&normal(4, 1_003, &mut Random::new(17)), Metric::L2);
    let progress = Count(AtomicUsize::new(0));
    Graph::build(
        &vectors,
        Metric::L2,
        &HnswConfig::default(),
        &Threads(3),
        &progress,
    )
    .unwrap();
    assert_eq!(progress.0.load(Ordering::Relaxed), 1_003);
}

#[test]
fn a_large_beam_gives_the_exact_answer() {
    let mut random = Random::new(18);
    let vectors = matrix(&normal(6, 800, &mut random), Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    for query in normal(6, 50, &mut random) {
        let hits = nearest(&graph, &vectors, &query, 20, 800);
        assert_eq!(hits, exact(&vectors, Metric::L2, &query, 20));
    }
}
