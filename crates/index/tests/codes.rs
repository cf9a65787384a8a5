//! A scan of codes finds what a scan of rows finds, by measuring few of them.

mod common;

use cairn_index::flat::{self, CodeSpace, Codes, TopK};
use cairn_index::{
    Coded, CodedSpace, Effort, Hit, Metric, Progress, Quantisation, Query, SingleThread,
    TrainError, Vectors,
};
use common::{Random, clustered, matrix, normal, prepared};

const DEVIATIONS: f32 = 3.3;

fn by_codes(
    codes: &Codes,
    vectors: &Vectors,
    query: &Query,
    k: usize,
    accept: impl Fn(u32) -> bool,
    space: &mut CodeSpace,
) -> (Vec<Hit>, Effort) {
    let tie = |a: u32, b: u32| a.cmp(&b);
    let mut top = TopK::new(k);
    let scanned = codes.scan(
        vectors,
        query,
        DEVIATIONS,
        accept,
        tie,
        || false,
        space,
        &mut top,
    );
    let mut hits = Vec::new();
    top.finish(tie, &mut hits);
    (hits, scanned.expect("nobody stops it"))
}

fn by_row_codes(
    codes: &Coded,
    vectors: &Vectors,
    query: &Query,
    k: usize,
    rows: impl Iterator<Item = u32>,
    space: &mut CodedSpace,
) -> (Vec<Hit>, Effort) {
    let tie = |a: u32, b: u32| a.cmp(&b);
    let mut top = TopK::new(k);
    let never = || false;
    let scanned = codes.scan(
        vectors, query, DEVIATIONS, rows, tie, never, space, &mut top,
    );
    let mut hits = Vec::new();
    top.finish(tie, &mut hits);
    (hits, scanned.expect("nobody stops it"))
}

fn row_codes(vectors: &Vectors, metric: Metric) -> Coded {
    one_bit(vectors, metric, &()).expect("nobody stops it")
}

fn one_bit(
    vectors: &Vectors,
    metric: Metric,
    progress: &dyn Progress,
) -> Result<Coded, TrainError> {
    let one_bit = Quantisation::Rabitq { bits: 1 };
    Coded::new(vectors, metric, one_bit, &SingleThread, progress)
}

/// Nothing is wanted any more.
struct Over;

impl Progress for Over {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        true
    }
}

fn by_rows(
    vectors: &Vectors,
    metric: Metric,
    query: &Query,
    k: usize,
    accept: impl Fn(u32) -> bool,
) -> Vec<Hit> {
    let (rows, tie) = (0..vectors.len() as u32, |a: u32, b: u32| a.cmp(&b));
    let mut hits = Vec::new();
    flat::search(
        vectors,
        metric,
        query,
        k,
        rows,
        accept,
        tie,
        || false,
        &mut hits,
    )
    .expect("nobody stops it");
    hits
}

#[test]
fn what_a_scan_of_rows_finds_is_found_and_few_rows_are_measured() {
    let mut random = Random::new(51);
    let (mut space, mut by_row) = (CodeSpace::default(), CodedSpace::default());
    for metric in [Metric::L2, Metric::Cosine, Metric::Dot] {
        for dim in [64, 100, 128, 333] {
            for spread in [true, false] {
                let all = if spread {
                    normal(dim, 4_100, &mut random)
                } else {
                    clustered(dim, 4_100, 30, &mut random)
                };
                let (rows, queries) = all.split_at(4_000);
                let vectors = matrix(rows, metric);
                let codes = Codes::new(&vectors, metric).unwrap();
                assert_eq!(codes.rows(), 4_000);
                let single = row_codes(&vectors, metric);
                let (mut found, mut measured) = ([0, 0], [0, 0]);
                for query in queries {
                    let query = Query::new(&prepared(query, metric), vectors.stride());
                    let odd = |row| row % 3 != 0;
                    let truth = by_rows(&vectors, metric, &query, 10, odd);
                    let listed = (0..4_000).filter(|&row| odd(row));
                    let both = [
                        by_codes(&codes, &vectors, &query, 10, odd, &mut space),
                        by_row_codes(&single, &vectors, &query, 10, listed, &mut by_row),
                    ];
                    for (at, (hits, effort)) in both.into_iter().enumerate() {
                        assert_eq!(hits.len(), 10);
                        assert!(hits.iter().all(|hit| odd(hit.row)));
                        measured[at] += effort.distances;
                        found[at] += truth.iter().filter(|hit| hits.contains(hit)).count();
                    }
                }
                let what = format!("{metric:?} dim={dim} spread={spread}");
                let most = if spread { 0.7 } else { 0.3 };
                for (found, measured) in found.into_iter().zip(measured) {
                    assert!(found >= 998, "{what}: {found} of 1,000");
                    // Nothing is far from anything among random directions.
                    let share = f64::from(measured) / (4_000.0 * 100.0);
                    assert!(share < most, "{what}: {share}");
                }
            }
        }
    }
}

#[test]
fn every_row_finds_itself() {
    let mut random = Random::new(52);
    let (mut space, mut by_row) = (CodeSpace::default(), CodedSpace::default());
    for metric in [Metric::L2, Metric::Cosine] {
        let rows = clustered(96, 2_500, 12, &mut random);
        let vectors = matrix(&rows, metric);
        let codes = Codes::new(&vectors, metric).unwrap();
        let single = row_codes(&vectors, metric);
        for row in 0..2_500 {
            let query = Query::new(vectors.row(row), vectors.stride());
            let (hits, _) = by_codes(&codes, &vectors, &query, 1, |_| true, &mut space);
            assert_eq!(hits[0].row, row, "{metric:?}");
            let (hits, _) = by_row_codes(&single, &vectors, &query, 1, 0..2_500, &mut by_row);
            assert_eq!(hits[0].row, row, "{metric:?}");
        }
    }
}

