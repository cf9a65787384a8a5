//! How many of the ten nearest images are among the candidates of each quantiser. The floors are
//! what was measured, less a margin for other seeds; a change that falls below one has broken
//! something.

mod common;

use cairn_distance::Metric;
use cairn_quantize::fastscan::{BlockEstimates, BlockFactors, Blocks, Lut, ROWS, estimates, sums};
use cairn_quantize::opq::Opq;
use cairn_quantize::pq::{self, Pq};
use cairn_quantize::rabitq::{self, Code, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
use cairn_quantize::{Isa, SingleThread};
use common::{PIXELS, Random, Set, images, small_images};

const QUERIES: usize = 100;

fn rabitq(metric: Metric, bits: u8, floors: &[(usize, f64)], coarse_floors: &[(usize, f64)]) {
    let set = Set::new(images(), PIXELS, metric, QUERIES);
    let config = rabitq::Config {
        bits,
        metric,
        seed: 1,
    };
    let quantiser = Rabitq::train(&set.base, PIXELS, config).expect("a sample");
    let codes: Vec<Code> = (0..set.rows())
        .map(|row| quantiser.encode(set.row(row)))
        .collect();
    for &(candidates, floor) in floors {
        let recall = set.recall(candidates, |query| {
            let query = quantiser.query(query);
            let distance = |code: &Code| query.fine(&code.planes, code.fine).distance;
            codes.iter().map(distance).collect()
        });
        assert!(
            recall >= floor,
            "{metric} {bits} bits, {candidates}: {recall}"
        );
    }
    for &(candidates, floor) in coarse_floors {
        let words = quantiser.plane_words();
        let recall = set.recall(candidates, |query| {
            let query = quantiser.query(query);
            let distance = |code: &Code| query.coarse(&code.planes[..words], code.coarse).distance;
            codes.iter().map(distance).collect()
        });
        assert!(recall >= floor, "{metric} signs, {candidates}: {recall}");
    }
}

#[test]
fn rabitq_of_one_bit() {
    rabitq(
        Metric::L2,
        1,
        &[(10, 0.70), (20, 0.9), (30, 0.98)],
        &[(30, 0.98)],
    );
}

#[test]
fn rabitq_of_two_bits() {
    rabitq(Metric::Dot, 2, &[(20, 0.95), (50, 0.99)], &[]);
}

#[test]
fn rabitq_of_four_bits() {
    rabitq(Metric::Cosine, 4, &[(10, 0.90), (20, 0.99)], &[]);
}

#[test]
fn rabitq_of_eight_bits() {
    rabitq(Metric::L2, 8, &[(10, 0.985), (12, 0.995)], &[]);
}

#[test]
fn fastscan_of_signs_finds_what_rows_alone_find() {
    let set = Set::new(images(), PIXELS, Metric::L2, QUERIES);
    let config = rabitq::Config {
        bits: 1,
        metric: Metric::L2,
        seed: 1,
    };
    let quantiser = Rabitq::train(&set.base, PIXELS, config).expect("a sample");
    let mut blocks = Blocks::new(16 * quantiser.plane_words());
    let mut factors = vec![BlockFactors::default(); set.rows().div_ceil(ROWS)];
    for row in 0..set.rows() {
        let code = quantiser.encode(set.row(row));
        blocks.push_signs(&code.planes);
        factors[row / ROWS].set(row % ROWS, code.coarse);
    }
    let (mut missed, mut asked) = (0, 0);
    let recall = set.recall(100, |query| {
        let query = quantiser.query(query);
        let mut lut = Lut::new();
        lut.fill_signs(query.rotated());
        let mut all = Vec::new();
        for (block, factors) in factors.iter().enumerate() {
            let mut out = BlockEstimates::default();
            estimates(
                Isa::active(),
                &lut,
                query.base(),
                blocks.block(block),
                factors,
                &mut out,
            );
            all.extend(out.distance);
        }
        all.truncate(set.rows());
        all
    });
    assert!(recall >= 0.99, "{recall}");
    // The lower bounds are passed over by as few as is stated.
    for (query, exact) in set.queries() {
        let query = quantiser.query(query);
        let mut lut = Lut::new();
        lut.fill_signs(query.rotated());
        for (block, factors) in factors.iter().enumerate() {
            let mut out = BlockEstimates::default();
            estimates(
                Isa::active(),
                &lut,
                query.base(),
                blocks.block(block),
                factors,
                &mut out,
            );
            for (exact, lower) in exact[block * ROWS..].iter().zip(out.lower) {
                missed += usize::from(*exact < lower);
                asked += 1;
            }
        }
    }
    assert!(
        missed * 100 < asked * 4,
        "{missed} of {asked} below their lower bound"
    );
}

fn scalar(bits: u8, rows: &[f32], dim: usize, metric: Metric, floors: &[(usize, f64)]) {
    let set = Set::new(rows, dim, metric, QUERIES);
    let config = scalar::Config { bits, metric };
    let quantiser = Scalar::train(&set.base, dim, config).expect("a sample");
    let codes: Vec<scalar::Code> = (0..set.rows())
        .map(|row| quantiser.encode(set.row(row)))
        .collect();
    for &(candidates, floor) in floors {
        let recall = set.recall(candidates, |query| {
            let query = quantiser.query(query);
            let distance = |code: &scalar::Code| query.estimate(&code.bytes, code.factors).distance;
            codes.iter().map(distance).collect()
        });
        assert!(
            recall >= floor,
            "{metric} {bits} bits, {candidates}: {recall}"
        );
    }
}

#[test]
fn scalar_of_eight_bits() {
    scalar(8, images(), PIXELS, Metric::L2, &[(10, 0.99), (12, 0.999)]);
    scalar(
        8,
        images(),
        PIXELS,
        Metric::Cosine,
        &[(10, 0.98), (12, 0.99)],
    );
}

#[test]
fn scalar_of_four_bits() {
    scalar(4, images(), PIXELS, Metric::L2, &[(10, 0.90), (20, 0.99)]);
}

fn pq(rows: &[f32], bits: u8, subspaces: usize, floors: &[(usize, f64)]) -> f64 {
    let set = Set::new(rows, 196, Metric::L2, QUERIES);
    let config = pq::Config {
        subspaces,
        bits,
        metric: Metric::L2,
    };
    let sample = &set.base[..3000 * 196];
    let quantiser = Pq::train(sample, 196, config, 1, &SingleThread, &()).expect("a sample");
    let codes: Vec<pq::Code> = (0..set.rows())
        .map(|row| quantiser.encode(set.row(row)))
        .collect();
    for &(candidates, floor) in floors {
        let recall = set.recall(candidates, |query| {
            let query = quantiser.query(query);
            let distance = |code: &pq::Code| query.estimate(&code.bytes, code.error).distance;
            codes.iter().map(distance).collect()
        });
        assert!(
            recall >= floor,
            "pq {subspaces}x{bits}, {candidates}: {recall}"
        );
    }
    codes
        .iter()
        .map(|code| f64::from(code.error).powi(2))
        .sum::<f64>()
        / codes.len() as f64
}

#[test]
fn pq_of_eight_bits() {
    pq(&small_images(), 8, 28, &[(20, 0.9), (50, 0.98)]);
}

#[test]
fn pq_of_four_bits() {
    pq(&small_images(), 4, 49, &[(20, 0.85), (50, 0.97)]);
}

/// Neighbouring pixels depend on each other, and runs of them are what PQ divides an image into.
/// Components of embeddings have no such order.
fn shuffled_images() -> Vec<f32> {
    let mut random = Random::new(8);
    let mut order: Vec<usize> = (0..196).collect();
    for last in (1..196).rev() {
        order.swap(last, random.below(last + 1));
    }
    let rows = small_images();
    let shuffled = rows
        .chunks_exact(196)
        .flat_map(|row| order.iter().map(|&at| row[at]));
    shuffled.collect()
}

#[test]
fn opq_errs_less_than_pq_where_components_have_no_order() {
    let rows = shuffled_images();
    let plain = pq(&rows, 4, 28, &[]);
    let set = Set::new(&rows, 196, Metric::L2, QUERIES);
    let config = pq::Config {
        subspaces: 28,
        bits: 4,
        metric: Metric::L2,
    };
    let sample = &set.base[..3000 * 196];
    let quantiser = Opq::train(sample, 196, config, 1, &SingleThread, &()).expect("a sample");
    let codes: Vec<pq::Code> = (0..set.rows())
        .map(|row| quantiser.encode(set.row(row)))
        .collect();
    let error = codes
        .iter()
        .map(|code| f64::from(code.error).powi(2))
        .sum::<f64>();
    let error = error / codes.len() as f64;
    println!("squared error: pq {plain:.3}, opq {error:.3}");
    assert!(error < 0.9 * plain, "opq {error}, pq {plain}");
    let recall = set.recall(50, |query| {
        let query = quantiser.query(query);
        codes
            .iter()
            .map(|code| query.estimate(&code.bytes, code.error).distance)
            .collect()
    });
    assert!(recall >= 0.95, "{recall}");

    // The same through blocks of 32.
    let mut blocks = Blocks::new(28);
    for code in &codes {
        blocks.push(|group| quantiser.pq().centroid(&code.bytes, group));
    }
    let by_blocks = set.recall(50, |query| {
        let mut lut = Lut::new();
        quantiser.query(query).fill(&mut lut);
        let mut all = Vec::new();
        for block in 0..blocks.block_count() {
            let mut out = [0; ROWS];
            sums(Isa::active(), lut.table(), blocks.block(block), &mut out);
            all.extend(out.map(|sum| lut.value(sum)));
        }
        all.truncate(set.rows());
        all
    });
    assert!(
        by_blocks >= recall - 0.02,
        "{by_blocks} by blocks, {recall} row by row"
    );
}
