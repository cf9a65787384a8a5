//! `normalise` gives unit length to every vector that has a direction, from the smallest denormal
//! to the largest number, keeps the direction, and leaves the others alone.

mod common;

use cairn_distance::{Kernels, Metric, ZeroNorm, normalise};
use common::{Random, samples};

fn norm(vector: &[f32]) -> f64 {
    vector
        .iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum::<f64>()
        .sqrt()
}

#[test]
fn any_magnitude() {
    let mut random = Random::new("any_magnitude");
    for exponent in (-149..=120).step_by(3) {
        for dim in [1, 3, 8, 9, 100, 784] {
            let mut vector: Vec<f32> = samples(&mut random, dim);
            for x in &mut vector {
                *x = (f64::from(*x) * 2f64.powi(exponent)) as f32;
            }
            let before = vector.clone();
            let length = norm(&before);
            match normalise(&mut vector) {
                Ok(given) => {
                    // Half of the last place, which for denormals is 2^-150.
                    let half = (length * 2f64.powi(-24)).max(2f64.powi(-150));
                    assert!(
                        (f64::from(given) - length).abs() <= 1.01 * half,
                        "{exponent} {dim}"
                    );
                    assert!(
                        (norm(&vector) - 1.0).abs() <= 2f64.powi(-23),
                        "{exponent} {dim}"
                    );
                    for (&x, &was) in vector.iter().zip(&before) {
                        let expected = f64::from(was) / length;
                        assert!((f64::from(x) - expected).abs() <= 2f64.powi(-24));
                    }
                }
                Err(ZeroNorm) => assert_eq!(length, 0.0, "{exponent} {dim}"),
            }
        }
    }
}

#[test]
fn the_largest_and_the_smallest() {
    let mut huge = vec![f32::MAX; 65_536];
    assert_eq!(normalise(&mut huge), Ok(f32::MAX));
    assert_eq!(huge, vec![1.0 / 256.0; 65_536]);

    let mut tiny = [0.0, f32::from_bits(1), 0.0];
    assert_eq!(normalise(&mut tiny), Ok(f32::from_bits(1)));
    assert_eq!(tiny, [0.0, 1.0, 0.0]);
}

#[test]
fn vectors_without_direction_are_refused_and_unchanged() {
    assert_eq!(normalise(&mut []), Err(ZeroNorm));
    for bad in [0.0, -0.0] {
        assert_eq!(normalise(&mut [bad; 9]), Err(ZeroNorm));
    }
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let mut vector = [1.0, bad, 2.0];
        assert_eq!(normalise(&mut vector), Err(ZeroNorm));
        assert_eq!(vector.map(f32::to_bits), [1.0, bad, 2.0].map(f32::to_bits));
    }
}

#[test]
fn cosine_of_normalised_vectors_is_the_cosine() {
    let mut random = Random::new("cosine_of_normalised_vectors_is_the_cosine");
    let cosine = Kernels::new(Metric::Cosine);
    for dim in [1, 2, 16, 100, 784, 4096] {
        let mut vector: Vec<f32> = samples(&mut random, dim);
        normalise(&mut vector).unwrap();
        let opposite: Vec<f32> = vector.iter().map(|x| -x).collect();
        assert!(cosine.one(&vector, &vector) <= 1e-6);
        assert!(cosine.one(&vector, &opposite) >= 2.0 - 1e-6);
    }
}
