//! Rows of 16 and 8 bits and of single bits: scans are exact, graphs hold what graphs hold, and the bytes
//! of a graph are read for what it stands over.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use cairn_distance::{Kernels, Metric, f16};
use cairn_index::{
    Component, FormatError, Graph, Hit, HnswConfig, Query, Scratch, SingleThread, Vectors, flat,
};
use common::Random;

const ROWS: usize = 1_500;

fn nearest<T: Component>(
    vectors: &Vectors<T>,
    metric: Metric,
    query: &Query<T>,
    k: usize,
) -> Vec<Hit> {
    let (all, mut hits) = (0..vectors.len() as u32, Vec::new());
    let tie = |a: u32, b: u32| a.cmp(&b);
    let (accept, stop) = (|row: u32| !row.is_multiple_of(5), || false);
    flat::search(vectors, metric, query, k, all, accept, tie, stop, &mut hits).unwrap();
    hits
}

/// A scan against sorting everything, and a graph against the scan.
fn check<T: Component>(metric: Metric, dim: usize, mut row: impl FnMut() -> Vec<T>) {
    let mut vectors = Vectors::<T>::of(dim, ROWS);
    for _ in 0..ROWS - 20 {
        vectors.push(&row());
    }
    let twin = vectors.row(3).to_vec();
    for _ in 0..20 {
        vectors.push(&twin);
    }
    let kernels = Kernels::<T>::new(metric);
    let config = HnswConfig::with_m(12);
    let graph = Graph::build(&vectors, metric, &config, &SingleThread, &()).unwrap();
    let report = graph.check(&vectors, metric).unwrap();
    assert!(report.twins >= 20, "{metric} {}", T::NAME);
    let bytes = graph.to_bytes();
    let read = Graph::<T>::read(&bytes, ROWS).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    let (mut found, mut wanted) = (0, 0);
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    for _ in 0..50 {
        let query = Query::of(&row(), vectors.stride());
        let truth = nearest(&vectors, metric, &query, 10);
        let mut all: Vec<(f32, u32)> = (0..ROWS as u32)
            .filter(|row| !row.is_multiple_of(5))
            .map(|row| (kernels.one(query.padded(), vectors.padded_row(row)), row))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let scanned = truth.iter().map(|hit| (hit.distance, hit.row));
        assert!(
            scanned.eq(all[..10].iter().copied()),
            "{metric} {}",
            T::NAME
        );
        let accept = |row: u32| !row.is_multiple_of(5);
        let walked = read.search(
            &vectors,
            &query,
            10,
            100,
            accept,
            &mut scratch,
            || false,
            &mut hits,
        );
        walked.unwrap();
        let last = truth[9].distance;
        found += hits.iter().filter(|hit| hit.distance <= last).count();
        wanted += 10;
    }
    let recall = f64::from(u32::try_from(found).unwrap()) / f64::from(wanted);
    println!("{metric} {}: recall {recall}", T::NAME);
    assert!(recall > 0.9, "{metric} {}: recall {recall}", T::NAME);
}

#[test]
fn scans_and_graphs_over_halves() {
    for metric in Metric::ALL {
        let mut random = Random::new(16);
        check::<f16>(metric, 12, || {
            (0..12).map(|_| f16::from_f32(random.normal())).collect()
        });
    }
}

#[test]
fn scans_and_graphs_over_bytes() {
    for metric in Metric::ALL {
        let mut random = Random::new(8);
        check::<i8>(metric, 12, || {
            let number = |random: &mut Random| (random.normal() * 30.0).clamp(-128.0, 127.0);
            (0..12).map(|_| number(&mut random) as i8).collect()
        });
    }
}

#[test]
fn scans_and_graphs_over_bits() {
    let mut random = Random::new(1);
    let centres: Vec<Vec<u8>> = (0..30)
        .map(|_| (0..16).map(|_| random.below(256) as u8).collect())
        .collect();
    check::<u8>(Metric::Hamming, 16, || {
        let mut row = centres[random.below(centres.len())].clone();
        for _ in 0..12 {
            row[random.below(16)] ^= 1 << random.below(8);
        }
        row
    });
}

#[test]
fn a_graph_is_refused_where_its_metric_has_no_meaning() {
    let mut floats = Vectors::with_capacity(2, 3);
    let mut bits = Vectors::<u8>::of(2, 3);
    for row in 0..3_u8 {
        floats.push(&[f32::from(row), 1.0]);
        bits.push(&[row, 1]);
    }
    let config = HnswConfig::default();
    let of_floats = Graph::build(&floats, Metric::L2, &config, &SingleThread, &()).unwrap();
    let of_bits = Graph::build(&bits, Metric::Hamming, &config, &SingleThread, &()).unwrap();
    let refused = Err(FormatError::Header { offset: 28 });
    let read = Graph::<u8>::read(&of_floats.to_bytes(), 3);
    assert_eq!(read.map(|_| ()), refused);
    for read in [
        Graph::<f32>::read(&of_bits.to_bytes(), 3).map(|_| ()),
        Graph::<f16>::read(&of_bits.to_bytes(), 3).map(|_| ()),
        Graph::<i8>::read(&of_bits.to_bytes(), 3).map(|_| ()),
    ] {
        assert_eq!(read, refused);
    }
    assert!(Graph::<u8>::read(&of_bits.to_bytes(), 3).is_ok());
}
