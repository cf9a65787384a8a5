//! Codes in the place of rows: scans find what scans of rows find, walks nearly what walks of rows find, whatever
//! the codes; and bytes give them back.

mod common;

use cairn_index::flat::TopK;
use cairn_index::{
    Coded, CodedFormatError, CodedSpace, HnswConfig, Metric, Quantisation, Query, Scratch,
    SingleThread, Vectors,
};
use common::{Random, Threads, build, clustered, exact, matrix, nearest, normal, prepared};

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::L2, Metric::Dot];

/// So many that nothing is missed.
const DEVIATIONS: f32 = 8.0;

fn every(dim: usize) -> [Quantisation; 8] {
    [
        Quantisation::Sq8,
        Quantisation::Sq4,
        Quantisation::Pq {
            subspaces: dim.div_ceil(4),
            bits: 8,
        },
        Quantisation::Pq {
            subspaces: dim.div_ceil(2),
            bits: 4,
        },
        Quantisation::Rabitq { bits: 1 },
        Quantisation::Rabitq { bits: 2 },
        Quantisation::Rabitq { bits: 5 },
        Quantisation::Rabitq { bits: 8 },
    ]
}

fn coded(vectors: &Vectors, metric: Metric, quantisation: Quantisation) -> Coded {
    Coded::new(vectors, metric, quantisation, &SingleThread, &()).expect("rows to learn from")
}

fn bytes_of(coded: &Coded) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok::<(), std::convert::Infallible>(())
    };
    match coded.write(put) {
        Ok(()) => bytes,
    }
}

/// Rows and distances of the nearest by a scan of codes, and how many rows were measured.
fn scanned(
    coded: &Coded,
    vectors: &Vectors,
    vector: &[f32],
    rows: impl Iterator<Item = u32>,
    space: &mut CodedSpace,
) -> (Vec<(u32, f32)>, u32) {
    let query = Query::new(vector, vectors.stride());
    let tie = |a: u32, b: u32| a.cmp(&b);
    let (mut top, mut hits) = (TopK::new(10), Vec::new());
    let effort = coded
        .scan(
            vectors,
            &query,
            DEVIATIONS,
            rows,
            tie,
            || false,
            space,
            &mut top,
        )
        .expect("nobody stops it");
    top.finish(tie, &mut hits);
    let hits = hits.iter().map(|hit| (hit.row, hit.distance)).collect();
    (hits, effort.distances)
}

#[test]
fn a_scan_of_codes_finds_what_a_scan_of_rows_finds_and_measures_fewer() {
    let mut random = Random::new(71);
    let mut space = CodedSpace::default();
    for dim in [3, 64, 100] {
        let rows = clustered(dim, 900, 30, &mut random);
        for metric in METRICS {
            let vectors = matrix(&rows, metric);
            for quantisation in every(dim) {
                let coded = coded(&vectors, metric, quantisation);
                assert_eq!(coded.quantisation(), quantisation);
                assert_eq!((coded.rows(), coded.dim()), (900, dim));
                let mut measured = 0;
                for query in &rows[..30] {
                    let query = prepared(query, metric);
                    let truth = exact(&vectors, metric, &query, 10);
                    let (found, distances) = scanned(&coded, &vectors, &query, 0..900, &mut space);
                    measured += distances;
                    let wanted: Vec<f32> = truth.iter().map(|hit| hit.distance).collect();
                    let got: Vec<f32> = found.iter().map(|&(_, distance)| distance).collect();
                    assert_eq!(got, wanted, "{dim} {metric} {quantisation:?}");
                }
                if dim == 100 {
                    assert!(measured < 30 * 700, "{metric} {quantisation:?}: {measured}");
                }
            }
        }
    }
}

