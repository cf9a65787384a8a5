//! The parameters of a graph.

use std::ops::RangeInclusive;

/// Range of `m` and `m_max`.
const M: RangeInclusive<usize> = 2..=128;
/// Range of `m0`. Three links of a node may be needed to keep the graph connected.
const M0: RangeInclusive<usize> = 4..=512;
/// Range of `ef_construction`.
const EF_CONSTRUCTION: RangeInclusive<usize> = 1..=10_000;
/// Largest `level_mult`; 1 / ln(2), the natural value of the smallest `m`, is 1.44.
const LEVEL_MULT_MAX: f64 = 4.0;

/// The parameters of a graph, fixed when it is created.
///
/// # Examples
/// ```
/// use cairn_index::HnswConfig;
///
/// let config = HnswConfig::default();
/// assert_eq!((config.m, config.m0, config.m_max, config.ef_construction), (16, 32, 16, 200));
/// assert!(HnswConfig::with_m(1).validate().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HnswConfig {
    /// Links that a new node chooses on each layer, as far as `m0` and `m_max` allow. 2-128,
    /// default 16. More: better recall for data of high dimension, more memory, slower build.
    pub m: usize,
    /// Most links of a node on layer 0. 4-512, default `2 * m`.
    pub m0: usize,
    /// Most links of a node on each layer above. 2-128, default `m`.
    pub m_max: usize,
    /// Candidates kept while the neighbours of a new node are searched. 1-10,000, default 200.
    /// Larger: better graph, slower build; beyond a few hundred the gain is small.
    pub ef_construction: usize,
    /// Scale of the level law: a row reaches layer `l` with probability `exp(-l / level_mult)`.
    /// 0-4, default `1 / ln(m)`. 0: a single layer.
    pub level_mult: f64,
    /// Decides, together with the row, the level of a row. Any value, default 0.
    pub seed: u64,
}

impl HnswConfig {
    /// The defaults that belong to `m`: `m0` is `2 * m`, `m_max` is `m`, `level_mult` is
    /// `1 / ln(m)`.
    #[must_use]
    pub fn with_m(m: usize) -> Self {
        Self {
            m,
            m0: 2 * m,
            m_max: m,
            ef_construction: 200,
            level_mult: 1.0 / (m as f64).ln(),
            seed: 0,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is outside its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("m", self.m, M)?;
        check("m0", self.m0, M0)?;
        check("m_max", self.m_max, M)?;
        check("ef_construction", self.ef_construction, EF_CONSTRUCTION)?;
        if (0.0..=LEVEL_MULT_MAX).contains(&self.level_mult) {
            Ok(())
        } else {
            Err(ConfigError::LevelMult(self.level_mult))
        }
    }
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self::with_m(16)
    }
}

fn check(
    name: &'static str,
    value: usize,
    range: RangeInclusive<usize>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range {
        name,
        value,
        min: *range.start(),
        max: *range.end(),
    })
}

/// A parameter outside its range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A whole number outside `min..=max`.
    #[error("{name} is out of range, value={value}, min={min}, max={max}")]
    Range {
        /// The field of [`HnswConfig`].
        name: &'static str,
        /// What it was.
        value: usize,
        /// The least value allowed.
        min: usize,
        /// The greatest value allowed.
        max: usize,
    },
    /// `level_mult` is negative, too large or not a number.
    #[error("level_mult is out of range, value={0}, min=0, max=4")]
    LevelMult(f64),
}
