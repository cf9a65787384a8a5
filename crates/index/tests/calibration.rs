//! What is measured on rows of a graph is what queries meet that it has never seen.

mod common;

use cairn_index::{
    BuildError, Graph, HnswConfig, Metric, Point, Progress, Query, Scratch, SingleThread, Vectors,
    Workers,
};
use common::{Random, Threads, build, clustered, exact, matrix, normal, prepared};

const K: usize = 10;

fn calibrated(vectors: &Vectors, metric: Metric, workers: &dyn Workers) -> (Graph, Vec<Point>) {
    let config = HnswConfig::with_m(8);
    Graph::build_calibrated(vectors, metric, &config, workers, &()).expect("nobody cancels it")
}

fn recall_of(
    graph: &Graph,
    vectors: &Vectors,
    queries: &[Vec<f32>],
    metric: Metric,
    ef: usize,
) -> f32 {
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let mut found = 0;
    for query in queries {
        let query = prepared(query, metric);
        let truth = exact(vectors, metric, &query, K);
        let query = Query::new(&query, vectors.stride());
        graph
            .search(
                vectors,
                &query,
                K,
                ef,
                |_| true,
                &mut scratch,
                || false,
                &mut hits,
            )
            .expect("nobody stops it");
        found += truth
            .iter()
            .filter(|near| hits.iter().any(|hit| hit.row == near.row))
            .count();
    }
    found as f32 / (K * queries.len()) as f32
}

#[test]
fn a_measured_recall_is_that_of_unseen_queries() {
    let mut random = Random::new(17);
    for metric in [Metric::L2, Metric::Cosine, Metric::L1] {
        for spread in [true, false] {
            let all = if spread {
                normal(16, 10_400, &mut random)
            } else {
                clustered(16, 10_400, 40, &mut random)
            };
            let (rows, queries) = all.split_at(10_000);
            let vectors = matrix(rows, metric);
            let (graph, points) = calibrated(&vectors, metric, &SingleThread);
            assert!(points.is_sorted_by(|a, b| a.ef < b.ef));
            for &Point { ef, recall } in &points {
                let unseen = recall_of(&graph, &vectors, queries, metric, ef as usize);
                // Both come from samples of 400.
                let tolerance = 0.015 + 0.15 * (1.0 - recall);
                assert!(
                    (unseen - recall).abs() < tolerance,
                    "{metric:?} spread={spread} ef={ef}: {recall} was measured, {unseen} found"
                );
            }
        }
    }
}

#[test]
fn a_row_is_found_too_easily_while_it_stands_in_the_graph() {
    let mut random = Random::new(18);
    let all = normal(24, 5_200, &mut random);
    let (rows, queries) = all.split_at(5_000);
    let vectors = matrix(rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::with_m(6));
    let of_rows = recall_of(&graph, &vectors, &rows[..200], Metric::L2, 16);
    let unseen = recall_of(&graph, &vectors, queries, Metric::L2, 16);
    assert!(of_rows > unseen + 0.05, "{of_rows} against {unseen}");
}

#[test]
fn any_number_of_workers_inserts_all_rows_and_measures_about_the_same() {
    let mut random = Random::new(20);
    let rows = clustered(12, 4_000, 10, &mut random);
    let vectors = matrix(&rows, Metric::L2);
    let (graph, alone) = calibrated(&vectors, Metric::L2, &SingleThread);
    assert!(alone.len() > 2);
    assert_eq!(graph.rows(), 4_000);
    // Their graphs differ a little.
    for threads in [2, 3] {
        let (graph, shared) = calibrated(&vectors, Metric::L2, &Threads(threads));
        assert_eq!(graph.rows(), 4_000);
        graph.check(&vectors, Metric::L2).unwrap();
        for (a, b) in alone.iter().zip(&shared) {
            assert!(
                (a.recall - b.recall).abs() < 0.03,
                "{threads} workers: {a:?} {b:?}"
            );
        }
    }
}

#[test]
fn small_graphs_and_graphs_of_one_place_are_measured_or_not_at_all() {
    for rows in [1, 10, 60, 200] {
        let equal = vec![vec![1.0, 2.0]; rows];
        let vectors = matrix(&equal, Metric::L2);
        let (graph, points) = calibrated(&vectors, Metric::L2, &SingleThread);
        assert_eq!(graph.rows(), rows);
        assert!(
            points.iter().all(|point| point.recall == 1.0),
            "rows={rows}"
        );
    }
}

struct AtOnce;

impl Progress for AtOnce {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn it_can_be_cancelled() {
    let rows = normal(8, 2_000, &mut Random::new(21));
    let vectors = matrix(&rows, Metric::L2);
    let config = HnswConfig::with_m(8);
    let built = Graph::build_calibrated(&vectors, Metric::L2, &config, &SingleThread, &AtOnce);
    assert_eq!(built.err(), Some(BuildError::Cancelled));
}
