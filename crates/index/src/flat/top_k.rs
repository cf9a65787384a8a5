//! The `k` nearest of everything pushed, whichever scans pushed it.

use std::cmp::Ordering;

use crate::Hit;

/// The `k` nearest rows seen so far, with ties broken by the caller.
///
/// Several scans may share one: the caller numbers rows so that they do not collide.
///
/// Ties: `tie(a, b)` orders two rows at equal distance, `Less` meaning that `a` is kept before `b`.
/// It must be a total order over the rows and the same in every call. It decides the order of the
/// answer *and* which rows of an equal `k`-th distance are in it, so the answer does not depend on
/// the order in which rows were pushed.
///
/// Cost: a row that is not among the `k` nearest costs one comparison; one that is, `O(log k)`.
/// Allocates only when it first holds more rows than ever before.
///
/// # Examples
/// ```
/// use cairn_index::flat::TopK;
///
/// let mut top = TopK::new(2);
/// for (distance, row) in [(0.5, 0), (0.1, 1), (0.5, 2), (0.9, 3)] {
///     top.push(distance, row, |a, b| a.cmp(&b));
/// }
/// let mut hits = Vec::new();
/// top.finish(|a, b| a.cmp(&b), &mut hits);
/// assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [1, 0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TopK {
    /// A binary heap with the worst hit at the root once full; in any order before.
    heap: Vec<Hit>,
    k: usize,
}

impl TopK {
    /// Keeps the `k` nearest. With `k` zero it keeps nothing.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self {
            heap: Vec::new(),
            k,
        }
    }

    /// Forgets every row and keeps `k` from now on; the memory stays.
    pub fn reset(&mut self, k: usize) {
        self.heap.clear();
        self.k = k;
    }

    /// Rows kept, at most `k`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no row is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// A row farther than this cannot enter; one at exactly this distance may, by its tie.
    /// Infinity until `k` rows are kept.
    #[inline]
    #[must_use]
    pub fn threshold(&self) -> f32 {
        match self.heap.first() {
            Some(worst) if self.heap.len() == self.k => worst.distance,
            _ => f32::INFINITY,
        }
    }

    /// Offers a row. A distance that is not a number counts as infinity.
    #[inline]
    pub fn push(&mut self, distance: f32, row: u32, tie: impl Fn(u32, u32) -> Ordering) {
        if distance > self.threshold() || self.k == 0 {
            return;
        }
        let distance = if distance.is_nan() {
            f32::INFINITY
        } else {
            distance
        };
        self.keep(Hit { distance, row }, tie);
    }

    /// Moves the rows kept to the end of `hits`, nearest first, and forgets them.
    pub fn finish(&mut self, tie: impl Fn(u32, u32) -> Ordering, hits: &mut Vec<Hit>) {
        // In place, so without a buffer; `tie` leaves no equals whose order could be lost.
        self.heap.sort_unstable_by(|a, b| order(a, b, &tie));
        hits.append(&mut self.heap);
    }

    fn keep(&mut self, hit: Hit, tie: impl Fn(u32, u32) -> Ordering) {
        if self.heap.len() < self.k {
            self.heap.push(hit);
            if self.heap.len() == self.k {
                for root in (0..self.k / 2).rev() {
                    self.sift_down(root, &tie);
                }
            }
        } else if order(&hit, &self.heap[0], &tie) == Ordering::Less {
            self.heap[0] = hit;
            self.sift_down(0, &tie);
        }
    }

    fn sift_down(&mut self, mut parent: usize, tie: &impl Fn(u32, u32) -> Ordering) {
        loop {
            let mut child = 2 * parent + 1;
            if child >= self.heap.len() {
                return;
            }
            let other = child + 1;
            if other < self.heap.len()
                && order(&self.heap[other], &self.heap[child], tie) == Ordering::Greater
            {
                child = other;
            }
            if order(&self.heap[child], &self.heap[parent], tie) != Ordering::Greater {
                return;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
    }
}

/// Nearest first, then by `tie`. Distances here are numbers, so they compare; equal zeros of
/// either sign are a tie.
fn order(a: &Hit, b: &Hit, tie: &impl Fn(u32, u32) -> Ordering) -> Ordering {
    let nearer = a.distance.partial_cmp(&b.distance);
    nearer
        .unwrap_or(Ordering::Equal)
        .then_with(|| tie(a.row, b.row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(top: &mut TopK) -> Vec<u32> {
        let mut hits = Vec::new();
        top.finish(|a, b| a.cmp(&b), &mut hits);
        hits.iter().map(|hit| hit.row).collect()
    }

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_pushes() {
        let rows: Vec<(f32, u32)> = (0..50).map(|row| ((row * 7 % 5) as f32, row)).collect();
        for k in 0..=51 {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
            expected.truncate(k);
            for rotation in 0..rows.len() {
                let mut top = TopK::new(k);
                for at in 0..rows.len() {
                    let (distance, row) = rows[(at + rotation) % rows.len()];
                    top.push(distance, row, |a, b| a.cmp(&b));
                }
                let expected: Vec<u32> = expected.iter().map(|hit| hit.1).collect();
                assert_eq!(finished(&mut top), expected, "k={k} rotation={rotation}");
            }
        }
    }

    #[test]
    fn a_distance_that_is_no_number_comes_last_and_never_evicts() {
        let mut top = TopK::new(2);
        for (distance, row) in [(f32::NAN, 0), (1.0, 1), (2.0, 2), (f32::NAN, 3)] {
            top.push(distance, row, |a, b| a.cmp(&b));
        }
        assert_eq!(finished(&mut top), [1, 2]);
    }

    #[test]
    fn zeros_of_either_sign_are_a_tie() {
        let mut top = TopK::new(1);
        top.push(0.0, 1, |a, b| a.cmp(&b));
        top.push(-0.0, 2, |a, b| a.cmp(&b));
        assert_eq!(finished(&mut top), [1]);
    }
}
