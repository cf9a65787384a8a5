//! What a quantised graph promises: near answers with exact distances, every row in reach, the same bytes
//! with any number of threads, the same answers on every instruction set.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share, though no tests themselves"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_distance::Simd;
use cairn_index::qg::{BuildError, Config, ConfigError, QuantisedGraph};
use cairn_index::{
    Hit, Lender, Metric, Point, Progress, Query, Scratch, SingleThread, Stopped, Vectors, Workers,
};
use common::{Random, Threads, clustered, exact, matrix, normal, prepared};

fn build(vectors: &Vectors, metric: Metric, config: &Config) -> QuantisedGraph {
    let graph = QuantisedGraph::build(vectors, metric, config, &SingleThread, &()).unwrap();
    graph.check(vectors).unwrap();
    graph
}

fn accepted(
    graph: &QuantisedGraph,
    vectors: &Vectors,
    query: &[f32],
    k: usize,
    ef: usize,
    accept: impl Fn(u32) -> bool,
) -> Vec<Hit> {
    let query = Query::new(query, vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    graph
        .search(
            vectors,
            &query,
            k,
            ef,
            accept,
            &mut scratch,
            || false,
            &mut hits,
        )
        .unwrap();
    hits
}

fn nearest(graph: &QuantisedGraph, vectors: &Vectors, query: &[f32], ef: usize) -> Vec<Hit> {
    accepted(graph, vectors, query, 10, ef, |_| true)
}

/// The part of the ten nearest that is found, by distance: of rows at one distance any counts.
fn recall(graph: &QuantisedGraph, vectors: &Vectors, queries: &[Vec<f32>], ef: usize) -> f64 {
    let mut found = 0;
    for query in queries {
        let query = prepared(query, graph.metric());
        let truth = exact(vectors, graph.metric(), &query, 10);
        let farthest = truth.last().unwrap().distance;
        let hits = nearest(graph, vectors, &query, ef);
        found += hits.iter().filter(|hit| hit.distance <= farthest).count();
    }
    found as f64 / (10 * queries.len()) as f64
}

/// Rows on a curved sheet of few dimensions in a space of many, in clusters, as embeddings lie.
fn sheet(dim: usize, rows: usize, random: &mut Random) -> Vec<Vec<f32>> {
    const LATENT: usize = 12;
    let waves: Vec<Vec<f32>> = (0..dim).map(|_| random.vector(LATENT + 1)).collect();
    let centres: Vec<Vec<f32>> = (0..40).map(|_| random.vector(LATENT)).collect();
    let mut row = || {
        let centre = &centres[random.below(centres.len())];
        let at: Vec<f32> = centre.iter().map(|x| x + 0.5 * random.normal()).collect();
        let wave = |wave: &Vec<f32>| {
            let phase: f32 = wave.iter().zip(&at).map(|(w, x)| w * x).sum();
            (0.4 * phase + wave[LATENT]).sin() + 0.05 * random.normal()
        };
        waves.iter().map(wave).collect()
    };
    (0..rows).map(|_| row()).collect()
}

#[test]
fn finds_99_of_100_nearest_rows_with_ef_100() {
    for (dim, metric, seed) in [
        (64, Metric::L2, 1),
        (128, Metric::Cosine, 2),
        (300, Metric::L2, 3),
        (384, Metric::Cosine, 4),
    ] {
        let mut rows = sheet(dim, 6_200, &mut Random::new(seed));
        let queries = rows.split_off(6_000);
        let vectors = matrix(&rows, metric);
        let graph = build(&vectors, metric, &Config::new(dim));
        let recall = recall(&graph, &vectors, &queries, 100);
        println!("dim={dim} metric={metric} recall={recall}");
        assert!(recall >= 0.99, "dim={dim} metric={metric} recall={recall}");
    }
}

#[test]
fn every_row_finds_itself() {
    let mut random = Random::new(5);
    for rows in [
        clustered(16, 4_000, 50, &mut random),
        normal(40, 3_000, &mut random),
        sheet(256, 2_000, &mut random),
    ] {
        let vectors = matrix(&rows, Metric::L2);
        let graph = build(&vectors, Metric::L2, &Config::new(vectors.dim()));
        let lost = (0..vectors.len() as u32).filter(|&row| {
            let hits = nearest(&graph, &vectors, vectors.row(row), 100);
            hits[0].row != row || hits[0].distance != 0.0
        });
        let lost: Vec<u32> = lost.collect();
        assert!(lost.is_empty(), "dim={} lost={lost:?}", vectors.dim());
    }
}

#[test]
fn distances_are_exact_and_in_order() {
    let rows = sheet(100, 1_000, &mut Random::new(6));
    for metric in [Metric::L2, Metric::Cosine] {
        let vectors = matrix(&rows, metric);
        let graph = build(&vectors, metric, &Config::new(100));
        for row in 0..50 {
            let query = vectors.row(row).to_vec();
            let all = exact(&vectors, metric, &query, 1_000);
            let hits = nearest(&graph, &vectors, &query, 50);
            assert!(hits.iter().all(|hit| all.contains(hit)));
            assert!(hits.is_sorted_by(|a, b| (a.distance, a.row) <= (b.distance, b.row)));
        }
    }
}

#[test]
fn any_number_of_threads_builds_the_same_bytes() {
    let rows = sheet(48, 3_000, &mut Random::new(7));
    let vectors = matrix(&rows, Metric::L2);
    for ef_construction in [0, 32] {
        let config = Config {
            ef_construction,
            ..Config::new(48)
        };
        let bytes = |threads: &dyn Workers| {
            QuantisedGraph::build(&vectors, Metric::L2, &config, threads, &())
                .unwrap()
                .to_bytes()
        };
        let one = bytes(&SingleThread);
        for threads in [2, 3] {
            assert!(one == bytes(&Threads(threads)), "threads={threads}");
        }
    }
}

#[test]
fn every_instruction_set_finds_the_same_rows() {
    let mut random = Random::new(8);
    for dim in [96, 320] {
        let mut rows = sheet(dim, 2_100, &mut random);
        let queries = rows.split_off(2_000);
        let vectors = matrix(&rows, Metric::L2);
        let bytes = build(&vectors, Metric::L2, &Config::new(dim)).to_bytes();
        let found = |simd: Simd| -> Vec<Vec<u32>> {
            let graph = QuantisedGraph::from_bytes(&bytes, dim, 2_000).unwrap();
            let graph = graph.with_simd(simd).unwrap();
            let hits = |query: &Vec<f32>| nearest(&graph, &vectors, query, 40);
            let rows = |query| hits(query).iter().map(|hit| hit.row).collect();
            queries.iter().map(rows).collect()
        };
        let scalar = found(Simd::Scalar);
        for &simd in Simd::available() {
            assert_eq!(found(simd), scalar, "{simd}");
        }
    }
}

#[test]
fn small_and_strange_sets_are_sound() {
    let mut random = Random::new(9);
    for count in [0, 1, 2, 3, 31, 33, 34, 65, 600] {
        for dim in [1, 2, 3, 16, 65] {
            let rows = normal(dim, count, &mut random);
            let mut vectors = Vectors::with_capacity(dim, count);
            rows.iter().for_each(|row| {
                vectors.push(row);
            });
            let graph = build(&vectors, Metric::L2, &Config::new(dim));
            let hits = accepted(&graph, &vectors, &vec![0.1; dim], count + 1, 10, |_| true);
            assert_eq!(hits.len(), count, "count={count} dim={dim}");
        }
    }
    // Lengths that overflow, and one line.
    let wild = |row: usize| vec![1e18 * row as f32, -3e18, 1e-30];
    let rows: Vec<Vec<f32>> = (0..700).map(wild).collect();
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &Config::new(3));
    let hits = accepted(&graph, &vectors, &rows[3], 700, 700, |_| true);
    assert_eq!(hits.len(), 700);
}

