//! The best rows of an inverted index, exactly.

use std::cmp::Ordering;
use std::ops::Range;

use crate::flat::TopK;
use crate::{Effort, Hit, Stopped};

use super::{BLOCK, List, SparseIndex};

/// Rows whose sums are kept at once: 32 KiB, within the first-level cache.
const WINDOW: u32 = 4_096;

/// The entries of one list that are still to come.
struct Cursor<'a> {
    list: &'a List,
    weight: f64,
    at: usize,
}

impl SparseIndex {
    /// Finds the `k` accepted rows of `range` with the largest inner product with `query`, exactly, of those
    /// that share an index with it. Distances are minus the product, within the range of an `f32`.
    ///
    /// `query` has rising indexes and finite values. `hits` is cleared, then holds the rows, nearest first; `tie`
    /// orders rows at equal distance, see [`TopK`].
    ///
    /// Cost: each entry of the lists of the query at most once, and 32 KiB.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked for every 4,096 rows.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn search(
        &self,
        query: &[(u32, f32)],
        k: usize,
        range: Range<u32>,
        accept: impl Fn(u32) -> bool,
        tie: impl Fn(u32, u32) -> Ordering,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        hits.clear();
        let mut top = TopK::new(k);
        let mut effort = Effort::default();
        let end = range.end.min(self.rows);
        let mut cursors: Vec<Cursor<'_>> = query
            .iter()
            .filter_map(|(index, weight)| {
                let list = self.lists.get(index)?;
                Some(Cursor::new(list, f64::from(*weight), range.start))
            })
            .collect();
        let mut window = Window::new();
        loop {
            let next = cursors.iter().filter_map(Cursor::row).min();
            let Some(first) = next.filter(|row| *row < end) else {
                break;
            };
            if stop() {
                return Err(Stopped);
            }
            let last = first.saturating_add(WINDOW).min(end);
            // Rounding never turns an order around, so no sum of a row is above that of the bounds.
            let bound: f64 = cursors.iter().map(|cursor| cursor.bound(last)).sum();
            if distance(bound) > top.threshold() {
                cursors.iter_mut().for_each(|cursor| cursor.skip_to(last));
                continue;
            }
            for cursor in &mut cursors {
                cursor.add(first, last, &mut window);
            }
            window.drain(first, |row, sum| {
                if accept(row) {
                    effort.distances = effort.distances.saturating_add(1);
                    top.push(distance(sum), row, &tie);
                }
            });
        }
        top.finish(tie, hits);
        Ok(effort)
    }
}

/// Minus a score. One that no `f32` holds is the largest that there is.
fn distance(sum: f64) -> f32 {
    (-sum as f32).clamp(f32::MIN, f32::MAX)
}

impl<'a> Cursor<'a> {
    fn new(list: &'a List, weight: f64, first: u32) -> Self {
        let mut cursor = Self {
            list,
            weight,
            at: 0,
        };
        cursor.skip_to(first);
        cursor
    }

    fn row(&self) -> Option<u32> {
        self.list.rows.get(self.at).copied()
    }

    fn skip_to(&mut self, row: u32) {
        self.at += self.list.rows[self.at..].partition_point(|it| *it < row);
    }

    /// What an entry before row `last` adds to a sum at most; nothing is as good as an entry below zero.
    fn bound(&self, last: u32) -> f64 {
        if self.row().is_none_or(|row| row >= last) {
            return 0.0;
        }
        let firsts = self.list.rows.iter().step_by(BLOCK);
        let blocks = self.list.bounds.iter().zip(firsts).skip(self.at / BLOCK);
        let before = blocks.take_while(|(_, first)| **first < last);
        let most = before.map(|(bound, _)| {
            let product = |value: f32| self.weight * f64::from(value);
            product(bound.low).max(product(bound.high))
        });
        most.fold(0.0, f64::max)
    }

    /// Adds the entries before row `last` to the sums of a window that begins with row `first`.
    fn add(&mut self, first: u32, last: u32, window: &mut Window) {
        let (rows, values) = (&self.list.rows[self.at..], &self.list.values[self.at..]);
        let count = rows.partition_point(|row| *row < last);
        for (row, value) in rows[..count].iter().zip(&values[..count]) {
            window.add((row - first) as usize, self.weight * f64::from(*value));
        }
        self.at += count;
    }
}

/// Sums of some rows, and which of them have any.
struct Window {
    sums: Vec<f64>,
    touched: [u64; WINDOW as usize / 64],
}

impl Window {
    fn new() -> Self {
        Self {
            sums: vec![0.0; WINDOW as usize],
            touched: [0; WINDOW as usize / 64],
        }
    }

    fn add(&mut self, at: usize, product: f64) {
        self.sums[at] += product;
        self.touched[at / 64] |= 1 << (at % 64);
    }

    /// Hands over each row that has a sum, and forgets them.
    fn drain(&mut self, first: u32, mut each: impl FnMut(u32, f64)) {
        for (word, bits) in self.touched.iter_mut().enumerate() {
            while *bits != 0 {
                let at = word * 64 + bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                each(first + at as u32, std::mem::take(&mut self.sums[at]));
            }
        }
    }
}
