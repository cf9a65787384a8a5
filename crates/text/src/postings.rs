//! The rows that have a term, wherever they are kept, and walks over them.

use std::borrow::Cow;

use crate::block::{BLOCK, Block, Impact};
use crate::index::Packed;
use crate::score::FieldStatistics;

/// Behind all rows.
pub(crate) const END: u32 = u32::MAX;

/// An index, as queries see it.
pub(crate) trait Source: Sync {
    /// Rows, with texts or without.
    fn rows(&self) -> u32;

    /// The counts of a field; zeros for one that is not there.
    fn statistics(&self, field: usize) -> FieldStatistics;

    /// Terms by row; empty for a field that is not there.
    fn lengths(&self, field: usize) -> &[u32];

    fn find(&self, field: usize, term: &str) -> Option<Postings<'_>>;

    /// Hands over the postings of each term that begins so.
    fn starting<'a>(&'a self, field: usize, prefix: &str, each: &mut dyn FnMut(Postings<'a>));
}

/// The postings of a term.
#[derive(Clone, Debug)]
pub(crate) enum Postings<'a> {
    /// In the bytes of an index.
    Packed(Packed<'a>),
    /// In memory.
    Plain(Plain<'a>),
}

/// Postings as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain<'a> {
    /// Ascending.
    pub rows: Cow<'a, [u32]>,
    /// How often the term stands in each.
    pub times: Cow<'a, [u32]>,
    /// Where in `positions` those of each row end.
    pub ends: &'a [usize],
    pub positions: &'a [u32],
    /// One of these is not beaten by any posting; see [`frontier`](crate::block::frontier).
    pub impacts: Vec<Impact>,
}

impl Plain<'_> {
    /// Postings of a phrase or prefix, which were just found: without positions.
    pub fn found(pairs: Vec<(u32, u32)>, lengths: &[u32]) -> Self {
        let impact = |&(row, times): &(u32, u32)| (times, lengths[row as usize]);
        let mut impacts: Vec<Impact> = Vec::new();
        for chunk in pairs.chunks(BLOCK) {
            impacts.extend(chunk.iter().map(impact));
            impacts = crate::block::frontier(impacts);
        }
        let (rows, times): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        Plain {
            rows: rows.into(),
            times: times.into(),
            ends: &[],
            positions: &[],
            impacts,
        }
    }
}

impl<'a> Postings<'a> {
    /// The same, without a copy of what was found.
    pub fn borrowed(&self) -> Postings<'_> {
        match self {
            Self::Packed(packed) => Postings::Packed(*packed),
            Self::Plain(plain) => Postings::Plain(Plain {
                rows: Cow::Borrowed(&plain.rows),
                times: Cow::Borrowed(&plain.times),
                impacts: plain.impacts.clone(),
                ..*plain
            }),
        }
    }

    /// Rows that have the term.
    pub fn count(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.count(),
            Self::Plain(plain) => plain.rows.len(),
        }
    }

    pub fn blocks(&self) -> usize {
        self.count().div_ceil(BLOCK)
    }

    /// The last row of a block, or one behind it.
    #[inline]
    pub fn last_row(&self, block: usize) -> u32 {
        match self {
            Self::Packed(packed) => packed.last_row(block),
            Self::Plain(plain) => {
                let last = (block + 1) * BLOCK - 1;
                plain.rows.get(last).copied().unwrap_or(END)
            }
        }
    }

    /// Reads a block; an empty one where there is none.
    pub fn read(&self, block: usize, into: &mut Block) {
        into.len = 0;
        match self {
            Self::Packed(packed) => {
                // Bytes were checked before.
                let read = packed.read(block, into);
                debug_assert!(read.is_some(), "a block of an index can be read");
            }
            Self::Plain(plain) => {
                let start = (block * BLOCK).min(plain.rows.len());
                let len = (plain.rows.len() - start).min(BLOCK);
                into.rows[..len].copy_from_slice(&plain.rows[start..start + len]);
                into.times[..len].copy_from_slice(&plain.times[start..start + len]);
                into.len = len;
            }
        }
    }

    /// Impacts of which no posting of the block beats all.
    pub fn impacts(&self, block: usize, lengths: &[u32], into: &mut Vec<Impact>) {
        into.clear();
        match self {
            Self::Packed(packed) => {
                let read = packed.impacts(block, lengths, into);
                debug_assert!(read.is_some(), "a block of an index can be read");
            }
            Self::Plain(plain) => into.extend(&plain.impacts),
        }
    }

    /// Appends the positions of the posting at `at` in `block`, which was read into `read`.
    fn positions(
        &self,
        block: usize,
        at: usize,
        read: &Block,
        place: &mut Place<'a>,
        into: &mut Vec<u32>,
    ) {
        match self {
            Self::Packed(packed) => {
                if place.block != Some(block) || place.at > at {
                    place.block = Some(block);
                    place.at = 0;
                    place.rest = packed.positions(block);
                }
                let skipped = read.times[place.at..at].iter();
                let skipped: u64 = skipped.map(|times| u64::from(*times)).sum();
                for _ in 0..skipped {
                    place.rest.number();
                }
                place.at = at + 1;
                let mut position = 0_u32;
                for _ in 0..read.times[at] {
                    position = position.wrapping_add(place.rest.small().unwrap_or(0));
                    into.push(position);
                }
            }
            Self::Plain(plain) => {
                let index = block * BLOCK + at;
                let start = index.checked_sub(1).map_or(0, |before| plain.ends[before]);
                into.extend(&plain.positions[start..plain.ends[index]]);
            }
        }
    }
}

