//! Several vectors a record: searches equal a naive one in double precision, on every instruction set.

mod common;

use cairn_distance::{Kernels, Simd, reference};
use cairn_index::flat::TopK;
use cairn_index::{Effort, Hit, Metric, MultiQuery, MultiVectors, Stopped};
use common::{Random, prepared};

type Rows = Vec<Vec<f32>>;

/// Vectors, every fifth the one before it again.
fn several(rng: &mut Random, count: usize, dim: usize, metric: Metric) -> Rows {
    let mut rows: Rows = Vec::new();
    for at in 0..count {
        match rows.last() {
            Some(last) if at % 5 == 4 => rows.push(last.clone()),
            _ => rows.push(prepared(&rng.vector(dim), metric)),
        }
    }
    rows
}

fn matrix(records: &[Rows], dim: usize) -> MultiVectors {
    let mut vectors = MultiVectors::new(dim);
    for record in records {
        vectors.push(&record.concat());
    }
    vectors
}

fn query_of(rows: &Rows, dim: usize) -> MultiQuery {
    let mut query = MultiQuery::default();
    query.set(&rows.concat(), dim);
    query
}

/// The sum of the smallest distances, and how far one of 32 bits may be off.
fn naive(metric: Metric, query: &Rows, record: &Rows) -> (f64, f64) {
    let (mut sum, mut bound) = (0.0, 0.0);
    for one in query {
        let distances = record.iter().map(|other| {
            let exact = reference::distance(metric, one, other);
            let bound = reference::error_bound::<f32>(metric, one.len(), exact);
            (exact.distance, bound)
        });
        let (least, most) = distances.fold((f64::INFINITY, 0.0_f64), |(least, most), it| {
            (least.min(it.0), most.max(it.1))
        });
        sum += least;
        bound += most;
    }
    (sum, bound + sum.abs() * f64::from(f32::EPSILON))
}

fn by_row(a: u32, b: u32) -> std::cmp::Ordering {
    a.cmp(&b)
}

fn search(
    vectors: &MultiVectors,
    kernels: Kernels<f32>,
    query: &MultiQuery,
    k: usize,
    accept: impl Fn(u32) -> bool,
) -> (Vec<Hit>, Effort) {
    let (mut top, mut hits) = (TopK::new(k), Vec::new());
    let rows = 0..vectors.len() as u32;
    let never = || false;
    let effort = vectors
        .scan(kernels, query, rows, accept, by_row, never, &mut top)
        .expect("nobody stops it");
    top.finish(by_row, &mut hits);
    (hits, effort)
}

/// Every kernel there is.
fn kernels(metric: Metric) -> impl Iterator<Item = Kernels<f32>> {
    let all = Simd::available().iter();
    all.filter_map(move |&simd| Kernels::with_simd(metric, simd))
}

