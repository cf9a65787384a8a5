//! The nearest candidates of every row, gathered from many places at once.

use std::sync::{Mutex, PoisonError};

/// Rows that share a lock.
const PART_ROWS: usize = 64;

/// For each row the nearest candidates offered, each once.
///
/// What is kept does not depend on the order of offers, so not on threads either: of the distances
/// offered for one candidate the smallest counts, ties go to the lower row, and the nearest stay.
pub(super) struct Reservoirs {
    room: usize,
    parts: Vec<Mutex<Part>>,
}

struct Part {
    counts: [u16; PART_ROWS],
    /// `room` keys for each row, those in use first and in order.
    keys: Vec<u64>,
}

impl Reservoirs {
    pub(super) fn new(rows: usize, room: usize) -> Self {
        let part = || {
            Mutex::new(Part {
                counts: [0; PART_ROWS],
                keys: vec![0; PART_ROWS * room],
            })
        };
        Self {
            room,
            parts: std::iter::repeat_with(part)
                .take(rows.div_ceil(PART_ROWS))
                .collect(),
        }
    }

    /// Offers candidates of the row numbered `slot`, see [`key`].
    pub(super) fn offer(&self, slot: usize, candidates: &[u64]) {
        let (part, slot) = (slot / PART_ROWS, slot % PART_ROWS);
        let mut part = self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Part { counts, keys } = &mut *part;
        let keys = &mut keys[slot * self.room..][..self.room];
        let mut count = usize::from(counts[slot]);
        for &candidate in candidates {
            count = keep(keys, count, candidate);
        }
        counts[slot] = count as u16;
    }

    /// Adds the candidates of the row numbered `slot` to `rows`.
    pub(super) fn read(&self, slot: usize, rows: &mut Vec<u32>) {
        let (part, slot) = (slot / PART_ROWS, slot % PART_ROWS);
        let part = self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let keys = &part.keys[slot * self.room..][..usize::from(part.counts[slot])];
        rows.extend(keys.iter().map(|&key| key as u32));
    }
}

/// A candidate as one number, which orders by distance, then by row.
#[inline(always)]
pub(super) fn key(distance: f32, row: u32) -> u64 {
    // Distances are not negative, so they order as their bits do; what is no number comes last.
    u64::from(distance.max(0.0).to_bits()) << 32 | u64::from(row)
}

/// Adds `new` to the first `count` of `keys`; how many there are then.
fn keep(keys: &mut [u64], count: usize, new: u64) -> usize {
    if count == keys.len() && new >= keys[count - 1] {
        return count;
    }
    let held = &keys[..count];
    let known = held.iter().position(|&key| key as u32 == new as u32);
    let at = held.partition_point(|&key| key < new);
    let end = match known {
        Some(known) if known < at || keys[known] == new => return count,
        Some(known) => known,
        None if count == keys.len() => count - 1,
        None => count,
    };
    keys.copy_within(at..end, at + 1);
    keys[at] = new;
    count.max(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_does_not_depend_on_the_order_of_offers() {
        let offers: Vec<u64> = (0..60u32)
            .map(|i| key((i * 7 % 13) as f32 + (i % 3) as f32 * 0.25, i * 5 % 17))
            .collect();
        let kept = |offers: &[u64]| {
            let reservoirs = Reservoirs::new(70, 6);
            for offer in offers {
                reservoirs.offer(66, std::slice::from_ref(offer));
            }
            let mut rows = Vec::new();
            reservoirs.read(66, &mut rows);
            rows
        };
        let first = kept(&offers);
        assert_eq!(first.len(), 6);
        for turn in 1..offers.len() {
            let mut turned = offers.clone();
            turned.rotate_left(turn);
            assert_eq!(kept(&turned), first, "turn={turn}");
            turned.reverse();
            assert_eq!(kept(&turned), first, "turn={turn}");
        }
        let mut best = std::collections::BTreeMap::new();
        for &offer in &offers {
            let least = best.entry(offer as u32).or_insert(offer);
            *least = offer.min(*least);
        }
        let mut expected: Vec<u64> = best.into_values().collect();
        expected.sort_unstable();
        let expected: Vec<u32> = expected.iter().map(|&key| key as u32).take(6).collect();
        assert_eq!(first, expected);
    }
}