#[test]
fn a_scan_of_some_rows_finds_none_of_the_others() {
    let mut random = Random::new(72);
    let rows = normal(65, 500, &mut random);
    let vectors = matrix(&rows, Metric::L2);
    let coded = coded(&vectors, Metric::L2, Quantisation::Sq8);
    let mut space = CodedSpace::default();
    for step in [1, 2, 17, 100, 499] {
        let some = || (0..500).step_by(step);
        let (found, _) = scanned(&coded, &vectors, &rows[3], some(), &mut space);
        assert_eq!(found.len(), some().count().min(10));
        assert!(
            found
                .iter()
                .all(|&(row, _)| (row as usize).is_multiple_of(step))
        );
    }
    let (found, _) = scanned(&coded, &vectors, &rows[3], std::iter::empty(), &mut space);
    assert_eq!(found, []);
}

#[test]
fn a_walk_over_codes_finds_nearly_what_a_walk_over_rows_finds() {
    let mut random = Random::new(73);
    let dim = 96;
    let rows = clustered(dim, 4_000, 60, &mut random);
    let (mut scratch, mut space, mut hits) = (Scratch::new(), CodedSpace::default(), Vec::new());
    for metric in METRICS {
        let vectors = matrix(&rows, metric);
        let graph = build(&vectors, metric, &HnswConfig::default());
        for quantisation in every(dim) {
            let coded = coded(&vectors, metric, quantisation);
            let (mut by_rows, mut by_codes) = (0, 0);
            for query in normal(dim, 30, &mut random) {
                let query = prepared(&query, metric);
                let truth = exact(&vectors, metric, &query, 10);
                let padded = Query::new(&query, vectors.stride());
                graph
                    .search_coded(
                        &vectors,
                        &coded,
                        &padded,
                        10,
                        100,
                        |row| row % 7 != 0,
                        &mut scratch,
                        &mut space,
                        || false,
                        &mut hits,
                    )
                    .expect("nobody stops it");
                assert!(hits.iter().all(|hit| hit.row % 7 != 0));
                graph
                    .search_coded(
                        &vectors,
                        &coded,
                        &padded,
                        10,
                        100,
                        |_| true,
                        &mut scratch,
                        &mut space,
                        || false,
                        &mut hits,
                    )
                    .expect("nobody stops it");
                assert_eq!(hits.len(), 10);
                assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
                let all = exact(&vectors, metric, &query, rows.len());
                for hit in &hits {
                    let right = all.iter().find(|it| it.row == hit.row).expect("a row");
                    assert_eq!(hit.distance, right.distance, "distances are exact");
                }
                let farthest = truth[9].distance;
                by_codes += hits.iter().filter(|hit| hit.distance <= farthest).count();
                let plain = nearest(&graph, &vectors, &query, 10, 100);
                by_rows += plain.iter().filter(|hit| hit.distance <= farthest).count();
            }
            println!("{metric} {quantisation:?}: {by_codes} of 300, by rows {by_rows}");
            let least = match quantisation {
                Quantisation::Sq8 => by_rows - 4,
                Quantisation::Sq4 | Quantisation::Rabitq { bits: 5.. } => by_rows - 12,
                // A byte for four components, or two bits a component.
                Quantisation::Pq { bits: 8, .. } | Quantisation::Rabitq { bits: 2 } => by_rows - 40,
                // One bit of 96 components, or half a byte of a pair, tells little within a cluster.
                _ => 90,
            };
            assert!(by_codes >= least, "{metric} {quantisation:?}");
        }
    }
}

#[test]
fn codes_are_the_same_with_any_number_of_threads() {
    let mut random = Random::new(74);
    let vectors = matrix(&normal(70, 1_700, &mut random), Metric::L2);
    for quantisation in every(70) {
        let alone = bytes_of(&coded(&vectors, Metric::L2, quantisation));
        for threads in [2, 5] {
            let workers = Threads(threads);
            let shared = Coded::new(&vectors, Metric::L2, quantisation, &workers, &()).unwrap();
            assert!(bytes_of(&shared) == alone, "{quantisation:?}");
        }
    }
}

