//! From rows to lists.

use cairn_distance::Metric;

use super::partition::{PASSES, Partition};
use super::{Config, ConfigError, Ivf};
use crate::bulk::seed_of;
use crate::parallel::{Cancelled, Steps};
use crate::{Progress, Vectors, Workers};

/// Why there are no lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// [`Progress::cancelled`] said so.
    #[error("the build was cancelled")]
    Cancelled,
    /// A parameter that cannot be, or a metric that codes do not estimate.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<Cancelled> for BuildError {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// A head, and the rows of its lists: postings still to be written.
///
/// Memory, beyond the head: 4 bytes a row.
pub struct Built {
    pub(super) head: Ivf,
    /// The rows of all lists, one list after the other.
    pub(super) members: Vec<u32>,
}

impl Built {
    /// The head.
    #[must_use]
    pub fn head(&self) -> &Ivf {
        &self.head
    }

    /// The head alone, once postings are written.
    #[must_use]
    pub fn into_head(self) -> Ivf {
        self.head
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Built").field(&self.head).finish()
    }
}

impl Ivf {
    /// Divides all rows of `vectors` into lists; no code is written yet.
    ///
    /// The result depends on the arguments alone, not on the number of threads; across instruction sets, whose
    /// distances differ in the last bits, it may differ. Rows may be anything, numbers or not.
    /// Memory, beyond the vectors: up to 16 bytes a row, and 8,192 rows for each worker.
    /// Cost: a few hundred distances a row; every row is read nine times or so.
    ///
    /// # Errors
    /// [`BuildError::Cancelled`] if `progress` said so; [`BuildError::Config`] if a parameter cannot be, or the
    /// metric is not `l2`, `cosine` or `dot`.
    pub fn build(
        vectors: &Vectors,
        metric: Metric,
        config: &Config,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Built, BuildError> {
        config.validate(vectors.dim(), metric)?;
        let (target, most) = config.list_rows(vectors.len());
        let steps = Steps::new(progress, PASSES);
        let partition = Partition {
            vectors,
            target,
            most,
            seed: seed_of(config.seed, 0),
            workers,
            progress: &steps,
        };
        let lists = partition.lists()?;
        let counts = lists.members.iter().map(|rows| rows.len() as u32).collect();
        let head = Self::new(lists.centroids, counts, vectors.dim(), metric, config.seed)?;
        let members = lists.members.concat();
        Ok(Built { head, members })
    }
}
