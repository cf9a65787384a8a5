//! RaBitQ estimates are unbiased and keep to their bound as often as is stated, for every metric
//! and number of bits, on images and on clusters.

mod common;

use cairn_distance::Metric;
use cairn_quantize::Estimate;
use cairn_quantize::rabitq::{BITS_MAX, Base, Code, Config, Origin, Rabitq};
use common::{PIXELS, Random, Set, clustered, images};

const METRICS: [Metric; 3] = [Metric::L2, Metric::Dot, Metric::Cosine];

/// What was seen over many pairs.
#[derive(Default)]
struct Seen {
    pairs: f64,
    outside: f64,
    below: f64,
    /// Errors in units of the bound.
    sum: f64,
}

impl Seen {
    fn take(&mut self, estimate: Estimate, exact: f32) {
        let error = f64::from(estimate.distance) - f64::from(exact);
        let bound = f64::from(estimate.error);
        self.pairs += 1.0;
        self.outside += f64::from(u8::from(error.abs() > bound));
        self.below += f64::from(u8::from(exact < estimate.lower()));
        self.sum += error / bound;
    }

    fn check(&self, what: &str) {
        let outside = self.outside / self.pairs;
        let below = self.below / self.pairs;
        let mean = self.sum / self.pairs;
        println!("{what}: {outside:.4} outside, {below:.4} below, mean error {mean:+.4} bounds");
        // 1.9 deviations of a normal distribution: 5.7 in 100 outside, 2.9 on a side.
        assert!(outside < 0.065, "{what}: {outside} outside of the bound");
        assert!(below < 0.04, "{what}: {below} below the lower bound");
        // A deviation is 1 / 1.9 bounds. Pairs share rows and queries, so their errors go together.
        assert!(mean.abs() < 0.05, "{what}: biased by {mean} bounds");
    }
}

fn quantiser(set: &Set, bits: u8, seed: u64) -> Rabitq {
    let config = Config {
        bits,
        metric: set.metric,
        seed,
    };
    Rabitq::train(&set.base, set.dim, config).expect("a sample")
}

/// Both stages over all pairs, each rotation with a part of the rows.
fn check(set: &Set, bits: u8, what: &str) {
    let (mut coarse, mut fine) = (Seen::default(), Seen::default());
    for seed in 0..8 {
        let quantiser = quantiser(set, bits, seed);
        let rows: Vec<usize> = (0..set.rows())
            .filter(|row| row % 8 == seed as usize)
            .collect();
        let codes: Vec<Code> = rows
            .iter()
            .map(|&row| quantiser.encode(set.row(row)))
            .collect();
        for (query, exact) in set.queries() {
            let query = quantiser.query(query);
            for (&row, code) in rows.iter().zip(&codes) {
                let signs = &code.planes[..quantiser.plane_words()];
                coarse.take(query.coarse(signs, code.coarse), exact[row]);
                fine.take(query.fine(&code.planes, code.fine), exact[row]);
            }
        }
    }
    coarse.check(&format!("{what} {} {bits} bits, signs", set.metric));
    fine.check(&format!("{what} {} {bits} bits, all", set.metric));
}

#[test]
fn on_images() {
    let some = &images()[..900 * PIXELS];
    for metric in METRICS {
        let set = Set::new(some, PIXELS, metric, 100);
        for bits in [1, 2, 4, 8] {
            check(&set, bits, "images");
        }
    }
}

#[test]
fn on_clusters_of_few_components() {
    let mut random = Random::new(3);
    let rows = clustered(100, 900, &mut random);
    for metric in METRICS {
        let set = Set::new(&rows, 100, metric, 100);
        for bits in 1..=BITS_MAX {
            check(&set, bits, "clusters");
        }
    }
}

#[test]
fn each_bit_halves_the_bound() {
    let set = Set::new(&images()[..220 * PIXELS], PIXELS, Metric::L2, 20);
    let mut last = f32::INFINITY;
    for bits in 1..=BITS_MAX {
        let quantiser = quantiser(&set, bits, 1);
        let errors = (0..set.rows()).map(|row| quantiser.encode(set.row(row)).fine.error);
        let mean = errors.sum::<f32>() / set.rows() as f32;
        println!("{bits} bits: error {mean:.4}");
        assert!(mean < 0.62 * last, "{bits} bits: {mean} after {last}");
        last = mean;
    }
}

