//! What can be wrong with settings, training data and bytes.

use cairn_distance::Metric;

/// Settings that no quantiser has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Vectors of no component, or of more than [`DIM_MAX`](crate::rotation::DIM_MAX).
    #[error("the dim is out of range, dim={dim}")]
    Dim {
        /// Components per vector.
        dim: usize,
    },
    /// A number of bits that the quantiser does not offer.
    #[error("the number of bits is not one that this quantiser has, bits={bits}")]
    Bits {
        /// Bits asked for.
        bits: u8,
    },
    /// More subspaces than components, or none.
    #[error("the subspaces do not fit the dim, subspaces={subspaces}, dim={dim}")]
    Subspaces {
        /// Subspaces asked for.
        subspaces: usize,
        /// Components per vector.
        dim: usize,
    },
    /// No centroid, or more than rows can be numbered for.
    #[error("the number of centroids is out of range, centroids={centroids}")]
    Centroids {
        /// Centroids asked for.
        centroids: usize,
    },
    /// A metric that cannot be had from inner products and lengths.
    #[error("the quantiser cannot estimate this metric, metric={metric}")]
    Metric {
        /// The metric asked for.
        metric: Metric,
    },
}

/// A training that has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sample is not whole vectors.
    #[error("the sample is not whole vectors, components={components}, dim={dim}")]
    Shape {
        /// Numbers in the sample.
        components: usize,
        /// Components per vector.
        dim: usize,
    },
    /// Fewer vectors than are needed.
    #[error("too few vectors to learn from, rows={rows}, needed={needed}")]
    TooFewRows {
        /// Vectors given.
        rows: usize,
        /// Vectors needed at least.
        needed: usize,
    },
    /// A component is NaN or infinite.
    #[error("a component is not finite, row={row}")]
    NotFinite {
        /// The first such row.
        row: usize,
    },
    /// [`Progress::cancelled`](crate::Progress::cancelled) said so.
    #[error("the training was cancelled")]
    Cancelled,
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end too early, or go on behind the end.
    #[error("the codebook has the wrong length, bytes={bytes}")]
    Length {
        /// Length of the input.
        bytes: usize,
    },
    /// The first bytes are not those of this format.
    #[error("the codebook has an unknown format")]
    Magic,
    /// A field is not one that a writer writes.
    #[error("the codebook is damaged, offset={offset}")]
    Field {
        /// Where the field starts.
        offset: usize,
    },
    /// The settings are ones that no writer has.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// `dim`, if vectors may have that many components.
pub(crate) fn check_dim(dim: usize) -> Result<(), ConfigError> {
    if (1..=crate::rotation::DIM_MAX).contains(&dim) {
        Ok(())
    } else {
        Err(ConfigError::Dim { dim })
    }
}

/// The number of rows of a sample, all of them finite.
pub(crate) fn check_sample(sample: &[f32], dim: usize) -> Result<usize, TrainError> {
    check_dim(dim)?;
    let components = sample.len();
    if !components.is_multiple_of(dim) {
        return Err(TrainError::Shape { components, dim });
    }
    match sample.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(TrainError::NotFinite { row: at / dim }),
        None => Ok(components / dim),
    }
}
