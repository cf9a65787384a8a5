//! Codebooks as bytes.
//!
//! | offset | bytes                 | field                                                      |
//! |-------:|----------------------:|------------------------------------------------------------|
//! |      0 |                     8 | `CRNPROD1`                                                 |
//! |      8 |                     1 | bits, 4 or 8                                               |
//! |      9 |                     1 | metric: 0 cosine, 1 l2, 2 dot                              |
//! |     10 |                     2 | zero                                                       |
//! |     12 |                     4 | `dim`                                                      |
//! |     16 |                     4 | subspaces                                                  |
//! |     20 | 4 `dim` * 2^bits      | for each subspace `[2^bits, components]`, IEEE 754 binary32 |
//!
//! A reader refuses every other length, a setting out of range and a component that is not finite.
//! It takes no more memory than the input.

use super::{Config, Pq};
use crate::FormatError;
use crate::bytes::{Reader, Writer, metric_code, read_metric};

const MAGIC: [u8; 8] = *b"CRNPROD1";

impl Pq {
    /// The quantiser as bytes, laid out as the documentation of `pq/format.rs` says.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let metric = metric_code(self.config.metric).expect("checked when it was made");
        let mut writer = Writer::new(MAGIC, 12 + 4 * self.codebooks.len());
        for byte in [self.config.bits, metric, 0, 0] {
            writer.u8(byte);
        }
        writer.u32(self.dim);
        writer.u32(self.config.subspaces);
        writer.floats(&self.codebooks);
        writer.finish()
    }

    /// Reads what [`Pq::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`FormatError`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, MAGIC)?;
        let bits = reader.u8()?;
        let metric = read_metric(&mut reader)?;
        reader.zeros(2)?;
        let dim = reader.u32()?;
        let subspaces = reader.u32()?;
        let config = Config {
            subspaces,
            bits,
            metric,
        };
        config.check(dim)?;
        let codebooks = reader.floats(dim * config.centroids())?;
        reader.finish()?;
        Ok(Self::from_parts(config, dim, codebooks))
    }
}
