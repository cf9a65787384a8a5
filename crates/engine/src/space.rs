//! Room on the disk that is not given to writes, because flushes of what they wrote will need it.
//!
//! What is in a memtable takes about its own size again as a segment. A writer that fills the disk
//! with its log would leave none, and then neither could the log go nor anything become durable
//! that memory alone holds. So a write is refused while nothing has happened yet, and as long as
//! the disk has less than all memtables of the database need, what the write itself takes, and a
//! reserve for manifests. Reads go on, and so do writes once there is room.
//!
//! Memory is shared in the same way: before a group of writes is taken, its bytes are claimed of what the
//! memtables of all collections may have together. Where they do not fit, the largest memtables are
//! flushed first, whoever they belong to, and what does not fit even then is written one after the other.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use cairn_env::sync::{Mutex, MutexGuard};
use cairn_env::{Bug, Disk, planted};

use crate::error::{Code, Error, Result};

/// Bytes in the memtables of a database, shared by its collections.
#[derive(Clone, Default)]
pub(crate) struct Unflushed(Arc<All>);

#[derive(Default)]
struct All {
    bytes: AtomicU64,
    /// Of groups that are being written: not in `bytes` yet.
    claimed: AtomicU64,
    /// Held by whoever writes what does not fit.
    alone: Mutex<()>,
    members: Mutex<Vec<Member>>,
}

#[derive(Clone)]
struct Member {
    own: Arc<AtomicU64>,
    owner: Weak<dyn Flush>,
}

/// Who can turn its memtables into segments.
pub(crate) trait Flush: Send + Sync {
    /// Flushes what it has now, and waits for it. Does not panic.
    fn flush(self: Arc<Self>) -> Result<()>;
}

/// Bytes that a group is about to add; let go of once they are in the share of its collection.
pub(crate) struct Claim<'a> {
    all: &'a All,
    bytes: u64,
    _alone: Option<MutexGuard<'a, ()>>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.all.claimed.fetch_sub(self.bytes, Ordering::Release);
    }
}

/// What one collection adds to [`Unflushed`]; nothing any more once it is dropped.
pub(crate) struct Share {
    all: Unflushed,
    own: Arc<AtomicU64>,
}

impl Share {
    pub fn of(all: &Unflushed) -> Self {
        Self {
            all: all.clone(),
            own: Arc::default(),
        }
    }

    /// Others may flush `owner` from now on, when all together have too much.
    pub fn offer(&self, owner: Weak<dyn Flush>) {
        let own = Arc::clone(&self.own);
        self.all.0.members.lock().push(Member { own, owner });
    }

    /// Takes in how many bytes this collection has now.
    pub fn set(&self, bytes: u64) {
        let before = self.own.swap(bytes, Ordering::Relaxed);
        // Modulo 2^64, so that one addition is a subtraction as well.
        let change = bytes.wrapping_sub(before);
        self.all.0.bytes.fetch_add(change, Ordering::Relaxed);
    }

    /// Bytes of all collections together.
    pub fn all(&self) -> u64 {
        self.all.0.bytes.load(Ordering::Relaxed)
    }

    /// Claims `bytes` of the `bytes_max` that all collections may have together, and makes room for
    /// them: flushes the collection that has most, then the next one. One that cannot be flushed
    /// keeps what it has.
    ///
    /// # Errors
    /// What this collection's own flush answers, when nothing else made room.
    pub fn claim(&self, bytes: u64, bytes_max: u64) -> Result<Claim<'_>> {
        let all = &*self.all.0;
        let claim = |alone| Claim {
            all,
            bytes,
            _alone: alone,
        };
        if self.try_claim(bytes, bytes_max) || planted(Bug::BudgetIsEachOnesOwn) {
            return Ok(claim(None));
        }
        self.flush_largest(bytes, bytes_max)?;
        if self.try_claim(bytes, bytes_max) {
            return Ok(claim(None));
        }
        let alone = all.alone.lock();
        if !self.try_claim(bytes, bytes_max) {
            self.flush_largest(bytes, bytes_max)?;
            all.claimed.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(claim(Some(alone)))
    }

    fn try_claim(&self, bytes: u64, bytes_max: u64) -> bool {
        let all = &*self.all.0;
        let fits = |claimed: u64| {
            let wanted = claimed.saturating_add(bytes);
            (self.all().saturating_add(wanted) <= bytes_max).then_some(wanted)
        };
        // Who sees that a claim has gone sees the bytes that it was for.
        let claimed = &all.claimed;
        claimed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .is_ok()
    }

    /// Flushes one collection after the other, those that have most first, until `bytes` fit.
    fn flush_largest(&self, bytes: u64, bytes_max: u64) -> Result<()> {
        let all = &*self.all.0;
        let fits = || {
            let taken = self.all() + all.claimed.load(Ordering::Relaxed);
            taken.saturating_add(bytes) <= bytes_max
        };
        let mut members = all.members.lock().clone();
        members.sort_by_key(|member| std::cmp::Reverse(member.own.load(Ordering::Relaxed)));
        let mut refused = Ok(());
        for Member { own, owner } in members {
            if fits() || own.load(Ordering::Relaxed) == 0 {
                break;
            }
            let flushed = owner.upgrade().map_or(Ok(()), Flush::flush);
            if Arc::ptr_eq(&own, &self.own) {
                refused = flushed;
            }
        }
        if fits() { Ok(()) } else { refused }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
        let mut members = self.all.0.members.lock();
        members.retain(|member| !Arc::ptr_eq(&member.own, &self.own));
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

    /// Has some bytes until it is flushed, or cannot be.
    struct Owner {
        share: Share,
        works: bool,
    }

    impl Flush for Owner {
        fn flush(self: Arc<Self>) -> Result<()> {
            if !self.works {
                return Err(Error::new(Code::Internal, "the disk is gone"));
            }
            self.share.set(0);
            Ok(())
        }
    }

    #[test]
    fn the_largest_is_flushed_until_all_are_below_the_limit() {
        let all = Unflushed::default();
        let owner = |bytes, works| {
            let share = Share::of(&all);
            share.set(bytes);
            let owner = Arc::new(Owner { share, works });
            let weak = Arc::downgrade(&owner);
            owner.share.offer(weak);
            owner
        };
        let owners = [
            owner(30, true),
            owner(50, true),
            owner(60, false),
            owner(20, true),
        ];
        let left = || {
            owners
                .each_ref()
                .map(|owner| owner.share.own.load(Ordering::Relaxed))
        };
        let small = &owners[3].share;
        drop(small.claim(1, 161).expect("it fits"));
        assert_eq!(left(), [30, 50, 60, 20]);
        let one = small.claim(10, 150).expect("the one of 50 makes room");
        assert_eq!(left(), [30, 0, 60, 20]);
        // What is claimed counts, until it is let go of.
        let two = small.claim(40, 150).expect("the one of 30 makes room");
        assert_eq!(left(), [0, 0, 60, 20]);
        drop((one, two));
        let stuck = owners[2].share.claim(1, 10);
        assert_eq!(stuck.err().expect("it keeps 60").code(), Code::Internal);
        assert_eq!(left(), [0, 0, 60, 0]);
        assert_eq!(all.0.claimed.load(Ordering::Relaxed), 0);
        drop(small.claim(1, 10).expect("it did what it could"));
        assert_eq!(all.0.claimed.load(Ordering::Relaxed), 0);
        drop(owners);
        assert!(all.0.members.lock().is_empty());
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
