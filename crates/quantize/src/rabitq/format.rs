//! A quantiser as bytes.
//!
//! | offset | bytes   | field                          |
//! |-------:|--------:|--------------------------------|
//! |      0 |       8 | `CRNRABQ1`                     |
//! |      8 |       1 | bits, 1 to 8                   |
//! |      9 |       1 | metric: 0 cosine, 1 l2, 2 dot  |
//! |     10 |       2 | zero                           |
//! |     12 |       4 | `dim`                          |
//! |     16 |       8 | seed of the rotation           |
//! |     24 | 4 `dim` | the centre, IEEE 754 binary32  |
//!
//! A reader refuses every other length, a setting out of range and a component that is not finite.
//! The rotation takes 16 bytes of memory for each component of the centre, padded to 64.

use super::{Config, Rabitq};
use crate::FormatError;
use crate::bytes::{Reader, Writer, metric_code, read_metric};
use crate::error::check_dim;

const MAGIC: [u8; 8] = *b"CRNRABQ1";

impl Rabitq {
    /// The quantiser as bytes, laid out as the documentation of `rabitq/format.rs` says.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let metric = metric_code(self.config.metric).expect("checked when it was made");
        let mut writer = Writer::new(MAGIC, 16 + 4 * self.dim());
        for byte in [self.config.bits, metric, 0, 0] {
            writer.u8(byte);
        }
        writer.u32(self.dim());
        writer.u64(self.config.seed);
        writer.floats(&self.centre);
        writer.finish()
    }

    /// Reads what [`Rabitq::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`FormatError`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, MAGIC)?;
        let bits = reader.u8()?;
        let metric = read_metric(&mut reader)?;
        reader.zeros(2)?;
        let dim = reader.u32()?;
        check_dim(dim)?;
        let seed = reader.u64()?;
        let centre = reader.floats(dim)?;
        reader.finish()?;
        let config = Config { bits, metric, seed };
        Ok(Self::new(centre, config)?)
    }
}
