//! The head as bytes.
//!
//! | offset | bytes           | field                                          |
//! |-------:|----------------:|------------------------------------------------|
//! |      0 |               8 | `CRNIVF01`                                     |
//! |      8 |               4 | `n`, rows                                      |
//! |     12 |               4 | `d`, dim                                       |
//! |     16 |               4 | `l`, lists                                     |
//! |     20 |               1 | metric: 0 cosine, 1 l2, 2 dot                  |
//! |     21 |               1 | bits of a coarse code for each component       |
//! |     22 |               2 | zero                                           |
//! |     24 |               8 | seed of the rotation                           |
//! |     32 |         `4 l d` | centroids, IEEE 754 binary32, row by row       |
//! |        |           `4 l` | rows of each list, 1 to 4,096; `n` together    |
//!
//! All numbers are little-endian. Where the parts of lists lie follows from their rows, see `ivf/layout.rs`, so no
//! offset is stored that could be wrong.

use cairn_distance::Metric;

use super::config::LIST_ROWS_MAX;
use super::layout::Layout;
use super::{Config, ConfigError, Ivf};
use crate::input::{Fault, Input};

const MAGIC: [u8; 8] = *b"CRNIVF01";
const HEADER_BYTES: usize = 32;

/// Bytes that are no head of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end too early, or go on after the last field.
    #[error("a head has the wrong length, bytes={bytes}")]
    Length {
        /// Length of the input.
        bytes: usize,
    },
    /// The bytes do not start as a head does.
    #[error("these bytes are no head of clustered postings")]
    Magic,
    /// A field is not one that a writer writes.
    #[error("a head is damaged, offset={offset}")]
    Header {
        /// Where the field starts.
        offset: usize,
    },
    /// It is of other rows.
    #[error("a head is of other rows, rows={found}, expected={expected}")]
    Rows {
        /// Rows that the caller has.
        expected: usize,
        /// Rows that the bytes name.
        found: usize,
    },
    /// A component of a centroid is no finite number.
    #[error("a centroid is no vector, list={list}")]
    Centroid {
        /// The list.
        list: usize,
    },
    /// A list has no row, or more than it may, or all together do not have those of the head.
    #[error("a list has a wrong number of rows, list={list}")]
    Count {
        /// The list, or how many there are.
        list: usize,
    },
    /// The parameters are outside their ranges.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<Fault> for FormatError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Length { bytes } => Self::Length { bytes },
            Fault::NotZero { offset } => Self::Header { offset },
        }
    }
}

impl Ivf {
    /// Hands the head to `put`, part by part, laid out as the documentation of `ivf/format.rs` says.
    ///
    /// # Errors
    /// The first one of `put`, which is then not called again.
    pub fn write_head<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.rows, self.dim(), self.lists()] {
            bytes.extend((number as u32).to_le_bytes());
        }
        bytes.extend([metric_code(self.metric), self.layout.bits, 0, 0]);
        bytes.extend(self.seed.to_le_bytes());
        put(&bytes)?;
        for centroids in self.centroids.chunks(64 * 1024) {
            bytes.clear();
            bytes.extend(centroids.iter().flat_map(|x| x.to_le_bytes()));
            put(&bytes)?;
        }
        bytes.clear();
        bytes.extend(self.counts.iter().flat_map(|rows| rows.to_le_bytes()));
        put(&bytes)
    }

    /// How many bytes [`Ivf::write_head`] writes.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        HEADER_BYTES + 4 * (self.centroids.len() + self.lists())
    }

    /// Reads the head of postings over `rows` rows of `dim` components. Never panics, whatever the bytes; no memory
    /// is taken for more than there are bytes.
    ///
    /// # Errors
    /// [`FormatError`] names the first thing found wrong.
    pub fn read_head(
        bytes: &[u8],
        rows: usize,
        dim: usize,
        metric: Metric,
    ) -> Result<Self, FormatError> {
        Config::default().validate(dim, metric)?;
        let mut input = Input::new(bytes);
        if input.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        let found = input.number()?;
        if found != rows {
            let expected = rows;
            return Err(FormatError::Rows { expected, found });
        }
        let damaged = |offset| Err(FormatError::Header { offset });
        if input.number()? != dim {
            return damaged(12);
        }
        let lists = input.number()?;
        if lists > rows || (lists == 0) != (rows == 0) {
            return damaged(16);
        }
        let [code, bits] = input.array()?;
        if code != metric_code(metric) {
            return damaged(20);
        }
        if bits != Layout::new(dim).bits {
            return damaged(21);
        }
        input.zeros(2)?;
        let seed = u64::from_le_bytes(input.array()?);
        let list_bytes = 4 * (dim as u64 + 1);
        if list_bytes.checked_mul(lists as u64) != Some(input.left() as u64) {
            return Err(input.wrong_length().into());
        }
        let centroids = input.take(4 * dim * lists)?.as_chunks::<4>().0;
        let centroids: Vec<f32> = centroids.iter().map(|x| f32::from_le_bytes(*x)).collect();
        if let Some(at) = centroids.iter().position(|x| !x.is_finite()) {
            return Err(FormatError::Centroid { list: at / dim });
        }
        let counts = input.take(4 * lists)?.as_chunks::<4>().0;
        let counts: Vec<u32> = counts
            .iter()
            .map(|rows| u32::from_le_bytes(*rows))
            .collect();
        let may = 1..=LIST_ROWS_MAX as u32;
        if let Some(list) = counts.iter().position(|rows| !may.contains(rows)) {
            return Err(FormatError::Count { list });
        }
        let all: u64 = counts.iter().map(|&rows| u64::from(rows)).sum();
        if all != rows as u64 {
            return Err(FormatError::Count { list: lists });
        }
        Ok(Self::new(centroids, counts, dim, metric, seed)?)
    }
}

/// The byte of a metric that the parameters were checked for.
fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::Cosine => 0,
        Metric::L2 => 1,
        _ => 2,
    }
}