#[test]
fn there_are_never_fewer_hits_than_rows() {
    let mut random = Random::new(53);
    let mut space = CodeSpace::default();
    let (equal, far) = (vec![2.5; 64], vec![3e19; 64]);
    let mut mixed = normal(64, 70, &mut random);
    mixed.extend(vec![far.clone(); 40]);
    mixed.extend(vec![equal.clone(); 40]);
    for rows in [vec![equal.clone(); 100], mixed] {
        let vectors = matrix(&rows, Metric::L2);
        let codes = Codes::new(&vectors, Metric::L2).unwrap();
        // Squares of some are beyond what codes of single rows can say.
        let single = one_bit(&vectors, Metric::L2, &());
        assert_eq!(single.is_err(), rows.contains(&far));
        let count = rows.len() as u32;
        for query in [&equal, &far, &vec![0.0; 64]] {
            let query = Query::new(query, vectors.stride());
            for k in [1, 5, 31, 32, 33, 99, 150, 1_000] {
                let truth = by_rows(&vectors, Metric::L2, &query, k, |_| true);
                let distances = |hits: &[Hit]| -> Vec<u32> {
                    hits.iter().map(|hit| hit.distance.to_bits()).collect()
                };
                let by_row = single.as_ref().ok().map(|single| {
                    let space = &mut CodedSpace::default();
                    by_row_codes(single, &vectors, &query, k, 0..count, space)
                });
                let by_block = by_codes(&codes, &vectors, &query, k, |_| true, &mut space);
                for (hits, _) in by_row.into_iter().chain([by_block]) {
                    assert_eq!(hits.len(), k.min(rows.len()));
                    assert_eq!(distances(&hits), distances(&truth), "k={k}");
                }
            }
        }
    }
}

#[test]
fn there_are_no_codes_where_they_would_be_no_gain() {
    let mut random = Random::new(54);
    let rows = normal(64, 10, &mut random);
    assert!(Codes::new(&matrix(&rows, Metric::L1), Metric::L1).is_none());
    assert!(one_bit(&matrix(&rows, Metric::L1), Metric::L1, &()).is_err());
    let rows = normal(63, 10, &mut random);
    assert!(Codes::new(&matrix(&rows, Metric::L2), Metric::L2).is_none());
    assert!(Codes::new(&Vectors::with_capacity(64, 1), Metric::L2).is_none());
}

#[test]
fn a_scan_can_be_stopped() {
    let rows = normal(64, 200, &mut Random::new(55));
    let vectors = matrix(&rows, Metric::L2);
    let codes = Codes::new(&vectors, Metric::L2).unwrap();
    let query = Query::new(vectors.row(0), vectors.stride());
    let (mut space, mut top) = (CodeSpace::default(), TopK::new(3));
    let tie = |a: u32, b: u32| a.cmp(&b);
    let all = |_| true;
    let scanned = codes.scan(
        &vectors,
        &query,
        DEVIATIONS,
        all,
        tie,
        || true,
        &mut space,
        &mut top,
    );
    assert!(scanned.is_err());
}

#[test]
fn codes_of_single_rows_can_be_stopped_while_they_are_made_and_looked_at() {
    let rows = normal(64, 200, &mut Random::new(56));
    let vectors = matrix(&rows, Metric::L2);
    let stopped = one_bit(&vectors, Metric::L2, &Over);
    assert_eq!(stopped.err(), Some(TrainError::Cancelled));
    let codes = row_codes(&vectors, Metric::L2);
    assert!(codes.bytes() >= 200 * (8 + 12));
    let query = Query::new(vectors.row(0), vectors.stride());
    let (mut space, mut top) = (CodedSpace::default(), TopK::new(3));
    let tie = |a: u32, b: u32| a.cmp(&b);
    let stop = || true;
    let scanned = codes.scan(
        &vectors,
        &query,
        DEVIATIONS,
        0..200,
        tie,
        stop,
        &mut space,
        &mut top,
    );
    assert!(scanned.is_err());
}

#[test]
fn listed_rows_are_compared_as_accepted_ones_are() {
    let seed = 57;
    let mut random = Random::new(seed);
    let rows = normal(20, 3_000, &mut random);
    for metric in [Metric::L2, Metric::Cosine, Metric::Dot, Metric::L1] {
        let vectors = matrix(&rows, metric);
        for share in [0, 1, 15, 16, 17, 64, 65, 1_000, 3_000] {
            let mut listed: Vec<u32> = (0..3_000).collect();
            listed.retain(|_| random.below(3_000) < share);
            let query = prepared(&rows[random.below(3_000)], metric);
            let query = Query::new(&query, vectors.stride());
            let truth = by_rows(&vectors, metric, &query, 10, |row| {
                listed.binary_search(&row).is_ok()
            });
            let tie = |a: u32, b: u32| a.cmp(&b);
            let (mut top, mut hits) = (TopK::new(10), Vec::new());
            let given = listed.iter().copied();
            let never = || false;
            let scanned = flat::scan_listed(&vectors, metric, &query, given, tie, never, &mut top);
            top.finish(tie, &mut hits);
            assert_eq!(hits, truth, "seed={seed} {metric:?} {share}");
            let effort = scanned.expect("nobody stops it");
            assert_eq!(effort.distances as usize, listed.len());
        }
    }
}
