//! Of vectors of bits the distance is how many differ, exactly, at every length, on every instruction
//! set, and in every shape of work.

mod common;

use cairn_distance::{Kernels, Metric, Simd, reference};
use common::{Random, kernels};

/// Bit by bit.
fn exact(a: &[u8], b: &[u8]) -> f32 {
    let differs = |at: usize| (a[at / 8] >> (at % 8) & 1) != (b[at / 8] >> (at % 8) & 1);
    (0..a.len() * 8).filter(|&at| differs(at)).count() as f32
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.bits() as u8).collect()
}

#[test]
fn every_length_agrees_with_a_count_bit_by_bit() {
    let mut random = Random::new("every_length");
    for dim in (1..=600).chain([1024, 4095, 8192]) {
        let (a, b) = (bytes(&mut random, dim), bytes(&mut random, dim));
        let expected = exact(&a, &b);
        let oracle = reference::distance(Metric::Hamming, &a, &b);
        assert_eq!(oracle.distance, f64::from(expected), "dim={dim}");
        for kernels in kernels::<u8>(Metric::Hamming) {
            let simd = kernels.simd();
            assert_eq!(kernels.one(&a, &b), expected, "{simd} dim={dim}");
            assert_eq!(kernels.one_bounded(&a, &b, expected), expected, "{simd}");
            assert!(
                kernels.one_bounded(&a, &b, expected - 1.0) > expected - 1.0,
                "{simd}"
            );
            assert_eq!(kernels.one(&a, &a), 0.0);
        }
    }
}

#[test]
fn extremes_do_not_overflow() {
    for dim in [1, 31, 64, 65, 8192, 1 << 20] {
        let (none, all) = (vec![0_u8; dim], vec![0xff_u8; dim]);
        for kernels in kernels::<u8>(Metric::Hamming) {
            assert_eq!(kernels.one(&none, &all), dim as f32 * 8.0);
        }
    }
}

#[test]
fn all_shapes_of_work_agree() {
    let mut random = Random::new("shapes");
    for (dim, stride) in [(7, 64), (96, 128), (64, 64)] {
        let rows = 37;
        let query = bytes(&mut random, dim);
        let base = bytes(&mut random, rows * stride);
        let row = |row: usize| &base[row * stride..][..dim];
        let expected: Vec<f32> = (0..rows).map(|at| exact(&query, row(at))).collect();
        for kernels in kernels::<u8>(Metric::Hamming) {
            let mut out = vec![0.0; rows];
            kernels.block(&query, &base, stride, &mut out);
            assert_eq!(out, expected);
            let all: Vec<u32> = (0..rows as u32).collect();
            kernels.many(&query, &base, stride, &all, &mut out);
            assert_eq!(out, expected);
            let queries = bytes(&mut random, 6 * dim);
            let dense: Vec<u8> = (0..rows).flat_map(row).copied().collect();
            let mut table = vec![0.0; 6 * rows];
            kernels.matrix(&queries, &dense, dim, &mut table);
            for (at, &distance) in table.iter().enumerate() {
                let (query, other) = (&queries[at / rows * dim..][..dim], row(at % rows));
                assert_eq!(distance, exact(query, other));
            }
        }
    }
}

#[test]
fn bits_have_no_other_metric_and_numbers_not_this_one() {
    for &simd in Simd::available() {
        for metric in Metric::ALL {
            assert!(Kernels::<u8>::with_simd(metric, simd).is_none());
        }
        assert!(Kernels::<f32>::with_simd(Metric::Hamming, simd).is_none());
        assert!(Kernels::<i8>::with_simd(Metric::Hamming, simd).is_none());
    }
    assert_eq!("hamming".parse(), Ok(Metric::Hamming));
    assert_eq!(Metric::Hamming.score(3.0), 0.25);
}
