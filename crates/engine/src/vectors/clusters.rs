//! Clustered postings over the vectors of one field, as they are made: rows and codes lie in files without a name
//! where there are such files, so that memory has a few bytes a row.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cairn_env::Env;
use cairn_index::ivf::{Built, Config, InMemory, Ivf, Region, WriteError};
use cairn_index::{Lender, Metric, Point, Progress, Vectors, Workers};
use cairn_storage::{Scratch, ScratchWriter};

use crate::error::{Error, Result};
use crate::schema::VectorField;

use super::Matrix;

/// Who builds, and where there is room for what memory should not have.
pub(crate) struct Site<'a> {
    pub env: &'a Env,
    pub dir: &'a Path,
    pub workers: &'a dyn Workers,
    pub progress: &'a dyn Progress,
    /// What a failed step is to the caller.
    pub failed: &'a dyn Fn(String) -> Error,
}

/// Postings that no segment has yet.
pub(crate) struct MadeClusters {
    head: Ivf,
    coarse: Bytes,
    fine: Bytes,
}

impl MadeClusters {
    /// Divides the rows into lists, writes their codes, and measures how many lists a recall takes.
    ///
    /// # Errors
    /// What [`Ivf::build`] and [`Ivf::calibrate`] say: above all that `progress` cancelled it; what the disk says.
    pub fn build(
        vectors: &Vectors,
        metric: Metric,
        config: &Config,
        site: &Site<'_>,
    ) -> Result<(Self, Vec<Point>)> {
        let built = Ivf::build(vectors, metric, config, site.workers, site.progress);
        let built = built.map_err(|error| (site.failed)(error.to_string()))?;
        let coarse = Bytes::of_region(&built, Region::Coarse, vectors, site)?;
        let fine = Bytes::of_region(&built, Region::Fine, vectors, site)?;
        let made = Self {
            head: built.into_head(),
            coarse,
            fine,
        };
        let postings = InMemory {
            coarse: made.coarse.as_slice(),
            fine: made.fine.as_slice(),
        };
        let points = made
            .head
            .calibrate(&postings, vectors, site.workers, site.progress);
        let points = points.map_err(|error| (site.failed)(error.to_string()))?;
        Ok((made, points))
    }

    pub fn head(&self) -> &Ivf {
        &self.head
    }

    pub fn region(&self, region: Region) -> &[u8] {
        match region {
            Region::Coarse => self.coarse.as_slice(),
            Region::Fine => self.fine.as_slice(),
        }
    }
}

enum Bytes {
    Owned(Vec<u8>),
    Lent(Scratch),
}

impl Bytes {
    fn of_region(
        built: &Built,
        region: Region,
        vectors: &Vectors,
        site: &Site<'_>,
    ) -> Result<Self> {
        let write = |put: &mut dyn FnMut(&[u8]) -> Result<()>| {
            let written = built.write_region(region, vectors, site.workers, site.progress, put);
            written.map_err(|error| match error {
                WriteError::Cancelled => (site.failed)(WriteError::<Error>::Cancelled.to_string()),
                WriteError::Put(error) => error,
            })
        };
        if let Some(mut scratch) = ScratchWriter::create(site.env, site.dir)? {
            write(&mut |part| Ok(scratch.write(part)?))?;
            if let Some(scratch) = scratch.finish()? {
                return Ok(Self::Lent(scratch));
            }
        }
        let mut bytes = Vec::new();
        write(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(Self::Owned(bytes))
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Lent(scratch) => scratch.bytes(),
        }
    }
}

/// The vectors of a field, as searches compare them, in a file without a name; `None` where there is none. `each`
/// hands over every vector, in order.
///
/// # Errors
/// What `each` and the disk say.
pub(crate) fn lent_rows(
    env: &Env,
    dir: &Path,
    field: &VectorField,
    each: impl FnOnce(&mut dyn FnMut(&mut [f32])) -> Result<()>,
) -> Result<Option<Matrix>> {
    let Some(mut scratch) = ScratchWriter::create(env, dir)? else {
        return Ok(None);
    };
    let mut written = Ok(());
    each(&mut |vector| {
        if field.normalises() {
            let _ = cairn_distance::normalise(vector);
        }
        if written.is_ok() {
            written = scratch.write(bytemuck::cast_slice(vector));
        }
    })?;
    written?;
    let rows = scratch.finish()?;
    Ok(rows.map(|rows| Matrix::lent(field, Arc::new(Rows(rows)), Vec::new())))
}

#[derive(Debug)]
struct Rows(Scratch);

impl Lender for Rows {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn passed(&self, bytes: Range<usize>) {
        self.0.let_go(bytes);
    }
}