#[test]
fn codes_around_another_origin_serve_the_same_query() {
    let set = Set::new(&images()[..500 * PIXELS], PIXELS, Metric::L2, 100);
    for metric in METRICS {
        let config = Config {
            bits: 2,
            metric,
            seed: 4,
        };
        let set = Set::new(&set.base, PIXELS, metric, 100);
        let quantiser = Rabitq::train(&set.base, PIXELS, config).expect("a sample");
        let mut encoder = quantiser.encoder();
        let mut code = Code::default();
        let mut seen = Seen::default();
        for at in 0..set.rows() / 10 {
            let vertex = set.row(10 * at);
            let origin = Origin::new(&quantiser, vertex);
            for row in 10 * at + 1..10 * at + 10 {
                encoder.encode_around(set.row(row), &origin, &mut code);
                for (query, exact) in set.queries() {
                    let pairs = query.iter().zip(vertex);
                    let square: f32 = pairs.map(|(x, y)| (x - y) * (x - y)).sum();
                    let base = match metric {
                        Metric::L2 => Base::l2(square),
                        _ => Base {
                            add: exact[10 * at],
                            norm: square.sqrt(),
                        },
                    };
                    let query = quantiser.query(query);
                    let product = query.fine_product(&code.planes);
                    let estimate = code.fine.estimate(base, product, 0.0);
                    seen.take(estimate, exact[row]);
                }
            }
        }
        seen.check(&format!("around a vertex, {metric}"));
    }
}

#[test]
fn a_vector_at_its_centre_is_as_far_as_the_centre() {
    let centre = vec![0.5f32; 70];
    let config = Config {
        bits: 4,
        metric: Metric::L2,
        seed: 1,
    };
    let quantiser = Rabitq::new(centre.clone(), config).expect("settings");
    let code = quantiser.encode(&centre);
    let query = quantiser.query(&[1.5; 70]);
    for estimate in [
        query.coarse(&code.planes[..quantiser.plane_words()], code.coarse),
        query.fine(&code.planes, code.fine),
    ] {
        assert!((estimate.distance - 70.0).abs() < 1e-3, "{estimate:?}");
        assert!(estimate.error < 1e-3, "{estimate:?}");
    }
    let itself = quantiser.query(&centre).fine(&code.planes, code.fine);
    assert_eq!((itself.distance, itself.error), (0.0, 0.0));
}

#[test]
fn numbers_that_overflow_exclude_nothing() {
    let config = Config {
        bits: 2,
        metric: Metric::L2,
        seed: 1,
    };
    let quantiser = Rabitq::new(vec![0.0; 64], config).expect("settings");
    let code = quantiser.encode(&[1e25; 64]);
    for query in [[-1e25; 64], [0.0; 64], [3e25; 64]] {
        let query = quantiser.query(&query);
        let lower = query.fine(&code.planes, code.fine).lower();
        assert!(!lower.is_nan());
    }
}

#[test]
fn what_is_decoded_lies_where_the_estimates_say() {
    let set = Set::new(&images()[..60 * PIXELS], PIXELS, Metric::L2, 10);
    for (bits, share) in [(1, 0.80), (2, 0.40), (4, 0.14), (8, 0.014)] {
        let quantiser = quantiser(&set, bits, 3);
        for row in 0..set.rows() {
            let decoded = quantiser.decode(&quantiser.encode(set.row(row)));
            let distance = |a: &[f32], b: &[f32]| -> f32 {
                let pairs = a.iter().zip(b);
                pairs.map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt()
            };
            let length = distance(set.row(row), &mean(&set));
            let off = distance(&decoded, set.row(row)) / length;
            assert!(off < share, "{bits} bits: {off}");
        }
    }
}

fn mean(set: &Set) -> Vec<f32> {
    let mut mean = vec![0.0; set.dim];
    for row in set.base.chunks_exact(set.dim) {
        for (sum, x) in mean.iter_mut().zip(row) {
            *sum += x / set.rows() as f32;
        }
    }
    mean
}
