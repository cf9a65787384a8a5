//! `one_bounded` may stop early, but never lies: a result within the bound has the very bits of
//! `one`, and a result above the bound appears only if the distance is above it too.

mod common;

use cairn_distance::{Metric, f16};
use common::{Random, Sample, kernels, samples};

#[test]
fn any_bound() {
    let mut random = Random::new("any_bound");
    any_bound_of::<f32>(&mut random);
    any_bound_of::<f16>(&mut random);
    any_bound_of::<i8>(&mut random);
}

fn any_bound_of<T: Sample>(random: &mut Random) {
    let dims = (1..=300)
        .chain((304..=1600).step_by(16))
        .chain([2048, 4095, 4096]);
    for dim in dims {
        let a: Vec<T> = samples(random, dim);
        let b: Vec<T> = samples(random, dim);
        for metric in Metric::ALL {
            for kernels in kernels::<T>(metric) {
                let distance = kernels.one(&a, &b);
                let below = distance - distance.abs() * random.unit().abs() - 1e-3;
                let above = distance + distance.abs() * random.unit().abs();
                let infinite = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
                for bound in [below, distance.next_down(), distance, above, 0.0]
                    .into_iter()
                    .chain(infinite)
                {
                    let bounded = kernels.one_bounded(&a, &b, bound);
                    let place = format!("{} {metric} {} dim={dim}", T::NAME, kernels.simd());
                    if distance > bound {
                        assert!(
                            bounded > bound,
                            "{place}: {bounded} for {distance} > {bound}"
                        );
                        assert!(bounded <= distance, "{place}: not a lower bound");
                    } else {
                        assert_eq!(bounded.to_bits(), distance.to_bits(), "{place}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_partial_sum_equal_to_the_bound_goes_on() {
    // The sum over the first n components is n: some look falls on each of these bounds.
    let (a, b) = (vec![0.0f32; 2048], vec![1.0f32; 2048]);
    for metric in [Metric::L2, Metric::L1] {
        for kernels in kernels::<f32>(metric) {
            for bound in (16..2048).step_by(16) {
                let bound = bound as f32;
                assert!(
                    kernels.one_bounded(&a, &b, bound) > bound,
                    "{} {bound}",
                    kernels.simd()
                );
            }
        }
    }
}

#[test]
fn far_vectors_stop_early() {
    let (a, b) = (vec![0.0f32; 4096], vec![1.0f32; 4096]);
    for metric in [Metric::L2, Metric::L1] {
        for kernels in kernels::<f32>(metric) {
            let bounded = kernels.one_bounded(&a, &b, 300.0);
            assert!(
                bounded > 300.0 && bounded <= 1024.0,
                "{} read {bounded}",
                kernels.simd()
            );
        }
    }
}
