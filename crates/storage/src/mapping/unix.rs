//! Mappings of Linux, macOS and their relatives.

use std::fmt;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use memmap2::{Advice, Mmap, MmapOptions, UncheckedAdvice};

use super::guard::{self, Watched};

/// Bytes of a file, mapped for reading.
pub struct Mapping {
    // Ends before the mapping does: a signal must not be taken for that of what comes there next.
    watched: Watched,
    map: Mmap,
}

impl Mapping {
    /// Maps `bytes` bytes from `offset`. `None` where the system refuses, or the handler of its
    /// signal has no room for one more.
    pub(crate) fn new(file: BorrowedFd<'_>, offset: u64, bytes: usize) -> Option<Self> {
        if bytes == 0 {
            return None;
        }
        // SAFETY: the mapping is of its own and for reading only. The caller's file is never written
        // nor cut by us, and others are kept out by its mode and that of its directory. Should
        // somebody with the right to do so change it all the same, readers see other numbers: they
        // are of types for which all bits are valid, and nothing about memory depends on them. A page
        // that is not there is the business of the guard.
        let map = unsafe { MmapOptions::new().offset(offset).len(bytes).map(&file) };
        let map = map.ok()?;
        let watched = guard::watch(map.as_ptr().addr(), bytes)?;
        Some(Self { watched, map })
    }

    /// The bytes. Those of pages that the file no longer has are zero, see [`Mapping::is_whole`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether every page that was read so far was one of the file. Stays false once it is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.watched.is_damaged()
    }

    /// Makes [`Mapping::is_whole`] false.
    pub(crate) fn spoil(&self) {
        self.watched.damage();
    }

    /// Lets go of the pages of a range: they no longer count as memory of this process. Who reads them
    /// again has them from the system, which may still have them, or from the disk.
    pub fn let_go(&self, range: Range<usize>) {
        // SAFETY: pages of a mapping of a file that is read only are dropped and come back as the
        // file has them; nothing that was written is lost, because nothing can be. A page of zeros
        // that the guard put there comes back as zeros.
        let _ = unsafe {
            let advice = UncheckedAdvice::DontNeed;
            self.map
                .unchecked_advise_range(advice, range.start, range.len())
        };
    }

    /// Says that it will be read here and there, or from front to back.
    pub fn will_jump(&self, jumps: bool) {
        let advice = if jumps {
            Advice::Random
        } else {
            Advice::Sequential
        };
        // A refusal costs time alone.
        let _ = self.map.advise(advice);
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("bytes", &self.map.len())
            .field("is_whole", &self.is_whole())
            .finish_non_exhaustive()
    }
}
