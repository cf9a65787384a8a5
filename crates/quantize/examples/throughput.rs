//! Prints how many codes each kernel compares in a second, for every instruction set of this
//! machine.
//!
//! ```text
//! cargo run --release -p cairn-quantize --example throughput -- [dim] [rows]
//! ```
//!
//! `dim` is 784 unless given, `rows` 16,384. One thread; the best of seven passes over all rows,
//! each of at least 20 ms. With few rows the codes stay in the cache, with many they come from
//! memory. What a pass computes is summed up and printed with the figure: it must not depend on the
//! instruction set where the kernel is exact.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, outside the rooms: it reads a clock"
)]

use std::hint::black_box;
use std::time::Instant;

use cairn_distance::Metric;
use cairn_quantize::fastscan::{
    BlockEstimates, BlockFactors, Blocks, Lut, ROWS, below, estimates, sums,
};
use cairn_quantize::rabitq::{self, Code, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
use cairn_quantize::{Isa, Rotation, integer, pq};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        let given = arguments.next();
        given.map_or(default, |text| text.parse().expect("a number"))
    };
    let (dim, rows) = (number(784), number(16_384));
    let data = Data::new(dim, rows);
    println!("dim={dim} rows={rows}");
    println!(
        "{:<24} {:<12} {:>14} {:>10}  sum",
        "kernel", "set", "codes/s", "ns/code"
    );
    for isa in Isa::available() {
        data.measure(isa);
    }
}

/// Vectors, and what the kernels take.
struct Data {
    dim: usize,
    rows: usize,
    vectors: Vec<f32>,
    query: Vec<f32>,
}