/// How far the positions of a block were read.
#[derive(Clone, Debug)]
struct Place<'a> {
    block: Option<usize>,
    /// Postings of the block that were read.
    at: usize,
    rest: crate::packing::Reader<'a>,
}

/// A walk over the postings of a term, forwards only.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    postings: Postings<'a>,
    /// The block to read next.
    next: usize,
    /// The one before it, once a block was read.
    block: Box<Block>,
    /// Where in the block the walk stands.
    at: usize,
    place: Place<'a>,
}

impl<'a> Walk<'a> {
    pub fn new(postings: Postings<'a>) -> Self {
        Self {
            postings,
            next: 0,
            block: Box::default(),
            at: 0,
            place: Place {
                block: None,
                at: 0,
                rest: crate::packing::Reader(&[]),
            },
        }
    }

    pub fn postings(&self) -> &Postings<'a> {
        &self.postings
    }

    /// Goes to the first row from `target` on, which may be the one where it stands; [`END`] if
    /// there is none.
    pub fn seek(&mut self, target: u32) -> u32 {
        loop {
            let rest = &self.block.rows()[self.at..];
            if rest.first().is_some_and(|first| *first >= target) {
                return rest[0];
            }
            if rest.last().is_some_and(|last| *last >= target) {
                self.at += rest.partition_point(|row| *row < target);
                return self.block.rows[self.at];
            }
            while self.next < self.postings.blocks() && self.postings.last_row(self.next) < target {
                self.next += 1;
            }
            if !self.read_next() {
                return END;
            }
        }
    }

    /// How often the term stands in the row that [`seek`](Self::seek) found.
    pub fn times(&self) -> u32 {
        self.block.times[self.at]
    }

    /// Positions in that row.
    pub fn positions(&mut self, into: &mut Vec<u32>) {
        let block = self.next - 1;
        into.clear();
        self.postings
            .positions(block, self.at, &self.block, &mut self.place, into);
    }

    /// Goes over the rows from where it stands to `end`.
    #[inline]
    pub fn each_before(&mut self, end: u32, mut each: impl FnMut(u32, u32)) {
        loop {
            let rows = &self.block.rows()[self.at..];
            let times = &self.block.times()[self.at..];
            let count = match rows.last() {
                Some(last) if *last < end => rows.len(),
                _ => rows.partition_point(|row| *row < end),
            };
            for (row, times) in rows[..count].iter().zip(times) {
                each(*row, *times);
            }
            self.at += count;
            if self.at < self.block.len || !self.read_next() {
                return;
            }
        }
    }

    fn read_next(&mut self) -> bool {
        self.at = 0;
        self.block.len = 0;
        if self.next >= self.postings.blocks() {
            return false;
        }
        self.postings.read(self.next, &mut self.block);
        self.next += 1;
        self.block.len > 0
    }
}
