//! The best rows that have any of some things: the common kind of query, and the expensive one.
//!
//! ```text
//! for each window of rows
//!     order the cursors by the best score that their blocks allow there
//!     optional: the least of them, as long as together they cannot reach the least of the best rows
//!     of all others add up the scores by row
//!     rows that can be among the best with all that is optional: add that, from the largest bound on
//! ```
//!
//! A window whose bounds together are too low is not decoded at all. This is MaxScore (Turtle and
//! Flood 1995) with the bounds of blocks (Ding and Suel 2011), by windows as Lucene does it: in a
//! window, adding to an array costs less than keeping cursors in order does.
//!
//! Bounds and sums may be compared: sums are exact (see the crate), bounds are a little too large, and a
//! row that ties with the least of the best comes behind it, because rows come in order; where ties have
//! another order, the least is a little less ([`Top::least`]).

use super::Stopped;
use super::cursor::Cursor;
use super::top::Top;

/// Rows of a window: their sums are 16 KiB, half of the smallest of caches.
const WINDOW: u32 = 2048;

pub(super) fn search(
    cursors: &mut [Cursor<'_>],
    rows: u32,
    accept: impl Fn(u32) -> bool,
    mut stop: impl FnMut() -> bool,
    top: &mut Top<'_>,
) -> Result<(), Stopped> {
    for cursor in cursors.iter_mut() {
        if stop() {
            return Err(Stopped);
        }
        cursor.find_bounds();
    }
    let mut sums = vec![0.0; WINDOW as usize];
    let mut order: Vec<(f64, usize)> = Vec::with_capacity(cursors.len());
    let mut start = 0;
    while start < rows {
        if stop() {
            return Err(Stopped);
        }
        let end = start.saturating_add(WINDOW).min(rows);
        let bounds = cursors.iter_mut().map(|cursor| cursor.bound(start, end));
        order.clear();
        order.extend(bounds.zip(0..).filter(|(bound, _)| *bound > 0.0));
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let window = Window { start, end };
        window.search(cursors, &order, &mut sums, &accept, top);
        start = end;
    }
    Ok(())
}

struct Window {
    start: u32,
    end: u32,
}

impl Window {
    fn search(
        &self,
        cursors: &mut [Cursor<'_>],
        order: &[(f64, usize)],
        sums: &mut [f64],
        accept: impl Fn(u32) -> bool,
        top: &mut Top<'_>,
    ) {
        let mut rest = 0.0;
        let within = order.iter().take_while(|(bound, _)| {
            let is_optional = rest + bound <= top.least();
            rest += if is_optional { *bound } else { 0.0 };
            is_optional
        });
        let (optional, needed) = order.split_at(within.count());
        if needed.is_empty() {
            return;
        }
        let mut used = 0;
        for (_, cursor) in needed {
            used = used.max(cursors[*cursor].add(self.start, self.end, sums));
        }
        let mut least = top.least();
        for (row, sum) in (self.start..).zip(&mut sums[..used]) {
            let found = std::mem::take(sum);
            if found == 0.0 || found + rest <= least || !accept(row) {
                continue;
            }
            if let Some(score) = with_optional(cursors, optional, row, (found, rest), least) {
                top.push(row, score);
                least = top.least();
            }
        }
    }
}

/// A score that is found with what is optional; `None` once it cannot exceed `least`.
fn with_optional(
    cursors: &mut [Cursor<'_>],
    optional: &[(f64, usize)],
    row: u32,
    (mut found, mut rest): (f64, f64),
    least: f64,
) -> Option<f64> {
    for (bound, cursor) in optional.iter().rev() {
        if found + rest <= least {
            return None;
        }
        rest -= bound;
        let cursor = &mut cursors[*cursor];
        if cursor.walk.seek(row) == row {
            found += cursor.score(row);
        }
    }
    Some(found)
}
