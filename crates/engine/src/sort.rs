//! Sorting that can be ended early.

use std::cmp::Ordering;

use crate::error::Result;
use crate::stop::Stop;

/// Items between two looks at whether to go on: some hundred microseconds for keys.
const PIECE: usize = 4_096;

/// Sorts `items`: in pieces first, which are then merged two by two. Equal items come in no order.
///
/// # Errors
/// What `stop` says; the items are then in any order, and may be fewer.
pub(crate) fn sort_until<T: Copy>(
    items: &mut Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    stop: &Stop,
) -> Result<()> {
    for piece in items.chunks_mut(PIECE) {
        stop.check()?;
        piece.sort_unstable_by(&compare);
    }
    let mut merged = Vec::new();
    let mut width = PIECE;
    while width < items.len() {
        merged.clear();
        merged.reserve_exact(items.len());
        for pair in items.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([a, ..], [b, ..]) = (left, right) {
                if merged.len().is_multiple_of(PIECE) {
                    stop.check()?;
                }
                let from = match compare(b, a).is_lt() {
                    true => &mut right,
                    false => &mut left,
                };
                merged.push(from[0]);
                *from = &from[1..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(items, &mut merged);
        width *= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn it_sorts_at_every_length() {
        for count in [
            0,
            1,
            2,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            5 * PIECE + 7,
            8 * PIECE,
        ] {
            let mut items: Vec<u64> = (0..count as u64)
                .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48)
                .collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            sort_until(&mut items, u64::cmp, &Stop::never()).expect("nobody stops it");
            assert!(items == expected, "{count}");
        }
    }

    #[test]
    fn it_ends_when_told() {
        let flag = Arc::new(AtomicBool::new(true));
        let stop = Stop::never().when(flag);
        let mut items = vec![3, 1, 2];
        assert!(sort_until(&mut items, i32::cmp, &stop).is_err());
    }
}
