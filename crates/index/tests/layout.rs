//! What the layout of a graph is for, guarded: a search walks from row to row at random, and yet a row costs
//! it less than one at random. The peer computes the distances of rows at random, as many of them,
//! and has nothing else to do; both are timed in turns, so that only their ratio counts. Beside it the order of
//! rows is compared with [`Graph::locality_order`], which has gained nothing whenever it was measured.
//!
//! Without optimisation times say nothing, so there is nothing to see here then.

#![cfg(not(debug_assertions))]

mod common;

use std::hint::black_box;
use std::time::Instant;

use cairn_distance::Kernels;
use cairn_index::{Graph, Hit, HnswConfig, Metric, Query, Scratch, Vectors};

use common::{Random, build, clustered, matrix};

/// Vectors of 25 MB: beyond the caches of a core.
const ROWS: usize = 50_000;
const DIM: usize = 128;
const QUERIES: usize = 500;
const EF: usize = 64;
const ROUNDS: usize = 9;

/// What a row costs a search, in rows at random. Measured: 0.5 to 0.6; 1.6 when none is fetched ahead.
const MOST: f64 = 1.1;

#[test]
fn a_row_costs_a_search_less_than_one_at_random() {
    let mut random = Random::new(95);
    let mut rows = clustered(DIM, ROWS + QUERIES, 64, &mut random);
    let queries = rows.split_off(ROWS);
    let vectors = matrix(&rows, Metric::L2);
    let config = HnswConfig {
        ef_construction: 64,
        ..HnswConfig::with_m(16)
    };
    let graph = build(&vectors, Metric::L2, &config);
    let order = graph.locality_order();
    let mut moved = Vectors::with_capacity(DIM, ROWS);
    moved.fill_rows(ROWS, |row, slot| {
        slot.copy_from_slice(vectors.row(order[row as usize]));
    });
    let ordered = graph.permuted(&order);

    let (mut walks, mut ordered_walks, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ns, distances) = walk(&graph, &vectors, &queries);
        walks.push(ns);
        ordered_walks.push(walk(&ordered, &moved, &queries).0);
        peers.push(at_random(&vectors, &queries, distances, &mut random));
    }
    let (walk, ordered, peer) = (median(walks), median(ordered_walks), median(peers));
    println!(
        "a row: {walk:.1} ns ({ordered:.1} ns in the order of the graph), {peer:.1} ns at random, {:.2} times",
        walk / peer
    );
    assert!(walk < peer * MOST, "{walk:.1} ns, {peer:.1} ns at random");
}

/// Nanoseconds for each row that the searches compared, and how many rows those were.
fn walk(graph: &Graph, vectors: &Vectors, queries: &[Vec<f32>]) -> (f64, usize) {
    let mut query = Query::new(&[], vectors.stride());
    let (mut scratch, mut hits): (_, Vec<Hit>) = (Scratch::new(), Vec::new());
    let mut distances = 0;
    let started = Instant::now();
    for vector in queries {
        query.set(vector);
        let all = |_| true;
        let effort = graph
            .search(
                vectors,
                &query,
                10,
                EF,
                all,
                &mut scratch,
                || false,
                &mut hits,
            )
            .expect("nobody stops it");
        distances += effort.distances as usize;
    }
    (per(started, distances), distances)
}

/// Nanoseconds for each of as many rows at random.
fn at_random(
    vectors: &Vectors,
    queries: &[Vec<f32>],
    distances: usize,
    random: &mut Random,
) -> f64 {
    let kernels = Kernels::<f32>::new(Metric::L2);
    let rows: Vec<u32> = (0..distances).map(|_| random.below(ROWS) as u32).collect();
    let each = distances.div_ceil(QUERIES);
    let started = Instant::now();
    for (vector, rows) in queries.iter().zip(rows.chunks(each)) {
        for &row in rows {
            black_box(kernels.one(vector, vectors.row(row)));
        }
    }
    per(started, distances)
}

fn per(started: Instant, count: usize) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / count as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
