//! Codes as bytes.
//!
//! | offset  | bytes       | field                                                                    |
//! |--------:|------------:|--------------------------------------------------------------------------|
//! |       0 |           8 | `CRNCODE1`                                                               |
//! |       8 |           1 | 0 scalar, 1 `pq`, 2 `rabitq`                                             |
//! |       9 |           3 | zero                                                                     |
//! |      12 |           4 | `n`, rows                                                                |
//! |      16 |           4 | `q`, bytes of the quantiser                                              |
//! |      20 |           4 | zero                                                                     |
//! |      24 |         `q` | the quantiser, as [`cairn_quantize`] writes it; zeros up to a multiple of 16 |
//! |         | `n * bytes` | the records                                                              |
//!
//! A record is the code, zeros up to a multiple of 4, its factors, each an IEEE 754 binary32, and zeros up to a power of two from 16 to 64, or
//! beyond that to a multiple of 16. Factors are, of
//! scalar codes, step, offset, square and error; of `pq` the error; of `rabitq` sum, factor and error. All
//! numbers are little-endian. Factors must be finite: a damaged code could otherwise rule out every row.

use cairn_quantize::pq::Pq;
use cairn_quantize::rabitq::Rabitq;
use cairn_quantize::scalar::Scalar;

use super::{ALIGNMENT, Coded, Quantiser};
use crate::arena::Arena;

const MAGIC: [u8; 8] = *b"CRNCODE1";
const HEADER_BYTES: usize = 24;

/// Bytes that are no codes of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodedFormatError {
    /// The bytes end too early, or go on after the last record.
    #[error("codes have the wrong length, bytes={bytes}")]
    Length {
        /// Length of the input.
        bytes: usize,
    },
    /// A field of the header is not one that a writer writes, or the quantiser is damaged.
    #[error("the header of codes is damaged, offset={offset}")]
    Header {
        /// Where the field starts.
        offset: usize,
    },
    /// They are of other rows.
    #[error("codes are of other rows, rows={found}, expected={expected}")]
    Rows {
        /// Rows that the caller has.
        expected: usize,
        /// Rows that the bytes name.
        found: usize,
    },
    /// A number behind a code is not finite.
    #[error("a code has a factor that is no number, row={row}")]
    Factor {
        /// The row.
        row: usize,
    },
}

impl Coded {
    /// The codes as bytes, a part after the other: records are handed over as they lie.
    ///
    /// # Errors
    /// The first one of `put`, which is then not called again.
    pub fn write<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let (kind, mut quantiser) = match &self.quantiser {
            Quantiser::Scalar(it) => (0u32, it.to_bytes()),
            Quantiser::Pq(it) => (1, it.to_bytes()),
            Quantiser::Rabitq(it) => (2, it.to_bytes()),
        };
        let mut header = MAGIC.to_vec();
        for number in [kind, self.rows as u32, quantiser.len() as u32, 0] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        put(&header)?;
        quantiser.resize(quantiser.len().next_multiple_of(ALIGNMENT), 0);
        put(&quantiser)?;
        self.records.bytes().chunks(1024 * 1024).try_for_each(put)
    }

    /// Reads what [`Coded::write`] wrote, of `rows` rows.
    ///
    /// # Errors
    /// [`CodedFormatError`] for any other bytes.
    pub fn from_bytes(bytes: &[u8], rows: usize) -> Result<Self, CodedFormatError> {
        let wrong = |offset| CodedFormatError::Header { offset };
        let length = || CodedFormatError::Length { bytes: bytes.len() };
        let header = bytes.get(..HEADER_BYTES).ok_or_else(length)?;
        if header[..8] != MAGIC {
            return Err(wrong(0));
        }
        let number = |at: usize| {
            let number = header[at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(number) as usize
        };
        let (kind, found, quantiser_bytes) = (number(8), number(12), number(16));
        if found != rows {
            return Err(CodedFormatError::Rows {
                expected: rows,
                found,
            });
        }
        if number(20) != 0 {
            return Err(wrong(20));
        }
        let rest = &bytes[HEADER_BYTES..];
        let quantiser = rest.get(..quantiser_bytes).ok_or_else(length)?;
        let padded = quantiser_bytes.next_multiple_of(ALIGNMENT);
        let padding = rest.get(quantiser_bytes..padded).ok_or_else(length)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(wrong(HEADER_BYTES + quantiser_bytes));
        }
        let damaged = |_| wrong(HEADER_BYTES);
        let quantiser = match kind {
            0 => Quantiser::Scalar(Scalar::from_bytes(quantiser).map_err(damaged)?),
            1 => Quantiser::Pq(Pq::from_bytes(quantiser).map_err(damaged)?),
            2 => Quantiser::Rabitq(Rabitq::from_bytes(quantiser).map_err(damaged)?),
            _ => return Err(wrong(8)),
        };
        let mut coded = Self {
            quantiser,
            records: Arena::new(0),
            record_bytes: 0,
            rows,
        };
        coded.record_bytes = coded.quantisation().row_bytes(coded.dim());
        let given = &rest[padded..];
        if Some(given.len()) != rows.checked_mul(coded.record_bytes) {
            return Err(length());
        }
        coded.records = Arena::try_new(given.len()).ok_or_else(length)?;
        coded.records.bytes_mut().copy_from_slice(given);
        match coded.first_wild() {
            Some(row) => Err(CodedFormatError::Factor { row }),
            None => Ok(coded),
        }
    }
}
