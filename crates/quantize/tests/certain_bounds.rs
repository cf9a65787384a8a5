//! The bounds of scalar and product codes are certain: no distance lies outside, on images, on
//! clusters far from 0, and on vectors that stand out.

mod common;

use cairn_distance::Metric;
use cairn_distance::reference::distance;
use cairn_quantize::opq::Opq;
use cairn_quantize::pq::{self, Pq};
use cairn_quantize::scalar::{self, Scalar};
use cairn_quantize::{Estimate, SingleThread};
use common::{PIXELS, Random, Set, clustered, images, small_images};

const METRICS: [Metric; 3] = [Metric::L2, Metric::Dot, Metric::Cosine];

fn inside(estimate: Estimate, query: &[f32], row: &[f32], metric: Metric, what: &str) {
    let exact = distance(metric, query, row).distance;
    let (lower, upper) = (f64::from(estimate.lower()), f64::from(estimate.upper()));
    assert!(
        lower <= exact && exact <= upper,
        "{what} {metric}: {exact} outside of {estimate:?}"
    );
}

/// Clusters as they are, far from 0, and with components of very different size.
fn clusters() -> Vec<Vec<f32>> {
    let mut random = Random::new(1);
    let rows = clustered(90, 260, &mut random);
    let far = rows.iter().map(|x| x + 500.0).collect();
    let uneven = rows
        .iter()
        .enumerate()
        .map(|(at, x)| x * (1.0 + (at % 90) as f32))
        .collect();
    vec![rows, far, uneven]
}

#[test]
fn of_scalar_codes() {
    let sets = clusters().into_iter().map(|rows| (90, rows));
    let pixels = (PIXELS, images()[..200 * PIXELS].to_vec());
    for (dim, rows) in sets.chain([pixels]) {
        for metric in METRICS {
            let set = Set::new(&rows, dim, metric, 40);
            for bits in [4, 8] {
                let config = scalar::Config { bits, metric };
                let quantiser = Scalar::train(&set.base, dim, config).expect("a sample");
                for row in 0..set.rows() {
                    let code = quantiser.encode(set.row(row));
                    for (query, _) in set.queries() {
                        let estimate = quantiser.query(query).estimate(&code.bytes, code.factors);
                        inside(estimate, query, set.row(row), metric, "scalar");
                    }
                }
            }
        }
    }
}

#[test]
fn of_product_codes() {
    for rows in clusters() {
        for metric in METRICS {
            let set = Set::new(&rows, 90, metric, 40);
            // Runs of unequal length: 90 components in 7 parts.
            for (bits, subspaces) in [(4, 7), (4, 90), (8, 3)] {
                let config = pq::Config {
                    subspaces,
                    bits,
                    metric,
                };
                let mut sample = set.base.clone();
                sample.extend(&set.queries);
                let pq = Pq::train(&sample, 90, config, 1, &SingleThread, &()).expect("a sample");
                let opq = Opq::train(&sample, 90, config, 1, &SingleThread, &()).expect("a sample");
                for row in (0..set.rows()).step_by(5) {
                    let code = pq.encode(set.row(row));
                    let turned = opq.encode(set.row(row));
                    for (query, _) in set.queries() {
                        let estimate = pq.query(query).estimate(&code.bytes, code.error);
                        inside(estimate, query, set.row(row), metric, "pq");
                        let mut estimate = opq.query(query).estimate(&turned.bytes, turned.error);
                        // The rotation itself is rounded to `f32`.
                        let sizes = distance(Metric::Dot, query, query).magnitude
                            + distance(Metric::Dot, set.row(row), set.row(row)).magnitude;
                        estimate.error += 1e-5 * sizes as f32;
                        inside(estimate, query, set.row(row), metric, "opq");
                    }
                }
            }
        }
    }
}

