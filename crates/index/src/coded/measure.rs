//! One code at a time: written, and compared with a query.

use std::ops::Range;

use cairn_quantize::rabitq::{self, EPSILON};
use cairn_quantize::{Estimate, pq, scalar};

use super::{Coded, Quantiser};

/// Bytes of the factors behind a code: what it is worth, square and error.
pub(super) const SCALAR_FACTORS: usize = 16;
/// The error.
pub(super) const PQ_FACTORS: usize = 4;
/// Sum, factor and error.
pub(super) const RABITQ_FACTORS: usize = 12;

/// A query before codes of one matrix; reusable.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodedQuery(Option<Kind>);

#[derive(Clone, Debug)]
enum Kind {
    Scalar(scalar::Query),
    Pq(pq::Query),
    Rabitq(rabitq::Query),
}

/// A query that was filled, and the codes that it is for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    coded: &'a Coded,
    query: &'a Kind,
}

impl CodedQuery {
    /// Makes this the query for `coded`; takes no memory if it was one for such codes.
    ///
    /// # Panics
    /// If `vector` has another length than the rows.
    pub(crate) fn fill<'a>(&'a mut self, coded: &'a Coded, vector: &[f32]) -> Asked<'a> {
        match (&coded.quantiser, &mut self.0) {
            (Quantiser::Scalar(it), Some(Kind::Scalar(query))) => it.fill_query(vector, query),
            (Quantiser::Pq(it), Some(Kind::Pq(query))) => it.fill_query(vector, query),
            (Quantiser::Rabitq(it), Some(Kind::Rabitq(query))) => it.fill_query(vector, query),
            (Quantiser::Scalar(it), kind) => *kind = Some(Kind::Scalar(it.query(vector))),
            (Quantiser::Pq(it), kind) => *kind = Some(Kind::Pq(it.query(vector))),
            (Quantiser::Rabitq(it), kind) => *kind = Some(Kind::Rabitq(it.query(vector))),
        }
        let query = self.0.as_ref().expect("filled above");
        Asked { coded, query }
    }
}

impl Asked<'_> {
    /// The distance to `row`, and how far it may be off: for certain, or of `rabitq` by as many `deviations`.
    #[inline(always)]
    pub(crate) fn estimate(&self, row: u32, deviations: f32) -> Estimate {
        let record = self.coded.record(row);
        match (&self.coded.quantiser, self.query) {
            (Quantiser::Scalar(it), Kind::Scalar(query)) => {
                let (code, factors) = split(record, it.code_bytes());
                let [step, offset, square, error] = floats(factors);
                let factors = scalar::Factors {
                    step,
                    offset,
                    square,
                    error,
                };
                query.estimate(code, factors)
            }
            (Quantiser::Pq(it), Kind::Pq(query)) => {
                let (code, factors) = split(record, it.code_bytes());
                let [error] = floats(factors);
                query.estimate(code, error)
            }
            (Quantiser::Rabitq(it), Kind::Rabitq(query)) => {
                let bits = it.config().bits;
                let (code, factors) = split(record, it.plane_words() * 8 * usize::from(bits));
                let [add, rescale, error] = floats(factors);
                let factors = rabitq::Factors {
                    add,
                    rescale,
                    error,
                };
                let planes: &[u64] = bytemuck::cast_slice(code);
                let estimate = match bits {
                    1 => query.coarse(planes, factors),
                    _ => query.fine(planes, factors),
                };
                Estimate {
                    error: estimate.error * (deviations / EPSILON),
                    ..estimate
                }
            }
            _ => unreachable!("a query is filled for its codes"),
        }
    }

    /// The distance to `row`, about.
    #[inline(always)]
    pub(crate) fn distance(&self, row: u32) -> f32 {
        self.estimate(row, EPSILON).distance
    }

    /// Asks the memory for the code of `row`.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: u32) {
        cairn_distance::prefetch_slice(self.coded.record(row));
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.coded.record_bytes
    }
}

impl Quantiser {
    /// Where the factors stand in a record.
    pub(super) fn factors(&self) -> Range<usize> {
        let (code, factors) = match self {
            Self::Scalar(it) => (it.code_bytes(), SCALAR_FACTORS),
            Self::Pq(it) => (it.code_bytes(), PQ_FACTORS),
            Self::Rabitq(it) => {
                let planes = it.plane_words() * usize::from(it.config().bits);
                (planes * size_of::<u64>(), RABITQ_FACTORS)
            }
        };
        let start = code.next_multiple_of(size_of::<f32>());
        start..start + factors
    }

    /// Writes the record of a vector.
    pub(super) fn encode(&self, vector: &[f32], record: &mut [u8]) {
        match self {
            Self::Scalar(it) => {
                let code = it.encode(vector);
                let scalar::Factors {
                    step,
                    offset,
                    square,
                    error,
                } = code.factors;
                write(record, &code.bytes, &[step, offset, square, error]);
            }
            Self::Pq(it) => {
                let code = it.encode(vector);
                write(record, &code.bytes, &[code.error]);
            }
            Self::Rabitq(it) => {
                let code = it.encode(vector);
                let factors = match it.config().bits {
                    1 => code.coarse,
                    _ => code.fine,
                };
                let factors = [factors.add, factors.rescale, factors.error];
                write(record, bytemuck::cast_slice(&code.planes), &factors);
            }
        }
    }
}

fn write(record: &mut [u8], code: &[u8], factors: &[f32]) {
    let at = code.len().next_multiple_of(size_of::<f32>());
    record[..code.len()].copy_from_slice(code);
    let factors: &[u8] = bytemuck::cast_slice(factors);
    record[at..at + factors.len()].copy_from_slice(factors);
}

#[inline(always)]
fn split(record: &[u8], code_bytes: usize) -> (&[u8], &[u8]) {
    let at = code_bytes.next_multiple_of(size_of::<f32>());
    (&record[..code_bytes], &record[at..])
}

#[inline(always)]
fn floats<const N: usize>(bytes: &[u8]) -> [f32; N] {
    let floats: &[f32] = bytemuck::cast_slice(&bytes[..N * size_of::<f32>()]);
    floats.try_into().expect("as many as were cut")
}