#[test]
fn duplicates_are_all_found_and_hide_nobody() {
    let mut rows = normal(6, 900, &mut Random::new(10));
    let others = rows.len();
    rows.extend(vec![vec![0.25; 6]; 1_500]);
    rows.extend(rows[..100].to_vec());
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &Config::new(6));
    assert_eq!(graph.check(&vectors).unwrap().twins, 1_599);
    let hits = accepted(&graph, &vectors, &[0.25; 6], 1_500, 10, |_| true);
    assert!(hits.len() == 1_500 && hits.iter().all(|hit| hit.distance == 0.0));
    assert!(hits.is_sorted_by(|a, b| a.row < b.row));
    for row in 0..others as u32 {
        let hits = nearest(&graph, &vectors, vectors.row(row), 64);
        assert!(hits.iter().any(|hit| hit.row == row), "row={row}");
    }
    // One of a thousand twins is accepted: it is found, whichever stands for it.
    let hits = accepted(&graph, &vectors, &[0.25; 6], 5, 10, |row| row == 2_222);
    assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [2_222]);
    let same = matrix(&vec![vec![1.0, 2.0]; 2_000], Metric::L2);
    let graph = build(&same, Metric::L2, &Config::new(2));
    assert_eq!(
        accepted(&graph, &same, &[1.0, 2.0], 3_000, 1, |_| true).len(),
        2_000
    );
}

