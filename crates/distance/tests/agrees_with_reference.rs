//! Every kernel agrees with the `f64` oracle within the stated bound, at every dimension from 1 to
//! 4096, for every metric, element type and instruction set of this machine, wherever the slices
//! start.
//!
//! `CAIRN_REQUIRE_SIMD=avx512,avx2` makes this file fail if one of those was not exercised: a
//! machine without it would otherwise pass in silence.
//!
//! The same tests under emulation, from the root of the repository:
//!
//! ```text
//! .ci/neon.sh     64-bit Arm, on a core with all extensions and on one with none
//! .ci/noavx.sh    x86-64 without AVX: the scalar kernels must be chosen, and pass
//! ```

mod common;

use std::collections::BTreeSet;

use cairn_distance::reference::{distance, error_bound};
use cairn_distance::{Element, Metric, Simd, f16, normalise};
use common::{Random, Sample, accepts, kernels, samples};

const DIM_MAX: usize = 4096;

/// Slices start 0 to 15 components after whatever alignment the allocator gave.
const STARTS: usize = 16;

#[test]
fn every_dimension() {
    let mut random = Random::new("every_dimension");
    let mut ran = BTreeSet::new();
    ran.extend(every_dimension_of::<f32>(&mut random));
    ran.extend(every_dimension_of::<f16>(&mut random));
    ran.extend(every_dimension_of::<i8>(&mut random));

    let ran: Vec<_> = ran.into_iter().collect();
    println!("instruction sets exercised: {}", ran.join(", "));
    let required = std::env::var("CAIRN_REQUIRE_SIMD").unwrap_or_default();
    for name in required
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        assert!(
            ran.contains(&name),
            "{name} is required but was not exercised"
        );
    }
}

fn every_dimension_of<T: Sample>(random: &mut Random) -> BTreeSet<&'static str> {
    let pool: Vec<T> = samples(random, 4 * DIM_MAX);
    let mut ran = BTreeSet::new();
    for metric in Metric::ALL {
        let kernels = kernels::<T>(metric);
        for dim in 1..=DIM_MAX {
            let mut pick = |start: usize| {
                let from = random.index(pool.len() - DIM_MAX - STARTS);
                let padding = vec![T::default(); start];
                prepare(metric, [&padding, &pool[from..from + dim]].concat(), start)
            };
            let starts = (dim % STARTS, dim / STARTS % STARTS);
            let (a, b) = (pick(starts.0), pick(starts.1));
            let (a, b) = (&a[starts.0..], &b[starts.1..]);
            let exact = distance(metric, a, b);
            let bound = error_bound::<T>(metric, dim, exact);
            for kernels in &kernels {
                let computed = kernels.one(a, b);
                assert!(
                    accepts(computed, exact.distance, bound),
                    "{} {metric} {} dim={dim}: {computed} is not within {bound:e} of {}",
                    T::NAME,
                    kernels.simd(),
                    exact.distance,
                );
                ran.insert(kernels.simd().name());
            }
        }
    }
    ran
}

/// What users are told of `f32`: within a hundred-thousandth of the right number. Relative to the sum of
/// what is added up: `l2` and `l1` add what is not negative, so that is the distance itself; products may
/// cancel each other out, and then no sum in `f32` is near to what is left, relative to that.
#[test]
fn f32_is_within_a_hundred_thousandth() {
    const RELATIVE: f64 = 1e-5;
    /// Below this an `f32` has fewer bits.
    const TINY: f64 = f32::MIN_POSITIVE as f64;
    let mut random = Random::new("f32_is_within_a_hundred_thousandth");
    let pool: Vec<f32> = samples(&mut random, 4 * DIM_MAX);
    let mut worst = (0.0, String::new());
    for metric in Metric::ALL {
        let kernels = kernels::<f32>(metric);
        for dim in 1..=DIM_MAX {
            let mut pick = || {
                let from = random.index(pool.len() - DIM_MAX);
                prepare(metric, pool[from..from + dim].to_vec(), 0)
            };
            let (a, b) = (pick(), pick());
            let exact = distance(metric, &a, &b);
            let scale = exact.magnitude.max(TINY);
            for kernels in &kernels {
                let computed = kernels.one(&a, &b);
                let off = (f64::from(computed) - exact.distance).abs() / scale;
                let what = format!("{metric} {} dim={dim}", kernels.simd());
                assert!(off <= RELATIVE, "{what}: {computed} is {off:e} off");
                if off > worst.0 {
                    worst = (off, what);
                }
            }
        }
    }
    println!("at most {:e} off: {}", worst.0, worst.1);
}

/// Brings the part from `start` to unit length where the kernels expect it.
fn prepare<T: Sample>(metric: Metric, mut vector: Vec<T>, start: usize) -> Vec<T> {
    if metric.normalises() && T::UNIT_COSINE {
        let mut floats: Vec<f32> = vector.iter().map(|x| x.to_f64() as f32).collect();
        normalise(&mut floats[start..]).expect("random vectors are not zero");
        // `T` is `f32` here; the detour through bits keeps this function generic.
        for (x, float) in vector.iter_mut().zip(floats) {
            *x = narrow(float);
        }
    }
    vector
}

/// `float` as a `T`, which must be `f32`.
fn narrow<T: Element>(float: f32) -> T {
    let any: &dyn std::any::Any = &float;
    *any.downcast_ref::<T>().expect("called for f32 only")
}

#[test]
fn every_start_of_both_slices() {
    let mut random = Random::new("every_start_of_both_slices");
    every_start_of::<f32>(&mut random);
    every_start_of::<f16>(&mut random);
    every_start_of::<i8>(&mut random);
}

fn every_start_of<T: Sample>(random: &mut Random) {
    for metric in [Metric::L2, Metric::Dot, Metric::L1] {
        for dim in [1, 15, 16, 17, 63, 64, 65, 128, 257] {
            let a: Vec<T> = samples(random, dim + STARTS);
            let b: Vec<T> = samples(random, dim + STARTS);
            for (start_a, start_b) in (0..STARTS).flat_map(|a| (0..STARTS).map(move |b| (a, b))) {
                let (a, b) = (&a[start_a..][..dim], &b[start_b..][..dim]);
                let exact = distance(metric, a, b);
                let bound = error_bound::<T>(metric, dim, exact);
                for kernels in kernels::<T>(metric) {
                    let computed = kernels.one(a, b);
                    assert!(
                        accepts(computed, exact.distance, bound),
                        "{kernels:?} dim={dim}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_vector_of_no_components_has_the_empty_sum() {
    for simd in Simd::available() {
        for (metric, expected) in [
            (Metric::L2, 0.0),
            (Metric::L1, 0.0),
            (Metric::Dot, 0.0),
            (Metric::Cosine, 1.0),
        ] {
            let kernels = cairn_distance::Kernels::<f32>::with_simd(metric, *simd).unwrap();
            assert_eq!(kernels.one(&[], &[]), expected, "{metric} {simd}");
        }
    }
}

#[test]
fn every_half_widens_exactly() {
    let one = [f16::ONE];
    for kernels in kernels::<f16>(Metric::Dot) {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                // Sixteen at once, for the path of whole registers, and one, for the tail.
                assert_eq!(-kernels.one(&[half], &one), half.to_f32(), "{bits:#x}");
                let (mut sixteen, mut unit) = ([f16::ZERO; 16], [f16::ZERO; 16]);
                sixteen[usize::from(bits % 16)] = half;
                unit[usize::from(bits % 16)] = f16::ONE;
                assert_eq!(-kernels.one(&sixteen, &unit), half.to_f32(), "{bits:#x}");
            }
        }
    }
}
