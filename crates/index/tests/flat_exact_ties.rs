//! A scan is exact, and rows at equal distance come in the order of `tie`, including which of them
//! are in the answer at all.

mod common;

use std::cmp::Ordering;

use cairn_index::{Metric, Query, Stopped, Vectors, flat};
use common::{Random, matrix, normal, prepared};

/// The answer by sorting everything.
fn sorted(
    vectors: &Vectors,
    metric: Metric,
    query: &[f32],
    accept: impl Fn(u32) -> bool,
    tie: impl Fn(u32, u32) -> Ordering,
) -> Vec<(f32, u32)> {
    let kernels = cairn_distance::Kernels::<f32>::new(metric);
    let query = Query::new(query, vectors.stride());
    let rows = (0..vectors.len() as u32).filter(|&row| accept(row));
    let distance = |row| kernels.one(query.padded(), vectors.padded_row(row));
    let mut all: Vec<(f32, u32)> = rows.map(|row| (distance(row), row)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| tie(a.1, b.1)));
    all
}

#[test]
fn the_answer_is_that_of_sorting_everything() {
    let mut random = Random::new(41);
    for metric in Metric::ALL {
        for (dim, rows) in [(1, 100), (3, 1_000), (17, 777), (100, 64), (20, 65)] {
            // Small whole numbers: many rows at equal distance.
            let mut small = || {
                (0..dim)
                    .map(|_| random.below(3) as f32 - 1.0)
                    .collect::<Vec<_>>()
            };
            let all: Vec<_> = (0..rows).map(|_| small()).collect();
            let query = prepared(&small(), metric);
            let vectors = matrix(&all, metric);
            for k in [0, 1, 7, 64, rows, rows + 5] {
                for share in [1, 2, 10] {
                    let accept = |row: u32| row.is_multiple_of(share);
                    let tie = |a: u32, b: u32| (b % 7, b).cmp(&(a % 7, a));
                    let query_row = Query::new(&query, vectors.stride());
                    let mut hits = Vec::new();
                    let effort = flat::search(
                        &vectors,
                        metric,
                        &query_row,
                        k,
                        0..rows as u32,
                        accept,
                        tie,
                        || false,
                        &mut hits,
                    );
                    let mut truth = sorted(&vectors, metric, &query, accept, tie);
                    assert_eq!(effort.unwrap().distances as usize, truth.len());
                    truth.truncate(k);
                    let hits: Vec<_> = hits.iter().map(|hit| (hit.distance, hit.row)).collect();
                    assert_eq!(hits, truth, "{metric} dim={dim} k={k} share={share}");
                }
            }
        }
    }
}

#[test]
fn scans_of_parts_give_the_answer_of_the_whole() {
    let mut random = Random::new(42);
    let rows = normal(9, 1_000, &mut random);
    let whole = matrix(&rows, Metric::L2);
    let tie = |a: u32, b: u32| a.cmp(&b);
    for _ in 0..20 {
        let query = Query::new(&random.vector(9), whole.stride());
        let cut = random.below(1_000);
        let parts = [&rows[..cut], &rows[cut..]];
        let mut top = flat::TopK::new(25);
        let mut offset = 0;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let part = matrix(part, Metric::L2);
            let range = 0..part.len() as u32;
            flat::scan(
                &part,
                Metric::L2,
                &query,
                range,
                offset,
                |_| true,
                tie,
                || false,
                &mut top,
            )
            .unwrap();
            offset += part.len() as u32;
        }
        let (mut hits, mut truth) = (Vec::new(), Vec::new());
        top.finish(tie, &mut hits);
        flat::search(
            &whole,
            Metric::L2,
            &query,
            25,
            0..1_000,
            |_| true,
            tie,
            || false,
            &mut truth,
        )
        .unwrap();
        assert_eq!(hits, truth);
    }
}

#[test]
fn a_range_limits_the_rows_and_is_clamped() {
    let vectors = matrix(&normal(4, 300, &mut Random::new(43)), Metric::L2);
    let query = Query::new(&[0.0; 4], vectors.stride());
    let tie = |a: u32, b: u32| a.cmp(&b);
    for (range, count) in [
        (0..0, 0),
        (5..6, 1),
        (100..230, 130),
        (250..u32::MAX, 50),
        (400..500, 0),
    ] {
        let mut hits = Vec::new();
        flat::search(
            &vectors,
            Metric::L2,
            &query,
            300,
            range.clone(),
            |_| true,
            tie,
            || false,
            &mut hits,
        )
        .unwrap();
        assert_eq!(hits.len(), count);
        assert!(hits.iter().all(|hit| range.contains(&hit.row)));
    }
}

#[test]
fn stop_is_asked_and_obeyed() {
    let vectors = matrix(&normal(16, 10_000, &mut Random::new(44)), Metric::L2);
    let query = Query::new(&[0.0; 16], vectors.stride());
    let looks = std::cell::Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        looks.get() == 2
    };
    let mut hits = Vec::new();
    let tie = |a: u32, b: u32| a.cmp(&b);
    let stopped = flat::search(
        &vectors,
        Metric::L2,
        &query,
        3,
        0..10_000,
        |_| true,
        tie,
        stop,
        &mut hits,
    );
    assert_eq!(stopped, Err(Stopped));
    assert_eq!(looks.get(), 2);
}
