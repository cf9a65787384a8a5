//! Random numbers. Nothing secret is drawn here: ids, log generations, graph levels.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers.
pub trait Entropy: Send + Sync + 'static {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;
}

/// Numbers that follow from a seed alone (SplitMix64, Steele, Lea & Flood 2014).
#[derive(Debug)]
pub struct SeededEntropy {
    state: AtomicU64,
}

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Seeded once from the operating system, through the standard library's hasher keys.
#[derive(Debug)]
pub struct OsEntropy {
    inner: SeededEntropy,
}

impl OsEntropy {
    /// A fresh, unpredictable sequence.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: SeededEntropy::new(RandomState::new().build_hasher().finish()),
        }
    }
}

impl Default for OsEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for OsEntropy {
    fn next_u64(&self) -> u64 {
        self.inner.next_u64()
    }
}
