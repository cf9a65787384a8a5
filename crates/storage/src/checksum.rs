//! CRC-32C (Castagnoli): the one checksum of every format of this crate. And a CRC of 64 bits, by
//! which the engine tells contents apart.
//!
//! It finds every error burst of up to 32 bits and every 1, 2 or 3 flipped bits in blocks of the
//! sizes used here, and the processor computes it at memory speed. It is no defence against
//! somebody who can rewrite the checksum too, so every decoder also bounds what it reads. Fuzzing tests
//! that: there every checksum is zero, so that what it changes gets past them.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC-32C of `bytes`.
///
/// # Examples
/// ```
/// assert_eq!(cairn_storage::crc32c(b"123456789"), 0xe306_9283);
/// ```
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) {
        return 0;
    }
    crc_fast::crc32_iscsi(bytes)
}

/// A CRC-32C computed piece by piece.
///
/// # Examples
/// ```
/// let mut crc = cairn_storage::Crc32c::new();
/// crc.update(b"12345");
/// crc.update(b"6789");
/// assert_eq!(crc.finish(), cairn_storage::crc32c(b"123456789"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Crc32c {
    digest: Digest,
}

impl Crc32c {
    /// The checksum of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            digest: Digest::new(CrcAlgorithm::Crc32Iscsi),
        }
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        if !cfg!(fuzzing) {
            self.digest.update(bytes);
        }
    }

    /// The checksum of all bytes added so far.
    #[must_use]
    pub fn finish(&self) -> u32 {
        if cfg!(fuzzing) {
            return 0;
        }
        u32::try_from(self.digest.finalize()).expect("a CRC-32 has 32 bits")
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

/// A CRC-64/NVME computed piece by piece: tells one content from another where a chance of one in
/// four thousand million is too much. No defence against somebody who looks for two that agree.
///
/// # Examples
/// ```
/// let mut crc = cairn_storage::Crc64::new();
/// crc.update(b"12345");
/// crc.update(b"6789");
/// assert_eq!(crc.finish(), 0xae8b_1486_0a79_9888);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Crc64 {
    digest: Digest,
}

impl Crc64 {
    /// The checksum of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            digest: Digest::new(CrcAlgorithm::Crc64Nvme),
        }
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The checksum of all bytes added so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.digest.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}
