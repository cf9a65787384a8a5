//! Room on the disk that is not given to writes, because flushes of what they wrote will need it.
//!
//! What is in a memtable takes about its own size again as a segment. A writer that fills the disk
//! with its log would leave none, and then neither could the log go nor anything become durable
//! that memory alone holds. So a write is refused while nothing has happened yet, and as long as
//! the disk has less than all memtables of the database need, what the write itself takes, and a
//! reserve for manifests. Reads go on, and so do writes once there is room.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_env::Disk;

use crate::error::{Code, Error, Result};

/// Bytes in the memtables of a database, shared by its collections.
#[derive(Clone, Default)]
pub(crate) struct Unflushed(Arc<AtomicU64>);

/// What one collection adds to [`Unflushed`]; nothing any more once it is dropped.
pub(crate) struct Share {
    all: Unflushed,
    own: AtomicU64,
}

impl Share {
    pub fn of(all: &Unflushed) -> Self {
        Self {
            all: all.clone(),
            own: AtomicU64::new(0),
        }
    }

    /// Takes in how many bytes this collection has now.
    pub fn set(&self, bytes: u64) {
        let before = self.own.swap(bytes, Ordering::Relaxed);
        // Modulo 2^64, so that one addition is a subtraction as well.
        let change = bytes.wrapping_sub(before);
        self.all.0.fetch_add(change, Ordering::Relaxed);
    }

    /// Bytes of all collections together.
    pub fn all(&self) -> u64 {
        self.all.0.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What a disk had at one moment, less what was taken of it since.
pub(crate) struct Room {
    free: u64,
}

impl Room {
    /// Looks at the disk of `dir`. One that cannot tell has room.
    pub fn of(disk: &dyn Disk, dir: &Path) -> Self {
        Self {
            free: disk.free_bytes(dir).unwrap_or(u64::MAX),
        }
    }

    /// Room without end, where nobody looks.
    pub fn unknown() -> Self {
        Self { free: u64::MAX }
    }

    /// Takes `bytes`, unless that would leave less than `reserve`.
    ///
    /// # Errors
    /// `ERR_NO_SPACE` with what there is and what is needed; nothing is taken.
    pub fn take(&mut self, bytes: u64, reserve: u64, dir: &Path) -> Result<()> {
        let needed = reserve.saturating_add(bytes);
        if self.free < needed {
            let message = "the disk has no room but what flushes need";
            return Err(Error::new(Code::NoSpace, message)
                .text("directory", dir.display().to_string())
                .number("free", self.free)
                .number("needed", needed));
        }
        if self.free < u64::MAX {
            self.free -= bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_go_with_their_collections() {
        let all = Unflushed::default();
        let (one, two) = (Share::of(&all), Share::of(&all));
        one.set(10);
        two.set(5);
        one.set(3);
        assert_eq!((one.all(), two.all()), (8, 8));
        drop(one);
        assert_eq!(two.all(), 5);
        two.set(0);
        assert_eq!(two.all(), 0);
    }

    #[test]
    fn room_is_taken_once_and_never_the_reserve() {
        let dir = Path::new("/d");
        let mut room = Room { free: 100 };
        room.take(40, 30, dir).expect("70 of 100");
        let error = room.take(40, 30, dir).expect_err("60 are left");
        assert_eq!(error.code(), Code::NoSpace);
        assert!(error.retryable());
        room.take(30, 30, dir).expect("60 are left still");
        Room::unknown()
            .take(u64::MAX, u64::MAX, dir)
            .expect("no end");
    }
}
