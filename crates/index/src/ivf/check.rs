//! The structural checker: what must hold for all postings of ours.

use std::ops::ControlFlow;

use cairn_quantize::fastscan::ROWS;

use super::layout::Block;
use super::{Ivf, Postings, Region};

/// What [`Ivf::check`] counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows in all lists.
    pub rows: usize,
    /// Lists.
    pub lists: usize,
    /// Rows of the smallest list.
    pub list_rows_min: usize,
    /// Rows of the largest.
    pub list_rows_max: usize,
}

/// What [`Ivf::check`] found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError<E> {
    /// A part could not be read.
    #[error("postings could not be read")]
    Source(#[source] E),
    /// A part has another length, or a number in it cannot be.
    #[error("a part of the postings is damaged, region={region}, list={list}")]
    Damaged {
        /// The region.
        region: Region,
        /// The list.
        list: u32,
    },
    /// A row is in two lists, or twice in one.
    #[error("a row is in the lists twice, row={row}, list={list}")]
    Twice {
        /// The row.
        row: u32,
        /// The list where it was found again.
        list: u32,
    },
}

impl Ivf {
    /// Reads all postings, in time proportional to them, and counts. Each row is then in one list: there are as
    /// many places as rows.
    ///
    /// # Errors
    /// [`CheckError`] names the first thing found wrong.
    pub fn check<P: Postings>(&self, postings: &P) -> Result<Report, CheckError<P::Error>> {
        let mut seen = vec![false; self.rows];
        for list in 0..self.lists() as u32 {
            for region in [Region::Coarse, Region::Fine] {
                let part = self.part(region, list);
                let mut found = Err(CheckError::Damaged { region, list });
                let mut each = |_, bytes: &[u8]| {
                    let whole = bytes.len() as u64 == part.end - part.start;
                    found = match region {
                        _ if !whole => Err(CheckError::Damaged { region, list }),
                        Region::Coarse => self.check_coarse(list, bytes, &mut seen),
                        Region::Fine => self.check_fine(list, bytes),
                    };
                    ControlFlow::Continue(())
                };
                let ranges = std::slice::from_ref(&part);
                let read = postings.read(region, ranges, &mut each);
                read.map_err(CheckError::Source)?;
                found?;
            }
        }
        let counts = || self.counts.iter().map(|&rows| rows as usize);
        Ok(Report {
            rows: self.rows,
            lists: self.lists(),
            list_rows_min: counts().min().unwrap_or(0),
            list_rows_max: counts().max().unwrap_or(0),
        })
    }

    fn check_coarse<E>(
        &self,
        list: u32,
        bytes: &[u8],
        seen: &mut [bool],
    ) -> Result<(), CheckError<E>> {
        let region = Region::Coarse;
        let mut left = self.counts[list as usize] as usize;
        for bytes in bytes.chunks_exact(self.layout.block_bytes()) {
            let taken = left.min(ROWS);
            left -= taken;
            let block = Block::read(bytes, taken, self.rows);
            let block = block.ok_or(CheckError::Damaged { region, list })?;
            for &row in &block.ids[..taken] {
                if std::mem::replace(&mut seen[row as usize], true) {
                    return Err(CheckError::Twice { row, list });
                }
            }
        }
        Ok(())
    }

    fn check_fine<E>(&self, list: u32, bytes: &[u8]) -> Result<(), CheckError<E>> {
        let region = Region::Fine;
        let records = bytes.chunks_exact(self.layout.record_bytes());
        for record in records.take(self.counts[list as usize] as usize) {
            let good = self.layout.read_record(record).is_some();
            good.then_some(())
                .ok_or(CheckError::Damaged { region, list })?;
        }
        Ok(())
    }
}
