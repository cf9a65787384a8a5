//! Where postings are read from.

use std::fmt;
use std::ops::{ControlFlow, Range};

/// One of the two stretches of bytes beside the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Row numbers and short codes, scanned as a whole for every list that is probed.
    Coarse,
    /// Longer codes, read for the best candidates alone.
    Fine,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coarse => "coarse",
            Self::Fine => "fine",
        })
    }
}

/// Takes the bytes of a range, by its place among the ranges asked for.
pub type Each<'a> = dyn FnMut(usize, &[u8]) -> ControlFlow<()> + 'a;

/// Reads ranges of the regions, wherever they are: in memory, in a file, behind a network.
///
/// One call is one round: all its ranges are known, so whoever implements this may read them at the same
/// time, join those that lie close together, keep or borrow them.
pub trait Postings {
    /// Why a range could not be read.
    type Error;

    /// Hands the bytes of each of `ranges` of `region` to `each`, once, with the place of the range.
    ///
    /// Ranges come in the order in which they are best handed over: lists nearest first, records as they
    /// lie. Another order costs a little speed, and may change which of nearly equal rows are found. Bytes
    /// need no alignment. When `each` breaks there is nothing more to hand over, and the answer is `Ok`.
    ///
    /// # Errors
    /// Of the source. What was handed over before it counts for nothing.
    fn read(
        &self,
        region: Region,
        ranges: &[Range<u64>],
        each: &mut Each<'_>,
    ) -> Result<(), Self::Error>;
}

/// Both regions in memory, borrowed.
///
/// # Examples
/// ```
/// use std::ops::ControlFlow;
/// use cairn_index::ivf::{InMemory, Postings, Region};
///
/// let postings = InMemory { coarse: &[1, 2, 3, 4], fine: &[] };
/// let mut read = Vec::new();
/// postings.read(Region::Coarse, &[2..4, 0..1], &mut |place, bytes| {
///     read.push((place, bytes.to_vec()));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(read, [(0, vec![3, 4]), (1, vec![1])]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InMemory<'a> {
    /// All of [`Region::Coarse`].
    pub coarse: &'a [u8],
    /// All of [`Region::Fine`].
    pub fine: &'a [u8],
}

/// A range that is not within its region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region ends too early, region={region}, start={}, end={}", range.start, range.end)]
pub struct OutOfRange {
    /// The region.
    pub region: Region,
    /// What was asked of it, in bytes.
    pub range: Range<u64>,
}

impl Postings for InMemory<'_> {
    type Error = OutOfRange;

    fn read(
        &self,
        region: Region,
        ranges: &[Range<u64>],
        each: &mut Each<'_>,
    ) -> Result<(), OutOfRange> {
        let all = match region {
            Region::Coarse => self.coarse,
            Region::Fine => self.fine,
        };
        for (place, range) in ranges.iter().enumerate() {
            let within = || {
                let start = usize::try_from(range.start).ok()?;
                all.get(start..usize::try_from(range.end).ok()?)
            };
            let Some(bytes) = within() else {
                let range = range.clone();
                return Err(OutOfRange { region, range });
            };
            if each(place, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }
}
