//! The layer that a row reaches.
//!
//! `level = floor(-ln(u) * level_mult)` with `u` uniform in `(0, 1]` (Malkov & Yashunin 2018,
//! algorithm 1, line 4). Difference: `u` comes from a hash of the seed and the row, not from a
//! stream, so a level depends neither on threads nor on the order of inserts, and the room that a
//! graph needs above layer 0 is known before the first insert.

use std::ops::Range;

use super::HnswConfig;

/// Levels above this are cut. With the steepest natural law (`m` 2) one row in 2^32 would pass it.
pub(super) const LEVEL_MAX: u8 = 31;

/// The highest layers of `rows`, in order.
pub(super) fn levels(config: &HnswConfig, rows: Range<u32>) -> Vec<u8> {
    rows.map(|row| level_of(config.seed, row, config.level_mult))
        .collect()
}

/// The highest layer of `row`.
fn level_of(seed: u64, row: u32, level_mult: f64) -> u8 {
    let bits = mix(seed ^ mix(u64::from(row).wrapping_add(1)));
    // 53 bits, shifted by one step away from zero: in (0, 1].
    let uniform = ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let level = (-uniform.ln() * level_mult).floor();
    // `as` saturates, and turns the NaN of no argument that passes validation into zero.
    (level as u8).min(LEVEL_MAX)
}

/// The finaliser of SplitMix64: a bijection whose output bits each depend on all input bits.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
