//! Over `i8`, sums are exact: the answer is the integer, rounded once to `f32`. Also at the longest
//! vectors accepted and at the extremes of the type, where 16-bit and 32-bit lanes come closest to
//! overflow.

mod common;

use cairn_distance::{Element, Metric};
use common::{Random, kernels, samples};

fn exact(metric: Metric, a: &[i8], b: &[i8]) -> i64 {
    let terms = a.iter().zip(b).map(|(&x, &y)| (i64::from(x), i64::from(y)));
    match metric {
        Metric::L2 => terms.map(|(x, y)| (x - y).pow(2)).sum(),
        Metric::L1 => terms.map(|(x, y)| (x - y).abs()).sum(),
        Metric::Dot => -terms.map(|(x, y)| x * y).sum::<i64>(),
        Metric::Cosine | Metric::Hamming => unreachable!("not such an integer"),
    }
}

fn check(a: &[i8], b: &[i8]) {
    for metric in [Metric::L2, Metric::L1, Metric::Dot] {
        let exact = exact(metric, a, b) as f32;
        for kernels in kernels::<i8>(metric) {
            assert_eq!(
                kernels.one(a, b),
                exact,
                "{metric} {} dim={}",
                kernels.simd(),
                a.len()
            );
        }
    }
}

#[test]
fn random_vectors() {
    let mut random = Random::new("random_vectors");
    for dim in (1..=300).chain([1024, 4095, 4096, 65_535, 65_536]) {
        check(&samples(&mut random, dim), &samples(&mut random, dim));
    }
}

#[test]
fn extremes_at_every_length_up_to_the_longest() {
    let extremes = [i8::MIN, -127, -1, 0, 1, i8::MAX];
    for (x, y) in extremes.into_iter().flat_map(|x| extremes.map(|y| (x, y))) {
        for dim in [1, 31, 32, 33, 255, 4096, i8::DIM_MAX] {
            check(&vec![x; dim], &vec![y; dim]);
        }
    }
}

#[test]
fn cosine_of_extremes() {
    for dim in [1, 64, i8::DIM_MAX] {
        let (low, high) = (vec![i8::MIN; dim], vec![i8::MAX; dim]);
        for kernels in kernels::<i8>(Metric::Cosine) {
            assert_eq!(kernels.one(&low, &low), 0.0);
            assert_eq!(kernels.one(&low, &high), 2.0);
            assert_eq!(kernels.one(&low, &vec![0; dim]), 1.0);
        }
    }
}

#[test]
#[should_panic(expected = "vector too long for its element type")]
fn longer_vectors_are_refused() {
    let long = vec![1; i8::DIM_MAX + 1];
    let _ = kernels::<i8>(Metric::Dot)[0].one(&long, &long);
}
