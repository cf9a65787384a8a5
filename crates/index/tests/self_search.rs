//! Every row that was inserted is found by searching for it.
//!
//! A graph loses rows in two ways: the last link to a row is pruned away, or a search ends before it
//! gets there. The data here is what brings both about: clusters far apart, a vector stored a thousand
//! times amid others, and nothing but one vector.

mod common;

use cairn_index::{Graph, HnswConfig, Metric, Scratch, Vectors};
use common::{Random, Threads, build, clustered, matrix, nearest, normal};

/// Rows that a search for their own vector does not find.
fn lost(graph: &Graph, vectors: &Vectors, ef: usize) -> Vec<u32> {
    let rows = 0..vectors.len() as u32;
    rows.filter(|&row| !finds(graph, vectors, row, ef))
        .collect()
}

/// Whether the row is among the ten nearest to its vector, or ten others with the same vector are.
fn finds(graph: &Graph, vectors: &Vectors, row: u32, ef: usize) -> bool {
    let hits = nearest(graph, vectors, vectors.row(row), 10, ef);
    let twins = hits
        .iter()
        .filter(|hit| vectors.row(hit.row) == vectors.row(row));
    hits.iter().any(|hit| hit.row == row) || twins.count() == 10
}

#[test]
fn ten_thousand_rows_in_clusters_find_themselves() {
    for (seed, clusters) in [(1, 10), (2, 100), (3, 1000)] {
        let rows = clustered(24, 10_000, clusters, &mut Random::new(seed));
        let vectors = matrix(&rows, Metric::L2);
        let graph = build(&vectors, Metric::L2, &HnswConfig::default());
        assert_eq!(lost(&graph, &vectors, 64), [], "clusters={clusters}");
    }
}

#[test]
fn rows_find_themselves_under_other_metrics_and_after_a_build_by_several_threads() {
    let rows = clustered(24, 6_000, 60, &mut Random::new(9));
    for metric in [Metric::L2, Metric::Cosine, Metric::L1] {
        let vectors = matrix(&rows, metric);
        let config = HnswConfig::default();
        let graph = Graph::build(&vectors, metric, &config, &Threads(4), &()).unwrap();
        assert_eq!(lost(&graph, &vectors, 64), [], "metric={metric}");
    }
}

#[test]
fn rows_that_come_cluster_by_cluster_find_themselves() {
    let mut rows = clustered(16, 10_000, 50, &mut Random::new(4));
    rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    assert_eq!(lost(&graph, &vectors, 64), []);
}

#[test]
fn rows_amid_thousands_of_duplicates_find_themselves() {
    let mut random = Random::new(5);
    let mut rows = clustered(16, 6_000, 20, &mut random);
    for _ in 0..4 {
        let twin = rows[random.below(6_000)].clone();
        for _ in 0..1_000 {
            let at = random.below(rows.len());
            rows.insert(at, twin.clone());
        }
    }
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    assert_eq!(lost(&graph, &vectors, 64), []);
}

#[test]
fn each_of_a_thousand_duplicates_is_found_if_all_are_asked_for() {
    let mut random = Random::new(6);
    let mut rows = normal(16, 3_000, &mut random);
    let twin = rows[1_234].clone();
    rows.extend(std::iter::repeat_n(twin.clone(), 1_000));
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    let hits = nearest(&graph, &vectors, &twin, 1_001, 1_001);
    assert!(hits.iter().all(|hit| hit.distance == 0.0));
    assert_eq!(hits.len(), 1_001);
}

#[test]
fn ten_thousand_equal_rows_are_all_found() {
    let rows = vec![vec![1.0, 2.0, 3.0]; 10_000];
    for metric in Metric::ALL {
        let vectors = matrix(&rows, metric);
        let graph = build(&vectors, metric, &HnswConfig::default());
        let hits = nearest(&graph, &vectors, vectors.row(0), 10_000, 10);
        let mut found: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        found.sort_unstable();
        assert!(found.into_iter().eq(0..10_000), "metric={metric}");
    }
}

#[test]
fn every_insert_into_a_live_graph_is_found_at_once() {
    let mut random = Random::new(7);
    let mut rows = clustered(12, 3_000, 30, &mut random);
    let twins: Vec<_> = (0..1_000).map(|_| rows[random.below(30)].clone()).collect();
    rows.extend(twins);
    let vectors = matrix(&rows, Metric::L2);
    let config = HnswConfig::with_m(8);
    let graph = Graph::with_capacity(Metric::L2, &config, rows.len()).unwrap();
    let mut scratch = Scratch::new();
    for row in 0..rows.len() as u32 {
        assert!(graph.insert(&vectors, row, &mut scratch));
        assert!(!graph.insert(&vectors, row, &mut scratch));
        assert!(finds(&graph, &vectors, row, 64), "row={row}");
    }
    graph.check(&vectors, Metric::L2).unwrap();
    assert_eq!(lost(&graph, &vectors, 64), []);
}

#[test]
fn live_inserts_in_sorted_order_are_found_at_once() {
    for (seed, dim, clusters) in [(4, 16, 50), (5, 24, 200), (6, 8, 20)] {
        let mut rows = clustered(dim, 5_000, clusters, &mut Random::new(seed));
        rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let vectors = matrix(&rows, Metric::L2);
        let config = HnswConfig::default();
        let graph = Graph::with_capacity(Metric::L2, &config, rows.len()).unwrap();
        let mut scratch = Scratch::new();
        for row in 0..rows.len() as u32 {
            graph.insert(&vectors, row, &mut scratch);
            assert!(finds(&graph, &vectors, row, 64), "row={row}");
        }
        // What later inserts may still hide from a short list is bounded, not nothing; nothing is out of reach.
        let hidden = lost(&graph, &vectors, 64);
        println!("clusters={clusters} hidden={}", hidden.len());
        assert!(hidden.len() <= 50, "clusters={clusters} hidden={hidden:?}");
        graph.check(&vectors, Metric::L2).unwrap();
        for row in hidden {
            assert!(finds(&graph, &vectors, row, 5_000), "row={row}");
        }
    }
}

#[test]
fn a_graph_that_was_read_grows_and_loses_nothing() {
    let rows = clustered(12, 4_000, 30, &mut Random::new(8));
    let vectors = matrix(&rows, Metric::L2);
    let half = matrix(&rows[..2_000], Metric::L2);
    let built = build(&half, Metric::L2, &HnswConfig::default());
    let mut graph = Graph::from_bytes(&built.to_bytes(), 2_000).unwrap();
    graph.reserve(4_000);
    let mut scratch = Scratch::new();
    for row in 0..4_000 {
        assert_eq!(graph.insert(&vectors, row, &mut scratch), row >= 2_000);
    }
    graph.check(&vectors, Metric::L2).unwrap();
    assert_eq!(lost(&graph, &vectors, 64), []);
}
