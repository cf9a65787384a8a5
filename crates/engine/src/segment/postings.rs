//! Clustered postings of a field that stay in their file.
//!
//! The head is in memory; of the regions a search reads what it needs, block by block through the checksums, and
//! keeps it in the cache of blocks: a part of [`Region::Coarse`] as a whole, because lists are scanned whole, and of
//! [`Region::Fine`] pages. What a round lacks is told to the disk before any of it is read, so that it comes side by
//! side.

use std::ops::Range;
use std::sync::Arc;

use cairn_index::ivf::{Each, Ivf, Postings, Region};
use cairn_storage::{SectionId, SegmentReader};

use crate::block_cache::BlockCache;
use crate::error::{Error, Result};

use super::sections;

/// Bytes of [`Region::Fine`] that are read and kept together.
const PAGE_BYTES: u64 = 16 * 1024;

/// The postings of a field.
pub(super) struct Clusters {
    pub head: Ivf,
    field: usize,
    /// Of the parts and of the pages in the cache.
    parts: u64,
    pages: u64,
}

impl Clusters {
    pub fn new(head: Ivf, field: usize, cache: &BlockCache) -> Self {
        Self {
            head,
            field,
            parts: cache.number(),
            pages: cache.number(),
        }
    }

    /// What a search reads from.
    pub fn of<'a>(&'a self, reader: &'a SegmentReader, cache: &'a BlockCache) -> Stored<'a> {
        Stored {
            clusters: self,
            reader,
            cache,
        }
    }

    /// Lets go of what the cache has of them.
    pub fn forget(&self, cache: &BlockCache) {
        cache.forget(self.parts);
        cache.forget(self.pages);
    }
}

/// Postings in a file.
pub(super) struct Stored<'a> {
    clusters: &'a Clusters,
    reader: &'a SegmentReader,
    cache: &'a BlockCache,
}

impl Postings for Stored<'_> {
    type Error = Error;

    fn read(&self, region: Region, ranges: &[Range<u64>], each: &mut Each<'_>) -> Result<()> {
        match region {
            Region::Coarse => self.read_parts(ranges, each),
            Region::Fine => self.read_records(ranges, each),
        }
    }
}

impl Stored<'_> {
    fn read_parts(&self, ranges: &[Range<u64>], each: &mut Each<'_>) -> Result<()> {
        let found: Vec<_> = ranges.iter().map(|range| self.kept_part(range)).collect();
        let id = sections::postings(self.clusters.field, Region::Coarse);
        let missing = ranges.iter().zip(&found).filter(|(_, part)| part.is_none());
        missing.for_each(|(range, _)| self.reader.will_read(id, range.clone()));
        for (place, (range, part)) in ranges.iter().zip(found).enumerate() {
            let part = match part {
                Some(part) => part,
                None => self.load(id, self.clusters.parts, part_number(range), range)?,
            };
            if each(place, &part).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn kept_part(&self, range: &Range<u64>) -> Option<Arc<[u8]>> {
        let part = self.cache.get(self.clusters.parts, part_number(range)?)?;
        (part.len() as u64 == range.end - range.start).then_some(part)
    }

    fn read_records(&self, ranges: &[Range<u64>], each: &mut Each<'_>) -> Result<()> {
        let id = sections::postings(self.clusters.field, Region::Fine);
        let length = self.reader.len(id).unwrap_or(0);
        // Records that lie in one page, or in neighbours, are asked for once.
        let mut last: Option<(u64, Arc<[u8]>)> = None;
        let mut asked = 0;
        for range in ranges {
            let start = range.start - range.start % PAGE_BYTES;
            if range.end > asked {
                let end = range.end.next_multiple_of(PAGE_BYTES).min(length);
                self.reader.will_read(id, start.max(asked)..end);
                asked = end;
            }
        }
        let mut record = Vec::new();
        for (place, range) in ranges.iter().enumerate() {
            record.clear();
            let mut at = range.start;
            while at < range.end {
                let first = at - at % PAGE_BYTES;
                let page = match &last {
                    Some((start, page)) if *start == first => Arc::clone(page),
                    _ => self.page(id, first, length)?,
                };
                let end = range.end.min(first + page.len() as u64);
                let bytes = page.get((at - first) as usize..(end - first) as usize);
                let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
                    // The reader says what is wrong with a range beyond the end.
                    self.reader.read_range(id, at, &mut [0])?;
                    break;
                };
                record.extend_from_slice(bytes);
                (at, last) = (end, Some((first, page)));
            }
            if each(place, &record).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn page(&self, id: SectionId, first: u64, length: u64) -> Result<Arc<[u8]>> {
        let number = u32::try_from(first / PAGE_BYTES).ok();
        let kept = number.and_then(|number| self.cache.get(self.clusters.pages, number));
        if let Some(page) = kept {
            return Ok(page);
        }
        let range = first..(first + PAGE_BYTES).min(length);
        self.load(id, self.clusters.pages, number, &range)
    }

    /// Reads a range, and keeps it if it has a number.
    fn load(
        &self,
        id: SectionId,
        file: u64,
        number: Option<u32>,
        range: &Range<u64>,
    ) -> Result<Arc<[u8]>> {
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        self.reader.read_range(id, range.start, &mut bytes)?;
        let bytes = Arc::from(bytes);
        if let Some(number) = number {
            self.cache.insert(file, number, &bytes);
        }
        Ok(bytes)
    }
}

/// The number of the part of a list; none beyond 256 GiB.
fn part_number(range: &Range<u64>) -> Option<u32> {
    /// Parts start at multiples of it.
    const ALIGNMENT: u64 = 64;
    u32::try_from(range.start / ALIGNMENT).ok()
}
