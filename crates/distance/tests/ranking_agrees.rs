//! Instruction sets rank alike: where two candidates change places between the scalar kernels and
//! another set, their exact distances differ by less than the error bound.

mod common;

use cairn_distance::reference::{distance, error_bound};
use cairn_distance::{Kernels, Metric, Simd, normalise};
use common::{Random, kernels, samples};

const ROWS: usize = 500;
const K: usize = 20;

#[test]
fn nearest_of_random_vectors() {
    let mut random = Random::new("nearest_of_random_vectors");
    for dim in [16, 100, 128, 784] {
        let mut base: Vec<f32> = samples(&mut random, ROWS * dim);
        for row in base.chunks_exact_mut(dim) {
            normalise(row).expect("not zero");
        }
        let (query, base) = base.split_at(dim);
        for metric in Metric::ALL {
            let scalar = Kernels::with_simd(metric, Simd::Scalar).expect("always there");
            let expected = nearest(&scalar, query, base, dim);
            let exact = |row: usize| distance(metric, query, &base[row * dim..][..dim]);
            for kernels in kernels::<f32>(metric) {
                for (&got, &want) in nearest(&kernels, query, base, dim).iter().zip(&expected) {
                    let (got, want) = (exact(got), exact(want));
                    let bound = error_bound::<f32>(metric, dim, got)
                        + error_bound::<f32>(metric, dim, want);
                    assert!((got.distance - want.distance).abs() <= bound, "{kernels:?}");
                }
            }
        }
    }
}

fn nearest(kernels: &Kernels<f32>, query: &[f32], base: &[f32], dim: usize) -> Vec<usize> {
    let mut distances = vec![0.0; base.len() / dim];
    kernels.block(query, base, dim, &mut distances);
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&x, &y| distances[x].total_cmp(&distances[y]).then(x.cmp(&y)));
    order.truncate(K);
    order
}
