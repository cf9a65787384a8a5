//! OPQ: product quantisation after a rotation learnt from the data.
//!
//! A product quantiser errs least when its subspaces do not depend on each other and share the
//! variance evenly. The rotation to the principal axes takes away the dependence; the axes are then
//! dealt out so that the product of variances, which the error of a subspace grows with, is the
//! same in each: the next largest goes to the subspace with the smallest product so far that has
//! room. For a normal distribution that is the best rotation there is.
//!
//! The axes come from the covariance of up to [`SAMPLE_ROWS`] rows. It costs `dim^2` numbers of
//! memory and about `10 dim^3` steps, once.
//!
//! Source: Ge, He, Ke & Sun, Optimized Product Quantization 2013, the parametric solution. Refused:
//! its alternation of codebooks and rotations, a singular value decomposition of `dim x dim` in
//! each round for what is little on top of the parametric solution.

use cairn_distance::{Kernels, Metric};

use crate::bytes::{Reader, Writer};
use crate::eigen::eigenvectors;
use crate::error::{check_dim, check_sample};
use crate::pq::{self, Code, Pq, bounds};
use crate::{FormatError, Progress, TrainError, Workers};

/// Rows that the covariance is taken from, at most.
pub const SAMPLE_ROWS: usize = 16_384;

const MAGIC: [u8; 8] = *b"CRNOPTP1";

/// A product quantiser behind a rotation of its own.
///
/// # Examples
/// ```
/// use cairn_distance::Metric;
/// use cairn_quantize::{SingleThread, opq::Opq, pq};
///
/// let rows: Vec<f32> = (0..16_000).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
/// let config = pq::Config { subspaces: 4, bits: 4, metric: Metric::L2 };
/// let quantiser = Opq::train(&rows, 16, config, 1, &SingleThread, &())?;
/// let code = quantiser.encode(&rows[..16]);
/// let estimate = quantiser.query(&rows[16..32]).estimate(&code.bytes, code.error);
/// assert!(estimate.lower() <= estimate.distance);
/// # Ok::<(), cairn_quantize::TrainError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Opq {
    /// `[dim, dim]`: rows are the axes, in the order of the components of `pq`.
    rotation: Vec<f32>,
    pq: Pq,
    /// Products, negated.
    dot: Kernels<f32>,
}

impl Opq {
    /// Learns rotation and codebooks from a sample, `[rows, dim]` row by row.
    ///
    /// # Errors
    /// As [`Pq::train`].
    pub fn train(
        sample: &[f32],
        dim: usize,
        config: pq::Config,
        seed: u64,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let rows = check_sample(sample, dim)?;
        config.check(dim)?;
        if rows < config.centroids() {
            let needed = config.centroids();
            return Err(TrainError::TooFewRows { rows, needed });
        }
        let (variances, axes) = eigenvectors(covariance(sample, dim), dim);
        if progress.cancelled() {
            return Err(TrainError::Cancelled);
        }
        let order = deal_out(&variances, config.subspaces);
        let rotation: Vec<f32> = order
            .iter()
            .flat_map(|&axis| &axes[axis * dim..][..dim])
            .map(|&x| x as f32)
            .collect();
        let dot = Kernels::new(Metric::Dot);
        let mut rotated = vec![0.0; sample.len()];
        for (row, out) in sample.chunks_exact(dim).zip(rotated.chunks_exact_mut(dim)) {
            rotate(&dot, &rotation, row, out);
        }
        let pq = Pq::train(&rotated, dim, config, seed, workers, progress)?;
        Ok(Self { rotation, pq, dot })
    }

