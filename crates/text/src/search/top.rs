//! The best rows so far.

use std::cmp::Ordering;

use super::Hit;

/// Which of two rows with the same score comes first.
pub(super) type Tie<'t> = &'t dyn Fn(u32, u32) -> Ordering;

/// A heap, the worst on top.
pub(super) struct Top<'t> {
    k: usize,
    heap: Vec<Hit>,
    /// By row without one.
    tie: Option<Tie<'t>>,
}

impl<'t> Top<'t> {
    /// `k` is at least 1.
    pub fn new(k: usize, tie: Option<Tie<'t>>) -> Self {
        let heap = Vec::new();
        Self { k, heap, tie }
    }

    /// What a later row must exceed; 0, which every score exceeds, while there is room.
    pub fn least(&self) -> f64 {
        match self.heap.first() {
            Some(worst) if self.heap.len() == self.k => match self.tie {
                // A later row with the same score is worse.
                None => f64::from(worst.score),
                Some(_) => f64::from(worst.score.next_down()),
            },
            _ => 0.0,
        }
    }

    /// Takes a row, if it is among the best.
    pub fn push(&mut self, row: u32, score: f64) {
        let hit = Hit {
            row,
            score: score as f32,
        };
        if self.heap.len() < self.k {
            self.heap.push(hit);
            self.lift();
        } else if self.worse(&hit, &self.heap[0]).is_lt() {
            self.heap[0] = hit;
            self.sink();
        }
    }

    /// Appends them, best first.
    pub fn into_hits(mut self, hits: &mut Vec<Hit>) {
        let mut found = std::mem::take(&mut self.heap);
        found.sort_unstable_by(|a, b| self.worse(a, b));
        hits.append(&mut found);
    }

    /// Greater is worse: a lower score, or the same and behind in the order of ties.
    fn worse(&self, a: &Hit, b: &Hit) -> Ordering {
        b.score.total_cmp(&a.score).then_with(|| match self.tie {
            Some(tie) => tie(a.row, b.row),
            None => a.row.cmp(&b.row),
        })
    }

    /// Moves the last one up to its place.
    fn lift(&mut self) {
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.worse(&self.heap[at], &self.heap[parent]).is_le() {
                return;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    /// Moves the first one down to its place.
    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let [left, right] = [2 * at + 1, 2 * at + 2];
            let Some(first) = self.heap.get(left) else {
                return;
            };
            let second = self.heap.get(right);
            let child = match second {
                Some(second) if self.worse(second, first).is_gt() => right,
                _ => left,
            };
            if self.worse(&self.heap[child], &self.heap[at]).is_le() {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hit, Top};

    #[test]
    fn the_best_are_kept_whatever_the_order_and_ties_are_the_callers() {
        let rng = &mut cairn_testkit::Rng::new(8);
        for round in 0..300 {
            let rows: Vec<(u32, f64)> = (0..200)
                .map(|row| (row, 1.0 + rng.below(9) as f64))
                .collect();
            let later = |a: u32, b: u32| b.cmp(&a);
            let by_row = round % 2 == 0;
            let k = 1 + rng.range(0..250);
            let mut top = Top::new(k, (!by_row).then_some(&later));
            for (row, score) in &rows {
                top.push(*row, *score);
            }
            let mut expected = rows.clone();
            if !by_row {
                expected.reverse();
            }
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            expected.truncate(k);
            let mut hits: Vec<Hit> = Vec::new();
            top.into_hits(&mut hits);
            let found: Vec<(u32, f64)> = hits.iter().map(|it| (it.row, it.score.into())).collect();
            assert_eq!(found, expected, "round={round}");
        }
    }
}
