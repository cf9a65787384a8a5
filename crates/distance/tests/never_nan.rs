//! Finite components never give NaN. Distances that do not fit an `f32` are infinite, with the
//! right sign; an inner product that does fit is finite and right, even when its parts overflow.
//! Denormal numbers count like any others.

mod common;

use cairn_distance::reference::{distance, error_bound};
use cairn_distance::{Metric, f16};
use common::{Random, accepts, kernels};

/// Around the overflow of a square, of a sum and of a difference, and down to the smallest.
const MAGNITUDES: [f32; 12] = [
    f32::MAX,
    3e38,
    1e38,
    1.8e19,
    1e20,
    1e19,
    1.0,
    1e-19,
    1e-23,
    1.2e-38,
    1e-40,
    1e-45,
];

#[test]
fn any_mixture_of_magnitudes() {
    let mut random = Random::new("any_mixture_of_magnitudes");
    for round in 0..2000 {
        let dim = 1 + random.index(150);
        let width = 1 + random.index(3);
        let first = random.index(MAGNITUDES.len() - width);
        let mut vector = || -> Vec<f32> {
            let mut component = || {
                let magnitude = MAGNITUDES[first + random.index(width)];
                if random.bits() & 1 == 0 {
                    magnitude
                } else {
                    -magnitude
                }
            };
            (0..dim).map(|_| component()).collect()
        };
        let (a, b) = (vector(), vector());
        for metric in [Metric::L2, Metric::L1, Metric::Dot] {
            let exact = distance(metric, &a, &b);
            let bound = error_bound::<f32>(metric, dim, exact);
            for kernels in kernels::<f32>(metric) {
                let computed = kernels.one(&a, &b);
                assert!(
                    !computed.is_nan(),
                    "{metric} {} round={round}",
                    kernels.simd()
                );
                assert!(
                    accepts(computed, exact.distance, bound),
                    "{metric} {} round={round}: {computed} for {exact:?}",
                    kernels.simd(),
                );
            }
        }
    }
}

#[test]
fn inner_product_whose_parts_overflow_and_cancel() {
    for dim in [2, 16, 33, 64, 100, 784] {
        let a = vec![1e20f32; dim];
        let mut b: Vec<f32> = (0..dim)
            .map(|i| if i % 2 == 0 { 1e20 } else { -1e20 })
            .collect();
        if dim % 2 == 1 {
            b[dim - 1] = 0.0;
        }
        for kernels in kernels::<f32>(Metric::Dot) {
            assert_eq!(kernels.one(&a, &b), 0.0, "{} dim={dim}", kernels.simd());
            let mut out = [f32::NAN; 4];
            kernels.block(&a, &[&b[..], &b].concat(), dim, &mut out[..2]);
            assert_eq!(out[..2], [0.0, 0.0]);
            let (twice, base) = ([&a[..], &a, &a, &a].concat(), [&b[..], &b, &b, &b].concat());
            let mut out = [f32::NAN; 16];
            kernels.matrix(&twice, &base, dim, &mut out);
            assert_eq!(out, [0.0; 16]);
            assert_eq!(kernels.one(&a, &a), f32::NEG_INFINITY);
            let negative: Vec<f32> = a.iter().map(|x| -x).collect();
            assert_eq!(kernels.one(&a, &negative), f32::INFINITY);
        }
    }
}

#[test]
fn overflow_of_l2_and_l1_is_infinite() {
    for dim in [1, 16, 17, 128, 300] {
        let (low, high) = (vec![f32::MIN; dim], vec![f32::MAX; dim]);
        for metric in [Metric::L2, Metric::L1] {
            for kernels in kernels::<f32>(metric) {
                assert_eq!(kernels.one(&low, &high), f32::INFINITY);
                assert_eq!(kernels.one(&low, &low), 0.0);
                assert_eq!(kernels.one_bounded(&low, &high, 1.0), f32::INFINITY);
            }
        }
    }
}

#[test]
fn denormals_count() {
    // The smallest positive f32, 2^-149: l1 is exact on it, squares vanish.
    let (zero, tiny) = (vec![0.0; 1000], vec![f32::from_bits(1); 1000]);
    for kernels in kernels::<f32>(Metric::L1) {
        assert_eq!(
            kernels.one(&zero, &tiny),
            f32::from_bits(1000),
            "{}",
            kernels.simd()
        );
    }
    for kernels in kernels::<f32>(Metric::L2) {
        assert_eq!(kernels.one(&zero, &tiny), 0.0);
    }
    // The smallest positive half, 2^-24, is no denormal in the f32 lanes.
    let (zero, tiny) = (vec![f16::ZERO; 1000], vec![f16::from_bits(1); 1000]);
    for kernels in kernels::<f16>(Metric::L2) {
        assert_eq!(
            kernels.one(&zero, &tiny),
            1000.0 * 2f32.powi(-48),
            "{}",
            kernels.simd()
        );
    }
    for kernels in kernels::<f16>(Metric::Cosine) {
        assert!(kernels.one(&tiny, &tiny) < 1e-6);
        assert_eq!(kernels.one(&tiny, &zero), 1.0);
    }
}

#[test]
fn halves_do_not_overflow() {
    let dim = 65_536;
    let (low, high) = (vec![f16::MIN; dim], vec![f16::MAX; dim]);
    for (metric, expected) in [
        (Metric::Cosine, 2.0),
        (Metric::L2, 4.0 * 65_504f64.powi(2) * 65_536.0),
    ] {
        for kernels in kernels::<f16>(metric) {
            let computed = f64::from(kernels.one(&low, &high));
            assert!(
                (computed / expected - 1.0).abs() < 1e-5,
                "{metric} {}",
                kernels.simd()
            );
        }
    }
}
