//! What the tests share: seeded numbers, and the list of kernels to try.

#![allow(dead_code, reason = "each test file uses a part")]

use cairn_distance::{Element, Kernels, Metric, Simd, f16};

/// SplitMix64: small, seeded, good enough for test data.
pub struct Random(u64);

impl Random {
    /// Seeded from `CAIRN_SEED`, else a constant; prints the seed, which the harness shows on
    /// failure.
    pub fn new(topic: &str) -> Self {
        let seed = std::env::var("CAIRN_SEED").ok();
        let seed = seed.map_or(20_261_121, |seed| {
            seed.parse().expect("CAIRN_SEED is a number")
        });
        println!("{topic}: CAIRN_SEED={seed}");
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn index(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// In `[-1, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// An element type that test data can be made of.
pub trait Sample: Element {
    fn sample(random: &mut Random) -> Self;
}

impl Sample for f32 {
    /// Magnitudes spread over eight powers of two, so that sums do round.
    fn sample(random: &mut Random) -> Self {
        let exponent = random.index(8) as i32 - 4;
        random.unit() * 2f32.powi(exponent)
    }
}

impl Sample for f16 {
    fn sample(random: &mut Random) -> Self {
        f16::from_f32(f32::sample(random))
    }
}

impl Sample for i8 {
    /// All values, the extremes often.
    fn sample(random: &mut Random) -> Self {
        match random.index(16) {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => random.bits() as i8,
        }
    }
}

pub fn samples<T: Sample>(random: &mut Random, count: usize) -> Vec<T> {
    (0..count).map(|_| T::sample(random)).collect()
}

/// All kernels of one metric that this machine can run.
pub fn kernels<T: Element>(metric: Metric) -> Vec<Kernels<T>> {
    let all = Simd::available().iter();
    all.map(|&simd| Kernels::with_simd(metric, simd).expect("available"))
        .collect()
}

/// Whether `computed` is an acceptable `f32` for a number within `bound` of `exact`: inside the
/// bound, or infinite where a number inside the bound overflows. Never NaN.
pub fn accepts(computed: f32, exact: f64, bound: f64) -> bool {
    if computed.is_infinite() {
        let reach = exact * f64::from(computed.signum()) + bound;
        return reach >= f64::from(f32::MAX);
    }
    (f64::from(computed) - exact).abs() <= bound
}