impl Data {
    fn new(dim: usize, rows: usize) -> Self {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // The sum of two: neither flat nor with a peak.
            ((state >> 40) as f32 + (state >> 16 & 0xff_ffff) as f32) / (1u64 << 24) as f32 - 1.0
        };
        Self {
            dim,
            rows,
            vectors: (0..dim * rows).map(|_| next()).collect(),
            query: (0..dim).map(|_| next()).collect(),
        }
    }

    fn measure(&self, isa: Isa) {
        let few = self.rows.min(2048);
        let rotation = Rotation::with_isa(self.dim, 1, isa);
        let mut rotated = vec![0.0; rotation.padded_dim()];
        report("rotate", isa, few, || {
            let mut sum = 0.0;
            for row in self.vectors.chunks_exact(self.dim).take(few) {
                rotation.rotate(row, &mut rotated);
                sum += f64::from(rotated[0]);
            }
            sum
        });
        self.rabitq(isa, 1);
        self.rabitq(isa, 8);
        self.scalar(isa, 8);
        self.scalar(isa, 4);
        self.planes(isa);
        self.nibbles(isa);
    }

    fn rabitq(&self, isa: Isa, bits: u8) {
        let config = rabitq::Config {
            bits,
            metric: Metric::L2,
            seed: 1,
        };
        let quantiser = Rabitq::with_isa(vec![0.0; self.dim], config, isa).expect("settings");
        let (mut encoder, mut code) = (quantiser.encoder(), Code::default());
        let few = self.rows.min(2048);
        report(&format!("rabitq{bits} encode"), isa, few, || {
            let mut sum = 0.0;
            for row in self.vectors.chunks_exact(self.dim).take(few) {
                encoder.encode(row, &mut code);
                sum += f64::from(code.fine.add);
            }
            sum
        });
        let (mut planes, mut factors) = (Vec::new(), Vec::new());
        for row in self.vectors.chunks_exact(self.dim) {
            encoder.encode(row, &mut code);
            planes.extend_from_slice(&code.planes);
            factors.push(code.fine);
        }
        let query = quantiser.query(&self.query);
        let words = planes.len() / self.rows;
        report(&format!("rabitq{bits} one row"), isa, self.rows, || {
            let codes = planes.chunks_exact(words).zip(&factors);
            codes
                .map(|(planes, &own)| f64::from(query.fine(planes, own).distance))
                .sum()
        });
        if bits > 1 {
            return;
        }
        let mut blocks = Blocks::new(16 * words);
        let mut block_factors = vec![BlockFactors::default(); self.rows.div_ceil(ROWS)];
        for (row, signs) in planes.chunks_exact(words).enumerate() {
            blocks.push_signs(signs);
            block_factors[row / ROWS].set(row % ROWS, factors[row]);
        }
        let mut lut = Lut::new();
        report("query and table", isa, 200, || {
            for _ in 0..200 {
                let query = quantiser.query(&self.query);
                lut.fill_signs(query.rotated());
            }
            f64::from(lut.step())
        });
        report("fastscan estimates", isa, self.rows, || {
            let mut kept = 0u32;
            let mut out = BlockEstimates::default();
            for (at, factors) in block_factors.iter().enumerate() {
                estimates(isa, &lut, query.base(), blocks.block(at), factors, &mut out);
                kept += below(isa, &out.distance, query.base().add).count_ones();
            }
            f64::from(kept)
        });
        report("fastscan sums", isa, self.rows, || scan(isa, &lut, &blocks));
    }

    fn scalar(&self, isa: Isa, bits: u8) {
        let config = scalar::Config {
            bits,
            metric: Metric::L2,
        };
        let quantiser = Scalar::with_isa(vec![0.0; self.dim], config, isa).expect("settings");
        let few = self.rows.min(2048);
        report(&format!("sq{bits} encode"), isa, few, || {
            let rows = self.vectors.chunks_exact(self.dim).take(few);
            rows.map(|row| f64::from(quantiser.encode(row).factors.step))
                .sum()
        });
        let (mut bytes, mut factors) = (Vec::new(), Vec::new());
        for row in self.vectors.chunks_exact(self.dim) {
            let code = quantiser.encode(row);
            bytes.extend(code.bytes);
            factors.push(code.factors);
        }
        let query = quantiser.query(&self.query);
        let length = quantiser.code_bytes();
        report(&format!("sq{bits} one row"), isa, self.rows, || {
            let codes = bytes.chunks_exact(length).zip(&factors);
            codes
                .map(|(bytes, &own)| f64::from(query.estimate(bytes, own).distance))
                .sum()
        });
    }

    /// Bit planes alone, without factors.
    fn planes(&self, isa: Isa) {
        let words = self.dim.div_ceil(64);
        let planes: Vec<u64> = (0..words * self.rows)
            .map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        let query: Vec<i8> = (0..words * 64)
            .map(|at| (at * 37 % 255) as u8 as i8)
            .collect();
        report("bits x i8", isa, self.rows, || {
            let codes = planes.chunks_exact(words);
            codes
                .map(|plane| f64::from(integer::bits(isa, plane, &query)))
                .sum()
        });
    }

    /// Product codes of four bits, two components to a code.
    fn nibbles(&self, isa: Isa) {
        let subspaces = self.dim.div_ceil(2);
        let mut blocks = Blocks::new(subspaces);
        for row in 0..self.rows {
            blocks.push(|subspace| ((row * 31 + subspace * 17) >> 3) as u8);
        }
        let table: Vec<f32> = (0..16 * subspaces)
            .map(|at| (at * at % 101) as f32)
            .collect();
        let mut lut = Lut::new();
        lut.fill(&table);
        let config = pq::Config {
            subspaces,
            bits: 4,
            metric: Metric::L2,
        };
        report(
            &format!("pq {subspaces}x{}", config.bits),
            isa,
            self.rows,
            || scan(isa, &lut, &blocks),
        );
    }
}

fn scan(isa: Isa, lut: &Lut, blocks: &Blocks) -> f64 {
    let (mut total, mut out) = (0u64, [0; ROWS]);
    for at in 0..blocks.block_count() {
        sums(isa, lut.table(), blocks.block(at), &mut out);
        total += u64::from(out[at % ROWS]);
    }
    total as f64
}

/// Runs `pass`, which handles `codes` codes, and prints the best rate of seven.
fn report(kernel: &str, isa: Isa, codes: usize, mut pass: impl FnMut() -> f64) {
    let sum = pass();
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let (start, mut passes) = (Instant::now(), 0u32);
        while passes == 0 || start.elapsed().as_millis() < 20 {
            black_box(pass());
            passes += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(passes));
    }
    let each = best / codes as f64;
    println!(
        "{kernel:<24} {:<12} {:>14.0} {:>10.2}  {sum:.6e}",
        isa.to_string(),
        1.0 / each,
        each * 1e9
    );
}
