//! All images of a crash point, as far as they can be counted.

use std::fmt;
use std::sync::Arc;

use super::choice::{Fate, Tear, typical_tears};
use super::image::{CrashImage, CrashPoint};

/// More undecided operations than this are never shown in all subsets.
const WIDTH_MAX: usize = 32;

/// How much of what can happen an enumeration has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Operations that were undecided.
    pub undecided: usize,
    /// Ways to keep or lose each of them whole: 2 to their number.
    pub subsets: u128,
    /// How many of those are decided: shown, or the same as one that is.
    pub covered: u128,
    /// How many of the covered ones are the same as another.
    pub coinciding: u128,
    /// Images with a torn write on top.
    pub torn: u64,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "covered {}/{} subsets of {} undecided operations ({} coincide), {} torn variants",
            self.covered, self.subsets, self.undecided, self.coinciding, self.torn
        )
    }
}

/// Images of one crash point, from [`SimDisk::enumerate_images`](crate::SimDisk::enumerate_images).
#[derive(Debug)]
pub struct Images {
    point: Arc<CrashPoint>,
    /// Operations before this position share one fate.
    older: usize,
    next_subset: u64,
    subset_end: u64,
    /// Position and tear, still to be shown in each surrounding.
    tears: std::vec::IntoIter<(usize, Tear)>,
    ready: Vec<Vec<Fate>>,
    coverage: Coverage,
}

impl Images {
    pub(super) fn new(point: Arc<CrashPoint>, max_undecided: usize) -> Self {
        let count = point.undecided();
        let width = count.min(max_undecided).min(WIDTH_MAX);
        let older = count - width;
        // With older operations left over, they are all kept in one pass and all lost in another.
        let passes = if older > 0 { 2 } else { 1 };
        let tears: Vec<(usize, Tear)> = (older..count)
            .flat_map(|op| typical_tears(&point, op).into_iter().map(move |t| (op, t)))
            .collect();
        Self {
            point,
            older,
            next_subset: 0,
            subset_end: passes << width,
            tears: tears.into_iter(),
            ready: Vec::new(),
            coverage: Coverage {
                undecided: count,
                subsets: if count < 128 { 1 << count } else { u128::MAX },
                covered: 0,
                coinciding: 0,
                torn: 0,
            },
        }
    }

    /// What has been shown so far; everything, once the iterator has ended.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    fn next_subset(&mut self) -> Option<Vec<Fate>> {
        let count = self.point.undecided();
        while self.next_subset < self.subset_end {
            let bits = self.next_subset;
            self.next_subset += 1;
            self.coverage.covered += 1;
            let kept = |op: usize| match op.checked_sub(self.older) {
                Some(bit) => bits >> bit & 1 == 1,
                None => bits >> (count - self.older) & 1 == 0,
            };
            let fates: Vec<Fate> = (0..count).map(|op| whole(kept(op))).collect();
            if self.point.is_possible(&fates) {
                return Some(fates);
            }
            // Something kept that needs something lost is as good as lost: another subset.
            self.coverage.coinciding += 1;
        }
        None
    }

    /// The next torn write, once with all else kept, once with all else lost, and once with
    /// what came before kept and what came after lost.
    fn next_torn(&mut self) -> Option<Vec<Fate>> {
        if let Some(fates) = self.ready.pop() {
            return Some(fates);
        }
        let (torn, tear) = self.tears.next()?;
        let surroundings: [&dyn Fn(usize) -> bool; 3] = [&|_| true, &|_| false, &|op| op < torn];
        for kept in surroundings {
            let mut fates: Vec<Fate> = (0..self.point.undecided())
                .map(|op| whole(kept(op)))
                .collect();
            fates[torn] = Fate::Torn(tear.clone());
            self.keep_needs(torn, &mut fates);
            self.point.make_possible(&mut fates);
            if !self.ready.contains(&fates) {
                self.ready.push(fates);
            }
        }
        self.ready.pop()
    }

    fn keep_needs(&self, op: usize, fates: &mut [Fate]) {
        for &need in self.point.needs(op) {
            if fates[need] == Fate::Lost {
                fates[need] = Fate::Kept;
                self.keep_needs(need, fates);
            }
        }
    }
}

fn whole(kept: bool) -> Fate {
    if kept { Fate::Kept } else { Fate::Lost }
}

impl Iterator for Images {
    type Item = CrashImage;

    fn next(&mut self) -> Option<CrashImage> {
        if let Some(fates) = self.next_subset() {
            return Some(self.point.record(fates));
        }
        let fates = self.next_torn()?;
        self.coverage.torn += 1;
        Some(self.point.record(fates))
    }
}
