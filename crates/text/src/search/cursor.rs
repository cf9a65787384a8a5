//! A walk over the rows of one part of a query, with scores.

use crate::block::Impact;
use crate::postings::{Postings, Walk};
use crate::score::Scorer;

pub(super) struct Cursor<'a> {
    pub walk: Walk<'a>,
    scorer: Scorer,
    /// Terms of the field, by row.
    lengths: &'a [u32],
    /// What no score of each block exceeds, once asked for.
    bounds: Vec<f64>,
    /// The first block that may have rows of the window that was asked about last.
    first: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(postings: Postings<'a>, scorer: Scorer, lengths: &'a [u32]) -> Self {
        Self {
            walk: Walk::new(postings),
            scorer,
            lengths,
            bounds: Vec::new(),
            first: 0,
        }
    }

    /// Rows in all.
    pub fn count(&self) -> usize {
        self.walk.postings().count()
    }

    /// The score of the row that was sought and found.
    pub fn score(&self, row: u32) -> f64 {
        let length = self.lengths[row as usize];
        self.scorer.score(self.walk.times(), length)
    }

    /// Finds out what no score of each block exceeds.
    pub fn find_bounds(&mut self) {
        let postings = self.walk.postings();
        let mut impacts: Vec<Impact> = Vec::new();
        let mut bound = |block: usize| {
            postings.impacts(block, self.lengths, &mut impacts);
            let scores = impacts.iter().map(|it| self.scorer.bound(it.0, it.1));
            scores.fold(0.0, f64::max)
        };
        self.bounds = match postings {
            Postings::Packed(_) => (0..postings.blocks()).map(bound).collect(),
            // Those in memory have the same impacts everywhere.
            Postings::Plain(_) => vec![bound(0); postings.blocks()],
        };
    }

    /// What no score from row `start` to `end` exceeds; 0 if there are none. Windows come in order.
    pub fn bound(&mut self, start: u32, end: u32) -> f64 {
        let postings = self.walk.postings();
        while self.first < self.bounds.len() && postings.last_row(self.first) < start {
            self.first += 1;
        }
        let mut most = 0.0_f64;
        for (at, bound) in self.bounds.iter().enumerate().skip(self.first) {
            most = most.max(*bound);
            if postings.last_row(at) >= end - 1 {
                break;
            }
        }
        most
    }

    /// Adds the scores of the rows from `start` to `end`, one a place of `sums`. How many places there
    /// are up to the last that got one.
    pub fn add(&mut self, start: u32, end: u32, sums: &mut [f64]) -> usize {
        let (scorer, lengths) = (self.scorer, self.lengths);
        let mut used = 0;
        self.walk.seek(start);
        self.walk.each_before(end, |row, times| {
            let at = (row - start) as usize;
            sums[at] += scorer.score(times, lengths[row as usize]);
            used = at + 1;
        });
        used
    }
}
