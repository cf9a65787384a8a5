//! From lists to postings: codes are made when they are written, some lists at a time.

use cairn_distance::Metric;
use cairn_quantize::fastscan::{BlockFactors, ROWS};
use cairn_quantize::rabitq::{Code, Encoder, Factors, Origin};

use super::layout::{FineFactors, UNKNOWN};
use super::{Built, Ivf, Region};
use crate::parallel::{Cancelled, share};
use crate::{Progress, Vectors, Workers};

/// Bytes that are handed over together, but for one list that is longer.
const CHUNK_BYTES: u64 = 4 * 1024 * 1024; // 4 MiB: hundreds of lists, for many workers

/// Why postings were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError<E> {
    /// [`Progress::cancelled`] said so.
    #[error("writing postings was cancelled")]
    Cancelled,
    /// Whoever takes the bytes refused.
    #[error("postings could not be handed over")]
    Put(#[source] E),
}

impl Built {
    /// Hands the bytes of a region to `put`, part by part, laid out as the documentation of `ivf/layout.rs` says.
    ///
    /// The bytes are the same with any number of workers, and on every processor. `progress` is told of each row.
    /// Memory: 4 MiB, or one part. Cost: two rotations' worth of work a row; each row is read once, list by list.
    ///
    /// # Errors
    /// [`WriteError::Put`] with the first error of `put`, which is then not called again;
    /// [`WriteError::Cancelled`] if `progress` said so.
    ///
    /// # Panics
    /// If `vectors` has other rows than those that the lists were built over.
    pub fn write_region<E>(
        &self,
        region: Region,
        vectors: &Vectors,
        workers: &dyn Workers,
        progress: &dyn Progress,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), WriteError<E>> {
        let head = &self.head;
        let shape = (vectors.len(), vectors.dim());
        assert_eq!(shape, (head.rows(), head.dim()), "vectors of other rows");
        let starts = head.starts(region);
        let (mut first, mut members) = (0, &self.members[..]);
        let mut buffer = Vec::new();
        while first < head.lists() {
            let fits = starts[first..].partition_point(|&at| at - starts[first] <= CHUNK_BYTES);
            let end = (first + fits - 1).max(first + 1);
            buffer.clear();
            buffer.resize((starts[end] - starts[first]) as usize, 0u8);
            let mut slots = &mut buffer[..];
            let parts = (first..end).map(|list| {
                let (rows, others) = members.split_at(head.counts[list] as usize);
                let bytes = (starts[list + 1] - starts[list]) as usize;
                let (part, later) = std::mem::take(&mut slots).split_at_mut(bytes);
                (members, slots) = (others, later);
                (list as u32, rows, part)
            });
            let work = || Work::new(head, vectors);
            share(
                parts,
                workers,
                progress,
                &work,
                &|(list, rows, part), work| {
                    match region {
                        Region::Coarse => work.coarse(list, rows, part),
                        Region::Fine => work.fine(list, rows, part),
                    }
                    progress.advance(rows.len());
                },
            )
            .map_err(|Cancelled| WriteError::Cancelled)?;
            put(&buffer).map_err(WriteError::Put)?;
            first = end;
        }
        Ok(())
    }
}

/// What a worker keeps.
struct Work<'a> {
    head: &'a Ivf,
    vectors: &'a Vectors,
    encoder: Encoder<'a>,
    code: Code,
    row: Vec<f32>,
    /// Planes of the rows of a block.
    words: Vec<u64>,
}

impl<'a> Work<'a> {
    fn new(head: &'a Ivf, vectors: &'a Vectors) -> Self {
        Self {
            head,
            vectors,
            encoder: head.rabitq.encoder(),
            code: Code::default(),
            row: vec![0.0; head.dim()],
            words: Vec::new(),
        }
    }

    /// Writes the blocks of a list.
    fn coarse(&mut self, list: u32, rows: &[u32], part: &mut [u8]) {
        let layout = self.head.layout;
        let origin = Origin::new(&self.head.rabitq, self.head.centroid(list));
        let blocks = part.chunks_exact_mut(layout.block_bytes());
        let code_words = layout.plane_words() * usize::from(layout.bits);
        for (block, rows) in blocks.zip(rows.chunks(ROWS)) {
            let mut factors = BlockFactors::default();
            self.words.clear();
            for (place, &row) in rows.iter().enumerate() {
                self.vectors.read_prepared(row, &mut self.row);
                self.encoder
                    .encode_around(&self.row, &origin, &mut self.code);
                let Factors {
                    add,
                    rescale,
                    error,
                } = self.code.fine;
                let known = add.is_finite() && rescale.is_finite() && error.is_finite();
                factors.set(place, if known { self.code.fine } else { UNKNOWN });
                self.words.extend_from_slice(&self.code.planes);
            }
            self.words.resize(ROWS * code_words, 0);
            layout.write_block(rows, &factors, &self.words, block);
        }
    }

    /// Writes the records of a list.
    fn fine(&mut self, list: u32, rows: &[u32], part: &mut [u8]) {
        let layout = self.head.layout;
        let records = part.chunks_exact_mut(layout.record_bytes());
        for (record, &row) in records.zip(rows) {
            self.vectors.read_prepared(row, &mut self.row);
            let mut product = 0.0f64;
            for (x, c) in self.row.iter_mut().zip(self.head.centroid(list)) {
                *x -= c;
                product += f64::from(*x) * f64::from(*c);
            }
            let code = self.head.scalar.encode(&self.row);
            let l2 = self.head.metric == Metric::L2;
            let factors = FineFactors {
                code: code.factors,
                add: if l2 { 0.0 } else { -product as f32 },
            };
            let known = factors.known();
            let factors = if known { factors } else { FineFactors::UNKNOWN };
            layout.write_record(&code.bytes, factors, record);
        }
    }
}