#[test]
fn rows_not_accepted_are_walked_and_never_returned() {
    let mut random = Random::new(11);
    let rows = clustered(24, 5_000, 30, &mut random);
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &Config::new(24));
    for one_in in [2, 10, 100, 1_000, 6_000] {
        let accept = |row: u32| row.is_multiple_of(one_in);
        let (mut found, mut wanted) = (0, 0);
        for query in rows.iter().step_by(97) {
            let hits = accepted(&graph, &vectors, query, 10, 100, accept);
            assert!(hits.iter().all(|hit| accept(hit.row)));
            let truth = exact(&vectors, Metric::L2, query, 5_000);
            let truth: Vec<Hit> = truth.into_iter().filter(|hit| accept(hit.row)).collect();
            assert_eq!(hits.len(), truth.len().min(10), "one_in={one_in}");
            wanted += hits.len();
            let right = |hit: &&Hit| truth[..truth.len().min(10)].contains(hit);
            found += hits.iter().filter(right).count();
        }
        let recall = found as f64 / wanted as f64;
        println!("one_in={one_in} recall={recall}");
        assert!(recall > 0.98, "one_in={one_in} recall={recall}");
    }
}

#[test]
fn larger_ef_finds_more() {
    let mut rows = sheet(64, 4_300, &mut Random::new(12));
    let queries = rows.split_off(4_000);
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &Config::new(64));
    let recalls = [10, 30, 100, 400].map(|ef| recall(&graph, &vectors, &queries, ef));
    println!("{recalls:?}");
    assert!(recalls.is_sorted() && recalls[0] > 0.8 && recalls[3] > 0.999);
}

#[test]
fn a_search_that_is_stopped_has_no_answer() {
    let vectors = matrix(&normal(8, 3_000, &mut Random::new(13)), Metric::L2);
    let graph = build(&vectors, Metric::L2, &Config::new(8));
    let query = Query::new(vectors.row(0), vectors.stride());
    let (mut scratch, mut hits) = (
        Scratch::new(),
        vec![Hit {
            distance: 0.0,
            row: 0,
        }],
    );
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) == 2;
    let stopped = graph.search(
        &vectors,
        &query,
        500,
        500,
        |_| true,
        &mut scratch,
        stop,
        &mut hits,
    );
    assert_eq!((stopped, hits.len()), (Err(Stopped), 0));
}

#[test]
fn a_cancelled_build_leaves_nothing_and_progress_counts_every_row_once() {
    struct Count(AtomicUsize, usize);
    impl Progress for Count {
        fn advance(&self, rows: usize) {
            self.0.fetch_add(rows, Ordering::Relaxed);
        }
        fn cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= self.1
        }
    }
    let vectors = matrix(&normal(8, 3_001, &mut Random::new(14)), Metric::L2);
    for ef_construction in [0, 20] {
        let config = Config {
            ef_construction,
            ..Config::new(8)
        };
        let build = |progress: &Count| {
            let threads = Threads(2);
            QuantisedGraph::build(&vectors, Metric::L2, &config, &threads, progress).err()
        };
        let progress = Count(AtomicUsize::new(0), usize::MAX);
        assert_eq!(build(&progress), None);
        assert_eq!(progress.0.into_inner(), 3_001);
        for after in [0, 1, 700, 2_000, 2_900] {
            let progress = Count(AtomicUsize::new(0), after);
            assert_eq!(
                build(&progress),
                Some(BuildError::Cancelled),
                "after={after}"
            );
        }
    }
}

#[test]
fn metrics_and_parameters_without_a_graph_are_refused() {
    let vectors = matrix(&normal(4, 10, &mut Random::new(15)), Metric::L2);
    let refused = |metric, config: Config| {
        QuantisedGraph::build(&vectors, metric, &config, &SingleThread, &()).unwrap_err()
    };
    for metric in [Metric::Dot, Metric::L1] {
        let expected = BuildError::Config(ConfigError::Metric(metric));
        assert_eq!(refused(metric, Config::new(4)), expected);
    }
    for (config, expected) in [
        (
            Config {
                degree: 0,
                ..Config::new(4)
            },
            ConfigError::Degree(0),
        ),
        (
            Config {
                degree: 48,
                ..Config::new(4)
            },
            ConfigError::Degree(48),
        ),
        (
            Config {
                bits: 5,
                ..Config::new(4)
            },
            ConfigError::Bits(5),
        ),
    ] {
        assert_eq!(refused(Metric::L2, config), BuildError::Config(expected));
    }
}