/// The worst there is: a query as far behind the decoded vector as the vector is before it.
#[test]
fn of_queries_opposite_of_what_a_code_lost() {
    let mirrored = |row: &[f32], decoded: &[f32]| -> Vec<f32> {
        let pairs = row.iter().zip(decoded);
        pairs.map(|(x, y)| y - (x - y)).collect()
    };
    let rows = clusters().swap_remove(0);
    let metric = Metric::L2;
    let scalar = Scalar::train(&rows, 90, scalar::Config { bits: 4, metric }).expect("a sample");
    let config = pq::Config {
        subspaces: 9,
        bits: 4,
        metric,
    };
    let pq = Pq::train(&rows, 90, config, 1, &SingleThread, &()).expect("a sample");
    for row in rows.chunks_exact(90) {
        let code = scalar.encode(row);
        let query = mirrored(row, &scalar.decode(&code.bytes, code.factors));
        let estimate = scalar.query(&query).estimate(&code.bytes, code.factors);
        inside(estimate, &query, row, metric, "scalar");
        let code = pq.encode(row);
        let query = mirrored(row, &pq.decode(&code.bytes));
        let estimate = pq.query(&query).estimate(&code.bytes, code.error);
        inside(estimate, &query, row, metric, "pq");
    }
}

#[test]
fn a_component_is_off_by_half_a_step_at_most() {
    for rows in clusters() {
        for bits in [4, 8] {
            let config = scalar::Config {
                bits,
                metric: Metric::L2,
            };
            let quantiser = Scalar::train(&rows, 90, config).expect("a sample");
            for row in rows.chunks_exact(90) {
                let code = quantiser.encode(row);
                let decoded = quantiser.decode(&code.bytes, code.factors);
                let (low, step) = (code.factors.offset, code.factors.step);
                let high = low + step * f32::from((1u16 << bits) - 1);
                let centred = row.iter().zip(quantiser.centre());
                for ((x, c), decoded) in centred.zip(decoded) {
                    // What lies outside of a range that was narrowed is off by as much as it lies
                    // outside.
                    let outside = (low - (x - c)).max((x - c) - high).max(0.0);
                    let off = (x - decoded).abs();
                    assert!(
                        off <= 0.501 * step + outside + 1e-6 * x.abs(),
                        "{bits}: {off} {step}"
                    );
                }
            }
        }
    }
}

/// Why there is one scale for each vector, and how the centre is chosen.
#[test]
fn images_of_256_levels_lose_nothing_in_eight_bits() {
    let config = scalar::Config {
        bits: 8,
        metric: Metric::L2,
    };
    let rows = &images()[..500 * PIXELS];
    let quantiser = Scalar::train(rows, PIXELS, config).expect("a sample");
    assert!(
        quantiser.centre().iter().all(|&x| x == 0.0),
        "images are on a grid"
    );
    let mut exact = 0;
    for row in rows.chunks_exact(PIXELS) {
        let code = quantiser.encode(row);
        assert!(code.factors.error < 0.02, "{:?}", code.factors);
        exact += usize::from(code.factors.error < 1e-5);
    }
    assert!(exact > 400, "{exact} of 500 have black and white in them");
    let far: Vec<f32> = clusters().swap_remove(1);
    let quantiser = Scalar::train(&far, 90, config).expect("a sample");
    assert!(
        quantiser.centre()[0] > 400.0,
        "what all share is taken away"
    );
}

/// The other design, for comparison: one range for each dimension, learnt from the sample.
#[test]
fn a_scale_for_each_vector_errs_less_than_one_for_each_dimension() {
    let sets = [
        (196, small_images()[..600 * 196].to_vec()),
        (90, clusters().swap_remove(0)),
    ];
    for (dim, rows) in sets {
        for bits in [4, 8] {
            let config = scalar::Config {
                bits,
                metric: Metric::L2,
            };
            let (sample, fresh) = rows.split_at(rows.len() / dim / 2 * dim);
            let quantiser = Scalar::train(sample, dim, config).expect("a sample");
            let codes = fresh.chunks_exact(dim).map(|row| quantiser.encode(row));
            let ours: f64 = codes
                .map(|code| f64::from(code.factors.error).powi(2))
                .sum();
            let mut theirs = 0.0;
            for at in 0..dim {
                let column = || sample.chunks_exact(dim).map(|row| row[at]);
                let (low, high) = (
                    column().fold(f32::MAX, f32::min),
                    column().fold(f32::MIN, f32::max),
                );
                let top = f32::from((1u16 << bits) - 1);
                let step = ((high - low) / top).max(f32::MIN_POSITIVE);
                for row in fresh.chunks_exact(dim) {
                    let level = ((row[at] - low) / step).round().clamp(0.0, top);
                    theirs += f64::from(row[at] - (low + level * step)).powi(2);
                }
            }
            println!(
                "dim={dim} {bits} bits: for each vector {ours:.4}, for each dimension {theirs:.4}"
            );
            assert!(ours < theirs, "dim={dim} {bits} bits");
        }
    }
}
