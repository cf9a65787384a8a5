//! `many` and `block` give the bits of `one`, row by row, at every dimension up to 256 and at larger odd
//! ones; `matrix` stays within the error bound, and over `i8` is exact as well. Rows outside the matrix are refused, whatever their number.

mod common;

use cairn_distance::reference::{distance, error_bound};
use cairn_distance::{Kernels, Metric, f16};
use common::{Random, Sample, accepts, kernels, samples};

const DIMS: [usize; 16] = [
    1, 2, 7, 8, 15, 16, 17, 31, 32, 48, 64, 100, 128, 129, 768, 784,
];

/// Odd ones beyond those that are all tried: a whole number of registers and a tail, of each length.
const LARGE: [usize; 14] = [
    257, 261, 319, 383, 385, 511, 513, 767, 1023, 1025, 1535, 2049, 3001, 4095,
];

#[test]
fn rows_of_f32() {
    rows_of::<f32>(&mut Random::new("rows_of_f32"));
}

#[test]
fn rows_of_f16() {
    rows_of::<f16>(&mut Random::new("rows_of_f16"));
}

#[test]
fn rows_of_i8() {
    rows_of::<i8>(&mut Random::new("rows_of_i8"));
}

fn rows_of<T: Sample>(random: &mut Random) {
    for dim in (1..=256).chain(LARGE) {
        // At each dimension one more than the rows that a kernel takes together, at some many more.
        let all = [0, 1, 13];
        let (gaps, most, asked) = match DIMS.contains(&dim) {
            true => (&all[..], 40, 60),
            false => (&all[dim % 3..][..1], 12, 17),
        };
        for &gap in gaps {
            let (stride, count) = (dim + gap, 1 + random.index(most));
            // The last row has no gap behind it.
            let base: Vec<T> = samples(random, stride * count - gap);
            let query: Vec<T> = samples(random, dim);
            let rows: Vec<u32> = (0..asked).map(|_| random.index(count) as u32).collect();
            for metric in Metric::ALL {
                for kernels in kernels::<T>(metric) {
                    let one = |row: usize| kernels.one(&query, &base[row * stride..][..dim]);
                    let mut out = vec![f32::NAN; rows.len()];
                    kernels.many(&query, &base, stride, &rows, &mut out);
                    for (&row, &computed) in rows.iter().zip(&out) {
                        assert_eq!(computed.to_bits(), one(row as usize).to_bits());
                    }
                    let mut out = vec![f32::NAN; count];
                    kernels.block(&query, &base, stride, &mut out);
                    for (row, &computed) in out.iter().enumerate() {
                        assert_eq!(computed.to_bits(), one(row).to_bits());
                    }
                }
            }
        }
    }
}

#[test]
fn matrices() {
    let mut random = Random::new("matrices");
    matrices_of::<f32>(&mut random);
    matrices_of::<f16>(&mut random);
    matrices_of::<i8>(&mut random);
}

fn matrices_of<T: Sample>(random: &mut Random) {
    for dim in DIMS {
        for (queries, rows) in [
            (0, 3),
            (3, 0),
            (1, 1),
            (3, 9),
            (4, 4),
            (5, 6),
            (9, 11),
            (8, 700),
        ] {
            if dim * rows > 60_000 {
                continue;
            }
            let q: Vec<T> = samples(random, dim * queries);
            let base: Vec<T> = samples(random, dim * rows);
            for metric in [Metric::L2, Metric::Dot, Metric::L1, Metric::Cosine] {
                if metric.normalises() && T::UNIT_COSINE {
                    continue;
                }
                for kernels in kernels::<T>(metric) {
                    matrix(&kernels, &q, &base, dim);
                }
            }
        }
    }
}

fn matrix<T: Sample>(kernels: &Kernels<T>, queries: &[T], base: &[T], dim: usize) {
    let metric = kernels.metric();
    let rows = base.len() / dim;
    let mut out = vec![f32::NAN; queries.len() / dim * rows];
    kernels.matrix(queries, base, dim, &mut out);
    for (index, &computed) in out.iter().enumerate() {
        let a = &queries[index / rows * dim..][..dim];
        let b = &base[index % rows * dim..][..dim];
        if T::NAME == "i8" {
            assert_eq!(computed, kernels.one(a, b));
        } else if index % 7 == 0 {
            let exact = distance(metric, a, b);
            let bound = error_bound::<T>(metric, dim, exact);
            assert!(
                accepts(computed, exact.distance, bound),
                "{kernels:?} dim={dim} {index}"
            );
        }
    }
}

#[test]
fn rows_outside_are_refused() {
    let base = [0.0f32; 40];
    for kernels in kernels::<f32>(Metric::L2) {
        let refused = |row: u32, stride: usize| {
            let outcome = std::panic::catch_unwind(|| {
                kernels.many(&[0.0; 4], &base, stride, &[0, row, 1], &mut [0.0; 3]);
            });
            outcome.is_err()
        };
        assert!(!refused(9, 4));
        assert!(refused(10, 4));
        assert!(refused(u32::MAX, 4));
        assert!(refused(1, usize::MAX / 2));
        assert!(refused(2, 1 << 63));
        assert!(refused(0, 3), "rows that overlap");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let kernels = Kernels::<f32>::new(Metric::L2);
    let refused =
        |call: &(dyn Fn() + std::panic::RefUnwindSafe)| std::panic::catch_unwind(call).is_err();
    assert!(refused(&|| assert!(
        kernels.one(&[0.0], &[0.0, 1.0]) >= 0.0
    )));
    assert!(refused(&|| kernels.many(
        &[0.0],
        &[0.0],
        1,
        &[0],
        &mut [0.0; 2]
    )));
    assert!(refused(&|| kernels.block(
        &[0.0],
        &[0.0; 4],
        1,
        &mut [0.0; 5]
    )));
    assert!(refused(&|| kernels.matrix(&[0.0], &[0.0], 0, &mut [])));
    assert!(refused(&|| kernels.matrix(
        &[0.0; 3],
        &[0.0; 4],
        2,
        &mut [0.0; 2]
    )));
    assert!(refused(&|| kernels.matrix(
        &[0.0; 4],
        &[0.0; 4],
        2,
        &mut [0.0; 3]
    )));
}