#[test]
fn searches_equal_a_naive_one() {
    for (seed, dim) in [1, 2, 3, 7, 15, 16, 17, 31, 48, 100, 128, 131]
        .into_iter()
        .enumerate()
    {
        let mut rng = Random::new(seed as u64);
        for metric in Metric::ALL {
            let most = [1, 5, 20, 150][rng.below(4)];
            let records: Vec<Rows> = (0..60)
                .map(|_| {
                    let count = 1 + rng.below(most);
                    several(&mut rng, count, dim, metric)
                })
                .collect();
            let vectors = matrix(&records, dim);
            assert_eq!(vectors.len(), records.len());
            let count = 1 + rng.below(40);
            let query = several(&mut rng, count, dim, metric);
            let third = rng.below(3) as u32;
            let accept = |row: u32| row % 3 != third;
            let expected: Vec<(f64, f64)> =
                records.iter().map(|it| naive(metric, &query, it)).collect();
            let wanted = (0..60_u32).filter(|row| accept(*row)).count();
            for kernels in kernels(metric) {
                for k in [1, 7, 60] {
                    let (hits, _) = search(&vectors, kernels, &query_of(&query, dim), k, accept);
                    let what = format!("{metric} dim={dim} {} k={k}", kernels.simd());
                    assert_eq!(hits.len(), k.min(wanted), "{what}");
                    assert!(hits.iter().all(|hit| accept(hit.row)), "{what}");
                    for hit in &hits {
                        let (distance, bound) = expected[hit.row as usize];
                        let off = (f64::from(hit.distance) - distance).abs();
                        assert!(
                            off <= bound,
                            "{what}: {hit:?} is {off} off, {bound} allowed"
                        );
                    }
                    // Nobody who is left out is nearer than who is there.
                    let last = f64::from(hits.last().expect("some").distance);
                    for (row, (distance, bound)) in (0..).zip(&expected) {
                        let is_there = hits.iter().any(|hit| hit.row == row);
                        let is_near = distance + 2.0 * bound < last;
                        assert!(is_there || !accept(row) || !is_near, "{what}: row {row}");
                    }
                    let sorted =
                        hits.is_sorted_by(|a, b| (a.distance, a.row) < (b.distance, b.row));
                    assert!(sorted, "{what}: {hits:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_given_up_early_changes_no_bit() {
    // With as many hits as records nothing is given up.
    let (dim, mut rng) = (24, Random::new(3));
    for metric in Metric::ALL {
        let records: Vec<Rows> = (0..300)
            .map(|_| {
                let count = 1 + rng.below(6);
                several(&mut rng, count, dim, metric)
            })
            .collect();
        let vectors = matrix(&records, dim);
        let query = query_of(&several(&mut rng, 30, dim, metric), dim);
        for kernels in kernels(metric) {
            let (all, effort) = search(&vectors, kernels, &query, 300, |_| true);
            let (some, less) = search(&vectors, kernels, &query, 10, |_| true);
            assert_eq!(some, all[..10], "{metric}");
            let pairs: usize = records.iter().map(|it| it.len() * 30).sum();
            assert_eq!(effort.distances as usize, pairs);
            let gives_up = metric != Metric::Dot;
            assert_eq!(less.distances < effort.distances, gives_up, "{metric}");
        }
    }
}

#[test]
fn equal_records_are_ties_wherever_they_stand() {
    let (dim, mut rng) = (33, Random::new(9));
    for metric in Metric::ALL {
        let one = several(&mut rng, 7, dim, metric);
        let records: Vec<Rows> = (0..500)
            .map(|row| match row % 4 {
                1 => one.clone(),
                _ => {
                    let count = 1 + rng.below(9);
                    several(&mut rng, count, dim, metric)
                }
            })
            .collect();
        let vectors = matrix(&records, dim);
        let query = query_of(&one, dim);
        for kernels in kernels(metric) {
            let (hits, _) = search(&vectors, kernels, &query, 500, |_| true);
            let equal: Vec<Hit> = hits.into_iter().filter(|hit| hit.row % 4 == 1).collect();
            assert_eq!(equal.len(), 125);
            assert!(equal.windows(2).all(|it| it[0].distance == it[1].distance));
            assert!(equal.is_sorted_by_key(|hit| hit.row));
        }
    }
}

#[test]
fn sums_stay_within_the_range_of_an_f32() {
    let far = vec![vec![f32::MAX; 3]; 2];
    let records = [far.clone(), vec![vec![f32::MIN; 3]], vec![vec![0.0; 3]]];
    let vectors = matrix(&records, 3);
    for metric in [Metric::L2, Metric::Dot, Metric::L1] {
        for kernels in kernels(metric) {
            let (hits, _) = search(&vectors, kernels, &query_of(&far, 3), 3, |_| true);
            assert_eq!(hits.len(), 3);
            assert!(hits.iter().all(|hit| hit.distance.is_finite()), "{hits:?}");
            assert_eq!(hits[0].row, 0, "{metric}");
        }
    }
}

#[test]
fn records_of_many_vectors_are_searched_and_counted() {
    let (dim, mut rng) = (5, Random::new(12));
    let mut vectors = MultiVectors::with_capacity(dim, 10);
    let records: Vec<Rows> = [4_096, 1, 64, 65, 4_096, 63]
        .map(|count| several(&mut rng, count, dim, Metric::L2))
        .into();
    for (row, record) in (0..).zip(&records) {
        assert_eq!(vectors.push(&record.concat()), row);
    }
    let held: usize = records.iter().map(|it| it.len() * 64).sum();
    assert!((held..held + 100).contains(&vectors.bytes()));
    // Each is at a distance of nothing from itself.
    for (row, record) in (0..).zip(&records) {
        let query = query_of(record, dim);
        let (hits, _) = search(&vectors, Kernels::new(Metric::L2), &query, 1, |_| true);
        assert_eq!((hits[0].row, hits[0].distance), (row, 0.0));
    }
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let (dim, mut rng) = (64, Random::new(5));
    // One record alone takes long, and so do many that nobody wants.
    let large = several(&mut rng, 4_096, dim, Metric::L2);
    let vectors = matrix(std::slice::from_ref(&large), dim);
    let looks = |vectors: &MultiVectors, query: &MultiQuery, is_wanted: bool| {
        let asked = std::cell::Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == 3;
        let rows = 0..vectors.len() as u32;
        let kernels = Kernels::new(Metric::L2);
        let mut top = TopK::new(1);
        let accept = |_| is_wanted;
        let stopped = vectors.scan(kernels, query, rows, accept, by_row, stop, &mut top);
        (stopped, asked.get())
    };
    let query = query_of(&large, dim);
    assert_eq!(looks(&vectors, &query, true), (Err(Stopped), 4));
    let mut many = MultiVectors::new(1);
    for _ in 0..100_000 {
        many.push(&[1.0]);
    }
    let query = query_of(&vec![vec![1.0]], 1);
    assert_eq!(looks(&many, &query, false), (Err(Stopped), 4));
}

#[test]
fn a_query_is_used_again_for_one_of_another_size() {
    let (dim, mut rng) = (19, Random::new(6));
    let records: Vec<Rows> = (0..40)
        .map(|_| several(&mut rng, 3, dim, Metric::L1))
        .collect();
    let vectors = matrix(&records, dim);
    let mut reused = MultiQuery::default();
    for count in [3, 40, 1, 9] {
        let query = several(&mut rng, count, dim, Metric::L1);
        reused.set(&query.concat(), dim);
        assert_eq!(reused.len(), count);
        let kernels = Kernels::new(Metric::L1);
        let fresh = search(&vectors, kernels, &query_of(&query, dim), 5, |_| true);
        assert_eq!(search(&vectors, kernels, &reused, 5, |_| true), fresh);
    }
}
