//! Random numbers: ids, log generations and graph levels, and what encryption draws (keys, salts).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers.
pub trait Entropy: Send + Sync + 'static {
    /// The next 64 bits. Nothing secret may be made of them.
    fn next_u64(&self) -> u64;

    /// Fills `bytes` with numbers that are fit for keys, where the source has such: the operating
    /// system's has, a simulated one has not and takes them from [`Entropy::next_u64`].
    ///
    /// # Errors
    /// What the system says when it has none.
    fn fill_secret(&self, bytes: &mut [u8]) -> io::Result<()> {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next_u64().to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }
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

/// The operating system's. Plain numbers follow from one seed, drawn through the standard
/// library's hasher keys; secret ones come from the system's generator each time.
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

    fn fill_secret(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::getrandom(bytes).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entropy, OsEntropy, SeededEntropy};

    #[test]
    fn the_systems_secret_numbers_do_not_follow_from_its_plain_ones() {
        // Two sources of one seed: were the secret numbers taken from it, they would agree.
        let one = OsEntropy {
            inner: SeededEntropy::new(5),
        };
        let other = OsEntropy {
            inner: SeededEntropy::new(5),
        };
        let (mut a, mut b) = ([0; 37], [0; 37]);
        one.fill_secret(&mut a).expect("the system has some");
        other.fill_secret(&mut b).expect("the system has some");
        assert_ne!(a, b);
        assert_eq!(one.next_u64(), other.next_u64());
    }

    #[test]
    fn a_simulated_source_repeats_and_fills_every_byte() {
        let fill = |seed| {
            let mut bytes = [0; 13];
            let filled = SeededEntropy::new(seed).fill_secret(&mut bytes);
            filled.expect("always works");
            bytes
        };
        assert_eq!(fill(3), fill(3));
        assert_ne!(fill(3), fill(4));
        assert_ne!(fill(3)[8..], [0; 5]);
    }
}