    /// Components of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.pq.dim()
    }

    /// The product quantiser of rotated vectors.
    #[must_use]
    pub fn pq(&self) -> &Pq {
        &self.pq
    }

    /// `vector` along the axes of the codebooks; lengths and distances stay.
    ///
    /// # Panics
    /// If `vector` is not [`Opq::dim`] long.
    #[must_use]
    pub fn rotate(&self, vector: &[f32]) -> Vec<f32> {
        assert_eq!(vector.len(), self.dim(), "another dim");
        let mut rotated = vec![0.0; vector.len()];
        rotate(&self.dot, &self.rotation, vector, &mut rotated);
        rotated
    }

    /// The code of one vector.
    ///
    /// # Panics
    /// As [`Opq::rotate`].
    #[must_use]
    pub fn encode(&self, vector: &[f32]) -> Code {
        self.pq.encode(&self.rotate(vector))
    }

    /// The vector that a code stands for.
    ///
    /// # Panics
    /// If the code has another length than those of this quantiser.
    #[must_use]
    pub fn decode(&self, bytes: &[u8]) -> Vec<f32> {
        let dim = self.dim();
        let mut vector = vec![0.0f64; dim];
        for (x, axis) in self
            .pq
            .decode(bytes)
            .into_iter()
            .zip(self.rotation.chunks_exact(dim))
        {
            for (out, &component) in vector.iter_mut().zip(axis) {
                *out += f64::from(x) * f64::from(component);
            }
        }
        vector.into_iter().map(|x| x as f32).collect()
    }

    /// A query, ready to be compared with codes.
    ///
    /// # Panics
    /// As [`Opq::rotate`].
    #[must_use]
    pub fn query(&self, query: &[f32]) -> pq::Query {
        self.pq.query(&self.rotate(query))
    }

    /// The quantiser as bytes: `CRNOPTP1`, `dim` (4 bytes), the rotation (`dim * dim` numbers of
    /// IEEE 754 binary32, axis by axis), then the bytes of [`Pq::to_bytes`]; little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC, 4 + 4 * self.rotation.len());
        writer.u32(self.dim());
        writer.floats(&self.rotation);
        let mut bytes = writer.finish();
        bytes.extend(self.pq.to_bytes());
        bytes
    }

    /// Reads what [`Opq::to_bytes`] wrote. Whether the axes are orthogonal is not looked at: bytes
    /// that pass their checksum are those that were written.
    ///
    /// # Errors
    /// [`FormatError`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, MAGIC)?;
        let offset = reader.offset();
        let dim = reader.u32()?;
        check_dim(dim)?;
        let rotation = reader.floats(dim * dim)?;
        let pq = Pq::from_bytes(reader.rest())?;
        if pq.dim() != dim {
            return Err(FormatError::Field { offset });
        }
        Ok(Self {
            rotation,
            pq,
            dot: Kernels::new(Metric::Dot),
        })
    }
}

fn rotate(dot: &Kernels<f32>, rotation: &[f32], vector: &[f32], out: &mut [f32]) {
    dot.block(vector, rotation, vector.len(), out);
    for x in out {
        *x = -*x;
    }
}

/// The covariance of a sample, `[dim, dim]`.
fn covariance(sample: &[f32], dim: usize) -> Vec<f64> {
    let rows = sample.len() / dim;
    let step = rows.div_ceil(SAMPLE_ROWS).max(1);
    let chosen: Vec<&[f32]> = sample.chunks_exact(dim).step_by(step).collect();
    let count = chosen.len();
    // A component to a row, less its mean, so that covariances are products of rows.
    let mut columns = vec![0.0f32; dim * count];
    for (component, column) in columns.chunks_exact_mut(count).enumerate() {
        let values = chosen.iter().map(|row| f64::from(row[component]));
        let mean = values.sum::<f64>() / count as f64;
        for (out, row) in column.iter_mut().zip(&chosen) {
            *out = (f64::from(row[component]) - mean) as f32;
        }
    }
    let mut products = vec![0.0f32; dim * dim];
    Kernels::<f32>::new(Metric::Dot).matrix(&columns, &columns, count, &mut products);
    let scale = -1.0 / count as f64;
    // The lower half is taken for both, so that it is symmetric to the bit.
    let mut covariance = vec![0.0f64; dim * dim];
    for a in 0..dim {
        for b in 0..=a {
            let value = scale * f64::from(products[a * dim + b]);
            (covariance[a * dim + b], covariance[b * dim + a]) = (value, value);
        }
    }
    covariance
}

/// The order of axes in which each subspace has about the same product of variances.
fn deal_out(variances: &[f64], subspaces: usize) -> Vec<usize> {
    let dim = variances.len();
    let mut by_variance: Vec<usize> = (0..dim).collect();
    by_variance.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]).then(a.cmp(&b)));
    // A direction without variance must not make a product 0 and attract all that follow.
    let least = variances.iter().fold(0.0f64, |max, &x| max.max(x)) * 1e-9 + f64::MIN_POSITIVE;
    let mut parts = vec![(0.0f64, Vec::new()); subspaces];
    for axis in by_variance {
        let (_, part) = parts
            .iter()
            .enumerate()
            .filter(|(subspace, (_, axes))| {
                let (start, end) = bounds(*subspace, subspaces, dim);
                axes.len() < end - start
            })
            .map(|(subspace, (product, _))| (*product, subspace))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .expect("there are as many places as axes");
        let (product, axes): &mut (f64, Vec<usize>) = &mut parts[part];
        // At least 0, so that a place without axes is the first to get one.
        *product += (variances[axis].max(least) / least).ln();
        axes.push(axis);
    }
    parts.into_iter().flat_map(|(_, axes)| axes).collect()
}
