//! A rotation keeps lengths and angles, can be undone, spreads any vector evenly, and is the same
//! on every processor for good.

mod common;

use cairn_quantize::{Isa, Rotation};
use common::Random;

const DIMS: [usize; 12] = [1, 2, 31, 64, 65, 100, 128, 192, 300, 784, 960, 1536];

fn rotated(rotation: &Rotation, vector: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; rotation.padded_dim()];
    rotation.rotate(vector, &mut out);
    out
}

fn length(vector: &[f32]) -> f64 {
    vector
        .iter()
        .map(|&x| f64::from(x).powi(2))
        .sum::<f64>()
        .sqrt()
}

#[test]
fn dims_are_padded_to_64_and_not_to_a_power_of_two() {
    for (dim, padded) in [(1, 64), (64, 64), (65, 128), (784, 832), (1536, 1536)] {
        assert_eq!(Rotation::new(dim, 0).padded_dim(), padded);
    }
}

#[test]
fn the_images_of_the_axes_are_orthogonal() {
    for dim in [31, 100, 192, 300] {
        let rotation = Rotation::new(dim, 9);
        let axes: Vec<Vec<f32>> = (0..dim)
            .map(|axis| {
                let mut vector = vec![0.0; dim];
                vector[axis] = 1.0;
                rotated(&rotation, &vector)
            })
            .collect();
        for (a, x) in axes.iter().enumerate() {
            for (b, y) in axes.iter().enumerate().take(a + 1) {
                let pairs = x.iter().zip(y);
                let product: f64 = pairs.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
                let expected = f64::from(u8::from(a == b));
                assert!((product - expected).abs() < 2e-6, "{dim} {a} {b} {product}");
            }
        }
    }
}

#[test]
fn lengths_stay_and_the_way_back_leads_back() {
    let mut random = Random::new(1);
    for dim in DIMS {
        for scale in [1e-15f32, 1.0, 1e15] {
            let rotation = Rotation::new(dim, random.bits());
            let vector: Vec<f32> = random.vector(dim).iter().map(|x| x * scale).collect();
            let mut there = rotated(&rotation, &vector);
            let ratio = length(&there) / length(&vector);
            assert!((ratio - 1.0).abs() < 1e-5, "dim={dim} ratio={ratio}");
            rotation.unrotate(&mut there);
            let off: Vec<f32> = there[..dim]
                .iter()
                .zip(&vector)
                .map(|(x, y)| x - y)
                .collect();
            assert!(length(&off) < 1e-5 * length(&vector), "dim={dim}");
            assert!(length(&there[dim..]) < 1e-5 * length(&vector), "dim={dim}");
        }
    }
}

/// What codes need of a rotation: no component of the result stands out, however lopsided the
/// vector was. A normal distribution has a fourth moment of 3; a single spike has one of `n`.
#[test]
fn any_vector_is_spread_evenly() {
    for dim in [100, 300, 784, 960, 1536] {
        let mut worst = 0.0f64;
        for seed in 0..20 {
            let rotation = Rotation::new(dim, seed);
            let mut inputs = vec![vec![1.0; dim]];
            for axis in [0, dim / 3, dim - 1] {
                let mut spike = vec![0.0; dim];
                spike[axis] = 1.0;
                inputs.push(spike);
            }
            for input in inputs {
                let out = rotated(&rotation, &input);
                let n = out.len() as f64;
                let second: f64 = out.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
                let fourth: f64 = out.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / n;
                worst = worst.max(fourth / (second * second));
            }
        }
        println!("dim={dim} fourth moment at most {worst:.2}");
        assert!(worst < 6.0, "dim={dim} {worst}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut random = Random::new(2);
    for dim in DIMS {
        let vector = random.vector(dim);
        let mut all = Isa::available()
            .into_iter()
            .map(|isa| rotated(&Rotation::with_isa(dim, 5, isa), &vector));
        let first = all.next().expect("scalar at least");
        assert!(all.all(|other| other == first), "dim={dim}");
    }
}

/// Codes on disk are only readable as long as a seed stands for the same rotation.
#[test]
fn a_seed_stands_for_the_same_rotation_for_good() {
    let mut sum = 0xcbf2_9ce4_8422_2325u64; // FNV-1a
    for dim in [40, 100, 784] {
        let vector: Vec<f32> = (0..dim).map(|at| (at * at % 17) as f32 - 8.0).collect();
        for x in rotated(&Rotation::new(dim, 42), &vector) {
            for byte in x.to_bits().to_le_bytes() {
                sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    assert_eq!(sum, 0x169d_f845_1fc7_7d36, "{sum:#x}");
}