#[test]
fn wider_lists_and_longer_codes_are_sound() {
    let mut rows = sheet(72, 2_100, &mut Random::new(16));
    let queries = rows.split_off(2_000);
    let vectors = matrix(&rows, Metric::L2);
    for (degree, bits) in [(64, 1), (32, 3), (32, 4), (96, 2)] {
        let config = Config {
            degree,
            bits,
            ..Config::new(72)
        };
        let graph = build(&vectors, Metric::L2, &config);
        let recall = recall(&graph, &vectors, &queries, 100);
        println!("degree={degree} bits={bits} recall={recall}");
        assert!(recall > 0.98);
        let read = QuantisedGraph::from_bytes(&graph.to_bytes(), 72, 2_000).unwrap();
        assert_eq!(read.config(), &config);
        assert_eq!(
            nearest(&read, &vectors, &queries[0], 50),
            nearest(&graph, &vectors, &queries[0], 50)
        );
    }
}

#[test]
fn a_measured_recall_is_about_that_of_unseen_queries() {
    for (dim, metric, seed) in [(48, Metric::L2, 17), (300, Metric::Cosine, 18)] {
        let mut rows = sheet(dim, 5_400, &mut Random::new(seed));
        let queries = rows.split_off(5_000);
        let vectors = matrix(&rows, metric);
        let config = Config::new(dim);
        let calibrated = |workers: &dyn Workers| {
            QuantisedGraph::build_calibrated(&vectors, metric, &config, workers, &()).unwrap()
        };
        let (graph, points) = calibrated(&SingleThread);
        assert!(graph.to_bytes() == build(&vectors, metric, &config).to_bytes());
        assert_eq!(calibrated(&Threads(3)).1, points);
        assert!(points.len() > 2 && points.is_sorted_by(|a, b| a.ef < b.ef));
        for Point { ef, recall: told } in points {
            let unseen = recall(&graph, &vectors, &queries, ef as usize) as f32;
            println!("dim={dim} metric={metric} ef={ef} told={told} unseen={unseen}");
            // Both come from some hundred queries.
            let tolerance = 0.015 + 0.15 * (1.0 - told);
            assert!((unseen - told).abs() < tolerance, "ef={ef} {told} {unseen}");
        }
    }
}

#[test]
fn a_hidden_row_is_neither_found_nor_met_and_its_twins_are_found() {
    let mut rows = sheet(40, 3_000, &mut Random::new(19));
    rows.push(rows[7].clone());
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &Config::new(40));
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let mut search = |hidden: Option<u32>, row: u32| {
        scratch.hide(hidden);
        let query = Query::new(vectors.row(row), vectors.stride());
        let effort = graph.search(
            &vectors,
            &query,
            5,
            50,
            |_| true,
            &mut scratch,
            || false,
            &mut hits,
        );
        let found: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        (found, effort.unwrap())
    };
    for row in (0..3_000).step_by(31).filter(|&row| row != 7) {
        let (found, _) = search(Some(row), row);
        assert!(found.len() == 5 && !found.contains(&row), "row={row}");
        let (found, _) = search(None, row);
        assert_eq!(found[0], row);
    }
    assert_eq!(search(Some(7), 7).0[0], 3_000);
    assert_eq!(search(Some(3_000), 7).0[0], 7);
}

/// Rows somewhere in the middle of somebody else's memory.
#[derive(Debug)]
struct Others(Vec<f32>);

impl Lender for Others {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[test]
fn lent_rows_of_any_length_are_measured_as_their_copies_are() {
    for (metric, dim) in [
        (Metric::L2, 37),
        (Metric::Cosine, 37),
        (Metric::Cosine, 300),
    ] {
        let mut rows = sheet(dim, 2_100, &mut Random::new(20));
        for (row, factor) in rows.iter_mut().zip([0.01, 1.0, 30.0].iter().cycle()) {
            row.iter_mut().for_each(|x| *x *= factor);
        }
        let queries = rows.split_off(2_000);
        let vectors = matrix(&rows, metric);
        let graph = build(&vectors, metric, &Config::new(dim));
        let length = |row: &Vec<f32>| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scales = match metric {
            Metric::Cosine => rows.iter().map(|row| 1.0 / length(row)).collect(),
            _ => Vec::new(),
        };
        let lender = Arc::new(Others(rows.concat()));
        let lent = Vectors::lent(dim, lender, scales);
        let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
        for query in &queries {
            let query = prepared(query, metric);
            let expected = nearest(&graph, &vectors, &query, 60);
            let query = Query::new(&query, vectors.stride());
            graph
                .search(
                    &lent,
                    &query,
                    10,
                    60,
                    |_| true,
                    &mut scratch,
                    || false,
                    &mut hits,
                )
                .unwrap();
            let same =
                |(a, b): (&Hit, &Hit)| (a.distance - b.distance).abs() < 1e-5 * (1.0 + a.distance);
            assert!(
                hits.len() == 10 && hits.iter().zip(&expected).all(same),
                "{metric}"
            );
        }
    }
}
