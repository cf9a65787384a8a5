//! Seeded vectors and the brute-force truth about them.
//!
//! Vectors are flat, row-major `f32`. The same seed gives the same bits on one platform;
//! [`uniform`] does on all of them, the others go through the platform's `ln` and `cos`.

use crate::Rng;

/// `n` vectors with components uniform in `[-1, 1)`.
///
/// # Examples
/// ```
/// use cairn_testkit::data;
///
/// let vectors = data::uniform(1, 10, 4);
/// assert_eq!(vectors.len(), 40);
/// ```
#[must_use]
pub fn uniform(seed: u64, n: usize, dim: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    // 24 bits are exact in f32, so that 1 is never reached by rounding.
    const SCALE: f32 = 1.0 / (1 << 23) as f32;
    (0..n * dim)
        .map(|_| (rng.next_u64() >> 40) as f32 * SCALE - 1.0)
        .collect()
}

/// `n` vectors with standard normal components: directions are uniform on the sphere, the
/// hardest case for a graph.
#[must_use]
pub fn normal(seed: u64, n: usize, dim: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..n * dim).map(|_| rng.normal() as f32).collect()
}

/// `n` vectors around `max(1, sqrt(n) / 2)` centres: centres uniform in `[-1, 1)`, members
/// normal with deviation 0.1 about theirs. Closer to embeddings than [`uniform`].
#[must_use]
pub fn clustered(seed: u64, n: usize, dim: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    let centre_count = ((n as f64).sqrt() / 2.0).max(1.0) as usize;
    let centres: Vec<f64> = (0..centre_count * dim)
        .map(|_| rng.unit() * 2.0 - 1.0)
        .collect();
    let mut vectors = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let centre = rng.range(0..centre_count) * dim;
        for component in &centres[centre..centre + dim] {
            vectors.push((component + 0.1 * rng.normal()) as f32);
        }
    }
    vectors
}

/// A row and its distance, as the oracle sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The row in `base`.
    pub row: u32,
    /// Its distance from the query: smaller is nearer.
    pub distance: f64,
}

/// For each query the `min(k, rows)` nearest rows of `base`, nearest first, ties by lower row.
///
/// Shapes: `base` is `[rows, dim]`, `queries` is `[count, dim]`. Distances are summed in f64 by
/// `distance`; [`l2`], [`cosine`], [`dot`] and [`l1`] are such functions.
///
/// # Panics
/// If a length is no multiple of `dim`.
///
/// # Examples
/// ```
/// use cairn_testkit::data::{ground_truth, l2, recall};
///
/// let base = [0.0, 1.0, 2.0, 3.0];
/// let truth = ground_truth(&base, &[1.0], 1, 3, l2);
/// let rows: Vec<u32> = truth[0].iter().map(|hit| hit.row).collect();
/// assert_eq!(rows, [1, 0, 2]); // 0 and 2 are equally far
/// assert_eq!(recall(&[1, 2, 3], &truth[0], 3), 2.0 / 3.0);
/// ```
#[must_use]
pub fn ground_truth(
    base: &[f32],
    queries: &[f32],
    dim: usize,
    k: usize,
    distance: impl Fn(&[f32], &[f32]) -> f64,
) -> Vec<Vec<Neighbour>> {
    assert!(
        base.len().is_multiple_of(dim) && queries.len().is_multiple_of(dim),
        "whole vectors only"
    );
    queries
        .chunks_exact(dim)
        .map(|query| {
            let mut all: Vec<Neighbour> = base
                .chunks_exact(dim)
                .enumerate()
                .map(|(row, vector)| Neighbour {
                    row: u32::try_from(row).expect("rows are numbered in 32 bits"),
                    distance: distance(query, vector),
                })
                .collect();
            all.sort_by(|a, b| {
                a.distance
                    .total_cmp(&b.distance)
                    .then_with(|| a.row.cmp(&b.row))
            });
            all.truncate(k);
            all
        })
        .collect()
}

/// The share of the `k` nearest that was found, in `[0, 1]`: |found and true| / min(k, true).
/// Only the first `k` of `found` and of `truth` count, a row found twice counts once.
#[must_use]
pub fn recall(found: &[u32], truth: &[Neighbour], k: usize) -> f64 {
    let truth = &truth[..truth.len().min(k)];
    let found = &found[..found.len().min(k)];
    if truth.is_empty() {
        return 1.0;
    }
    let hits = truth.iter().filter(|hit| found.contains(&hit.row)).count();
    hits as f64 / truth.len() as f64
}

/// Squared Euclidean distance.
#[must_use]
pub fn l2(a: &[f32], b: &[f32]) -> f64 {
    pairs(a, b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Sum of absolute differences.
#[must_use]
pub fn l1(a: &[f32], b: &[f32]) -> f64 {
    pairs(a, b).map(|(x, y)| (x - y).abs()).sum()
}

/// Negated inner product.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    -pairs(a, b).map(|(x, y)| x * y).sum::<f64>()
}

/// One minus the cosine of the angle; 1 if a vector is zero.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 {
        1.0
    } else {
        1.0 + dot(a, b) / norms
    }
}

fn pairs<'a>(a: &'a [f32], b: &'a [f32]) -> impl Iterator<Item = (f64, f64)> + 'a {
    a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        for make in [uniform, normal, clustered] {
            assert_eq!(make(5, 100, 7), make(5, 100, 7));
            assert_ne!(make(5, 100, 7), make(6, 100, 7));
            assert!(make(5, 100, 7).iter().all(|x| x.is_finite()));
        }
        assert!(uniform(1, 1000, 10).iter().all(|x| (-1.0..1.0).contains(x)));
    }

    #[test]
    fn distances_are_what_the_names_say() {
        let (a, b) = ([3.0, 4.0], [4.0, 3.0]);
        assert_eq!(l2(&a, &b), 2.0);
        assert_eq!(l1(&a, &b), 2.0);
        assert_eq!(dot(&a, &b), -24.0);
        assert!((cosine(&a, &b) - 0.04).abs() < 1e-12);
        assert_eq!(cosine(&a, &[0.0, 0.0]), 1.0);
    }

    #[test]
    fn recall_counts_each_true_row_once() {
        let truth = ground_truth(&[0.0, 1.0, 2.0], &[0.0], 1, 2, l2);
        assert_eq!(recall(&[0, 0], &truth[0], 2), 0.5);
        assert_eq!(recall(&[1, 0, 2], &truth[0], 2), 1.0);
        assert_eq!(recall(&[], &truth[0], 0), 1.0);
    }
}
