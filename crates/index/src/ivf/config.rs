//! The parameters of clustered postings.

use cairn_distance::Metric;
use cairn_quantize::fastscan::ROWS;
use cairn_quantize::rotation::DIM_MAX;

use super::layout::Layout;

/// Rows of a list, about, unless said otherwise: a list is then read in one go, and a hundredth of a million
/// rows is in a few dozen of them.
const LIST_ROWS: usize = 256;

/// Rows that lists are made for, at most: a search looks at `stop` once a list, and holds one in memory.
const LIST_ROWS_TARGET_MAX: usize = 2048;

/// No list has more rows than so many times those it was made for.
const GROWTH: usize = 2;

/// Rows of a list at most, whatever the parameters.
pub(super) const LIST_ROWS_MAX: usize = GROWTH * LIST_ROWS_TARGET_MAX;

/// The parameters of clustered postings.
///
/// # Examples
/// ```
/// use cairn_index::Metric;
/// use cairn_index::ivf::Config;
///
/// assert!(Config::default().validate(128, Metric::L2).is_ok());
/// assert!(Config::default().validate(128, Metric::L1).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Lists wanted, at least 1, default one for each 256 rows. There will be about so many: lists without rows
    /// are left out, and lists of more than 4,096 rows are divided. More: fewer rows read for each probe, more
    /// centroids compared and kept in memory.
    pub lists: Option<usize>,
    /// Decides the sample that centroids are learnt from, and the rotation of codes. Any value, default 0.
    pub seed: u64,
}

impl Config {
    /// Bytes of a row of `dim` components in both regions and its share of the head, about.
    #[must_use]
    pub fn row_bytes(dim: usize) -> usize {
        let layout = Layout::new(dim);
        let head = (size_of::<f32>() * dim).div_ceil(LIST_ROWS);
        layout.block_bytes().div_ceil(ROWS) + layout.record_bytes() + head
    }

    /// Checks the parameters for vectors of `dim` components.
    ///
    /// # Errors
    /// [`ConfigError`] names the first thing that cannot be.
    pub fn validate(&self, dim: usize, metric: Metric) -> Result<(), ConfigError> {
        if self.lists == Some(0) {
            return Err(ConfigError::Lists);
        }
        if !(1..=DIM_MAX).contains(&dim) {
            return Err(ConfigError::Dim(dim));
        }
        match metric {
            Metric::L2 | Metric::Cosine | Metric::Dot => Ok(()),
            Metric::L1 | Metric::Hamming => Err(ConfigError::Metric(metric)),
        }
    }

    /// Rows that a list is made for, and rows that it may have at most.
    pub(super) fn list_rows(&self, rows: usize) -> (usize, usize) {
        let wanted = self.lists.map(|lists| rows.div_ceil(lists.max(1)));
        let target = wanted.unwrap_or(LIST_ROWS).clamp(1, LIST_ROWS_TARGET_MAX);
        (target, GROWTH * target)
    }
}

/// What no clustered postings can be made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No list at all.
    #[error("lists is out of range, value=0, min=1")]
    Lists,
    /// Vectors of no component, or longer than a rotation takes.
    #[error("the vectors have no codes of that length, dim={0}, max=65536")]
    Dim(usize),
    /// Codes estimate products, which sums of absolute differences are not.
    #[error("clustered postings have no such metric, metric={0}")]
    Metric(Metric),
}
