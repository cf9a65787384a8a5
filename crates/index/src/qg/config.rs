//! The parameters of a quantised graph.

use cairn_distance::Metric;

use super::record::Layout;

/// Vectors from this length on have codes of one bit a component, shorter ones of two.
const ONE_BIT_DIM: usize = 256;

/// Most links of a node.
const DEGREE_MAX: usize = 256;
/// Most bits of a code.
const BITS_MAX: u8 = 4;
/// Longest candidate list of a build.
const EF_CONSTRUCTION_MAX: usize = 10_000;

/// The parameters of a quantised graph.
///
/// # Examples
/// ```
/// use cairn_index::qg::Config;
///
/// assert_eq!((Config::new(784).bits, Config::new(128).bits), (1, 2));
/// assert!(Config { degree: 33, ..Config::new(784) }.validate().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Links of a node: a multiple of 32, up to 256, default 32. More: fewer hops, each of which costs
    /// more.
    pub degree: usize,
    /// Bits a component of the codes, 1 to 4, default 1 from 256 components on and 2 below. More: fewer
    /// hops, larger records.
    pub bits: u8,
    /// Candidates kept while the neighbours of a row are searched in the first graph, up to
    /// 10,000, default 0: the first graph is the last. Over the data measured that costs no recall; data whose
    /// neighbourhoods leaves cut apart may gain.
    pub ef_construction: usize,
    /// Decides the rotation of codes and the leaders of leaves. Any value, default 0.
    pub seed: u64,
}

impl Config {
    /// The defaults for vectors of `dim` components.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self {
            degree: 32,
            bits: if dim >= ONE_BIT_DIM { 1 } else { 2 },
            ef_construction: 0,
            seed: 0,
        }
    }

    /// Bytes that a graph takes for each row of `dim` components: a row's links and the codes behind them.
    ///
    /// # Panics
    /// If the parameters are outside their ranges.
    #[must_use]
    pub fn record_bytes(&self, dim: usize) -> usize {
        Layout::new(dim, self.degree, self.bits).record_bytes()
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is outside its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.degree == 0 || self.degree > DEGREE_MAX || !self.degree.is_multiple_of(32) {
            return Err(ConfigError::Degree(self.degree));
        }
        if !(1..=BITS_MAX).contains(&self.bits) {
            return Err(ConfigError::Bits(self.bits));
        }
        if self.ef_construction > EF_CONSTRUCTION_MAX {
            return Err(ConfigError::EfConstruction(self.ef_construction));
        }
        Ok(())
    }
}

/// What no quantised graph can be made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a multiple of 32 up to 256.
    #[error("degree is not a multiple of 32 from 32 to 256, value={0}")]
    Degree(usize),
    /// Not 1 to 4.
    #[error("bits is out of range, value={0}, min=1, max=4")]
    Bits(u8),
    /// Above 10,000.
    #[error("ef_construction is out of range, value={0}, min=0, max=10000")]
    EfConstruction(usize),
    /// Codes estimate squared distances, which neither order as sums of absolute differences do nor as
    /// products of vectors of any length.
    #[error("a quantised graph has no such metric, metric={0}")]
    Metric(Metric),
    /// Vectors longer than a rotation takes.
    #[error("the vectors are too long for codes, dim={0}, max=65536")]
    Dim(usize),
}