#[test]
fn codes_come_back_from_their_bytes() {
    let mut random = Random::new(75);
    let rows = normal(33, 400, &mut random);
    let mut space = CodedSpace::default();
    for metric in METRICS {
        let vectors = matrix(&rows, metric);
        for quantisation in every(33) {
            let coded = coded(&vectors, metric, quantisation);
            let bytes = bytes_of(&coded);
            assert_eq!(
                coded.bytes(),
                400 * quantisation.row_bytes(33),
                "{quantisation:?}"
            );
            let read = Coded::from_bytes(&bytes, 400).expect("its own bytes");
            assert_eq!(read.quantisation(), quantisation);
            assert_eq!(read.metric(), metric);
            assert!(bytes_of(&read) == bytes);
            let query = prepared(&rows[9], metric);
            let mut ask = |coded| scanned(coded, &vectors, &query, 0..400, &mut space);
            assert_eq!(ask(&read), ask(&coded));
        }
    }
}

#[test]
fn other_bytes_are_refused_and_none_panics() {
    let mut random = Random::new(76);
    let vectors = matrix(&normal(20, 300, &mut random), Metric::L2);
    for quantisation in every(20) {
        let bytes = bytes_of(&coded(&vectors, Metric::L2, quantisation));
        let read = |bytes: &[u8]| Coded::from_bytes(bytes, 300).map(|_| ());
        assert_eq!(
            Coded::from_bytes(&bytes, 301).map(|_| ()),
            Err(CodedFormatError::Rows {
                expected: 301,
                found: 300
            })
        );
        for length in (0..bytes.len()).step_by(61) {
            assert!(read(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
        for at in 0..24 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(read(&damaged).is_err(), "{quantisation:?} at {at}");
        }
        for at in 0..bytes.len().min(4_000) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << random.below(8);
            // What is read may be other codes; never more, and never a crash.
            let Ok(read) = Coded::from_bytes(&damaged, 300) else {
                continue;
            };
            assert_eq!(read.rows(), 300);
            let query = Query::new(vectors.row(0), vectors.stride());
            if read.dim() == 20 {
                let mut top = TopK::new(5);
                let (tie, never) = (|a: u32, b: u32| a.cmp(&b), || false);
                let mut space = CodedSpace::default();
                read.scan(
                    &vectors,
                    &query,
                    3.3,
                    0..300,
                    tie,
                    never,
                    &mut space,
                    &mut top,
                )
                .expect("nobody stops it");
            }
        }
        let mut damaged = bytes.clone();
        let end = damaged.len() - quantisation.row_bytes(20);
        let floats = damaged.len() - end;
        damaged[end..].copy_from_slice(&vec![0xFF; floats]);
        assert_eq!(
            read(&damaged),
            Err(CodedFormatError::Factor { row: 299 }),
            "factors that are no numbers"
        );
    }
}

#[test]
fn what_no_quantiser_has_is_refused() {
    for quantisation in every(8) {
        assert_eq!(quantisation.validate(8, Metric::L2), Ok(()));
        assert!(quantisation.validate(8, Metric::L1).is_err());
        assert!(quantisation.validate(0, Metric::L2).is_err());
    }
    for wrong in [
        Quantisation::Pq {
            subspaces: 9,
            bits: 8,
        },
        Quantisation::Pq {
            subspaces: 0,
            bits: 8,
        },
        Quantisation::Pq {
            subspaces: 4,
            bits: 5,
        },
        Quantisation::Rabitq { bits: 0 },
        Quantisation::Rabitq { bits: 9 },
    ] {
        assert!(wrong.validate(8, Metric::L2).is_err(), "{wrong:?}");
    }
    let mut random = Random::new(77);
    let few = matrix(&normal(8, 100, &mut random), Metric::L2);
    let codebooks = Quantisation::Pq {
        subspaces: 2,
        bits: 8,
    };
    assert_eq!(codebooks.rows_min(), 256);
    assert!(Coded::new(&few, Metric::L2, codebooks, &SingleThread, &()).is_err());
}
