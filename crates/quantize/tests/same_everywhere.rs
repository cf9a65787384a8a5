//! Codes are written on one machine and read on another: codes and estimates are the same to the
//! bit on every instruction set.

mod common;

use cairn_distance::Metric;
use cairn_quantize::Isa;
use cairn_quantize::rabitq::{self, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
use common::{PIXELS, Random, images};

const METRICS: [Metric; 3] = [Metric::L2, Metric::Dot, Metric::Cosine];

/// What each instruction set makes of some input is the same, and is had from every set there is.
fn same<T: PartialEq + std::fmt::Debug>(make: impl Fn(Isa) -> T) {
    let all: Vec<(Isa, T)> = Isa::available()
        .into_iter()
        .map(|isa| (isa, make(isa)))
        .collect();
    for (isa, made) in &all {
        assert!(*made == all[0].1, "{isa} differs from {}", all[0].0);
    }
}

fn inputs() -> Vec<(usize, Vec<f32>)> {
    let mut random = Random::new(1);
    vec![
        (PIXELS, images()[100 * PIXELS..150 * PIXELS].to_vec()),
        (1, random.vector(50)),
        (77, random.vector(50 * 77)),
        (300, random.vector(50 * 300)),
    ]
}

#[test]
fn rabitq_codes_and_estimates() {
    for (dim, rows) in inputs() {
        for metric in METRICS {
            for bits in [1, 3, 8] {
                let config = rabitq::Config {
                    bits,
                    metric,
                    seed: 6,
                };
                same(|isa| {
                    let quantiser = Rabitq::with_isa(rows[..dim].to_vec(), config, isa);
                    let quantiser = quantiser.expect("settings");
                    let query = quantiser.query(&rows[dim..2 * dim]);
                    let one = |row: &[f32]| {
                        let code = quantiser.encode(row);
                        let coarse =
                            query.coarse(&code.planes[..quantiser.plane_words()], code.coarse);
                        let fine = query.fine(&code.planes, code.fine);
                        (code, coarse, fine)
                    };
                    rows.chunks_exact(dim).map(one).collect::<Vec<_>>()
                });
            }
        }
    }
}

#[test]
fn scalar_codes_and_estimates() {
    for (dim, rows) in inputs() {
        for metric in METRICS {
            for bits in [4, 8] {
                let config = scalar::Config { bits, metric };
                same(|isa| {
                    let quantiser = Scalar::with_isa(vec![0.0; dim], config, isa);
                    let quantiser = quantiser.expect("settings");
                    let query = quantiser.query(&rows[dim..2 * dim]);
                    let one = |row: &[f32]| {
                        let code = quantiser.encode(row);
                        let estimate = query.estimate(&code.bytes, code.factors);
                        (code, estimate)
                    };
                    rows.chunks_exact(dim).map(one).collect::<Vec<_>>()
                });
            }
        }
    }
}
