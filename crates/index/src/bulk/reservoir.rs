//! The nearest candidates of every row, gathered from many places at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cairn_distance::{advise_huge_pages, prefetch_slice};

use crate::Hit;

/// Candidates of a row, at most.
const ROOM_MAX: usize = 64;

/// Rows are locked by the rest of their number: locks that stay in the first-level cache.
const LOCKS: usize = 1024;

/// Where there is no candidate: behind all that are.
const NOBODY: u64 = (i32::MAX as u64) << 32 | u32::MAX as u64;

/// For each row the nearest candidates offered, each once.
///
/// What is kept does not depend on the order of offers, so not on threads either: of the distances
/// offered for one candidate the smallest counts, ties go to the lower row, and the nearest stay.
///
/// Candidates lie in memory that is read at random, so they can be asked for ahead: they are atomic for
/// that alone, and change under a lock.
pub(super) struct Reservoirs {
    room: usize,
    locks: Box<[Mutex<()>]>,
    /// `room` keys for each row, in order.
    keys: Vec<AtomicU64>,
}

/// The candidates of one row: rows, and beside them the bits of their distances. These are not negative, so
/// they order as signed numbers do, which more processors compare side by side.
struct Near {
    rows: [u32; ROOM_MAX],
    bits: [i32; ROOM_MAX],
}

impl Reservoirs {
    pub(super) fn new(rows: usize, room: usize) -> Self {
        assert!((1..=ROOM_MAX).contains(&room), "1 to {ROOM_MAX} candidates");
        let mut keys = Vec::with_capacity(rows * room);
        advise_huge_pages(keys.spare_capacity_mut());
        keys.resize_with(rows * room, || AtomicU64::new(NOBODY));
        Self {
            room,
            locks: std::iter::repeat_with(Mutex::default).take(LOCKS).collect(),
            keys,
        }
    }

    fn of(&self, slot: usize) -> &[AtomicU64] {
        &self.keys[slot * self.room..][..self.room]
    }

    /// Asks for the candidates of the row numbered `slot`, which is about to be offered more.
    pub(super) fn ask_for(&self, slot: usize) {
        prefetch_slice(self.of(slot));
    }

    /// A squared distance from which on offers change nothing; infinity while there is room.
    pub(super) fn bound(&self, slot: usize) -> f32 {
        // Others only lower it meanwhile.
        match self.of(slot)[self.room - 1].load(Ordering::Relaxed) {
            NOBODY => f32::INFINITY,
            // The next one after it: ties go to the lower row.
            last => f32::from_bits((last >> 32) as u32).next_up(),
        }
    }

    /// Offers candidates of the row numbered `slot`, see [`key`].
    pub(super) fn offer(&self, slot: usize, candidates: &[u64]) {
        if candidates.is_empty() {
            return;
        }
        let lock = self.locks[slot % LOCKS].lock();
        let _lock = lock.unwrap_or_else(PoisonError::into_inner);
        let keys = self.of(slot);
        let mut near = Near {
            rows: [0; ROOM_MAX],
            bits: [0; ROOM_MAX],
        };
        let slots = near.rows.iter_mut().zip(&mut near.bits);
        for (key, (row, bits)) in keys.iter().zip(slots) {
            let key = key.load(Ordering::Relaxed);
            (*row, *bits) = (key as u32, (key >> 32) as i32);
        }
        let (rows, bits) = (&mut near.rows[..self.room], &mut near.bits[..self.room]);
        for &candidate in candidates {
            keep(rows, bits, candidate);
        }
        for (key, (&row, &bits)) in keys.iter().zip(rows.iter().zip(&*bits)) {
            let new = u64::from(bits.cast_unsigned()) << 32 | u64::from(row);
            key.store(new, Ordering::Relaxed);
        }
    }

    /// Adds the candidates of the row numbered `slot` to `hits`.
    pub(super) fn read(&self, slot: usize, hits: &mut Vec<Hit>) {
        let keys = self.of(slot).iter().map(|key| key.load(Ordering::Relaxed));
        hits.extend(keys.take_while(|&key| key != NOBODY).map(hit));
    }
}

/// A candidate as one number, which orders by distance, then by row.
#[inline(always)]
pub(super) fn key(distance: f32, row: u32) -> u64 {
    // Distances are not negative, so they order as their bits do; what is no number comes last.
    u64::from(distance.max(0.0).to_bits()) << 32 | u64::from(row)
}

/// The candidate of a [`key`].
#[inline(always)]
pub(super) fn hit(key: u64) -> Hit {
    Hit {
        distance: f32::from_bits((key >> 32) as u32),
        row: key as u32,
    }
}

/// Puts `new` in its place, and out who was last; unless it is there already, at least as near.
fn keep(rows: &mut [u32], bits: &mut [i32], new: u64) {
    let (row, near) = (new as u32, (new >> 32) as i32);
    // Without a branch: most of the time goes into this.
    let (mut at, mut known) = (0u32, false);
    for (&other, &bits) in rows.iter().zip(&*bits) {
        at += u32::from(bits < near) | u32::from(bits == near) & u32::from(other < row);
        known |= other == row;
    }
    let at = at as usize;
    let mut end = rows.len() - 1;
    if known {
        let known = rows.iter().position(|&other| other == row);
        end = known.expect("it was met");
    }
    // Beyond the last one, or beyond itself.
    if at > end {
        return;
    }
    rows.copy_within(at..end, at + 1);
    bits.copy_within(at..end, at + 1);
    (rows[at], bits[at]) = (row, near);
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
            let mut hits = Vec::new();
            reservoirs.read(66, &mut hits);
            hits.iter().map(|hit| hit.row).collect::<Vec<_>>()
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
