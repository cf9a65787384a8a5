//! The write-ahead log of one collection.
//!
//! # Idea
//!
//! A log is a directory of files, each named by the lowest lsn it may hold. A file is a header
//! and frames, one frame per batch. An append is one write and one sync. Files are preallocated,
//! so that the sync need not also grow the file, and recycled, so that their blocks stay put.
//!
//! # Torn or corrupt
//!
//! After a crash the end of a log may be anything: bytes missing, old, zero, or there in another
//! order than they were written. After bit rot a byte anywhere may be wrong. The first must be
//! cut, the second must be reported, and from one damaged frame alone the two look the same.
//! So the log carries evidence of what was durable:
//!
//! - every frame says how far the log was durable when it was encoded (`synced`);
//! - after a sync, a **mark** (a frame without a body) saying the same is put behind the last
//!   frame, itself unsynced; the next group overwrites it;
//! - the next file's header says where the log before it ended (`prev_lsn`).
//!
//! ```text
//! P = last lsn of the valid chain, O = the offset behind it
//! next file exists: P must be its prev_lsn, else corrupt
//! any valid frame header of this log_id behind O with synced > P: corrupt at O
//! else: the log ends at P, and what lies behind is a torn tail
//! ```
//!
//! Why the second line is right: syncs cover prefixes, so a durable lsn above P proves that the
//! frame right after P was durable too, and it is not there now. Why the mark may go unsynced:
//! it is needed only when the bytes before it rot, long after; a crash that loses it leaves a
//! log without damage. A header has its own checksum, so that the search costs one pass and a
//! hostile file cannot make it quadratic.
//!
//! Stale frames cannot pose as new ones: a file that is recycled gets a new random `log_id`,
//! and within a generation no frame is ever overwritten, because a log takes no frames any more
//! once a write or a sync has failed.
//!
//! # Recovery writes next to nothing
//!
//! Frames that are there but not proven durable (the process died between write and sync) are
//! written again in place, synced and marked before anybody sees them. Syncing alone would not do: after
//! a failed sync the kernel may hold them as clean pages that never reached the disk. A torn
//! tail is left as it is; the next append starts a new file. So recovery can crash and be
//! repeated any number of times.
//!
//! Refused: truncating the tail at open (a crash in the middle of many truncations is one more
//! state to prove), one log for all collections (one slow collection would pin every file), one
//! checksum over header and body (the search above would have to read bodies).

mod check;
mod follow;
mod format;
mod reader;
mod recovery;
mod sync_times;
mod writer;

pub use check::{LogFile, OnChecked, check_log};
pub use follow::{Followed, WalFollower};
pub use recovery::Recovery;
pub use sync_times::SyncTimes;
pub use writer::{FrameToWrite, Wal, WalOptions};

/// Bytes one frame's body may have.
pub const FRAME_BODY_BYTES_MAX: u64 = 512 * 1024 * 1024; // 512 MiB: fits its field of four bytes

/// Bytes a frame takes beside its body: header, tag and filling, rounded up.
pub const FRAME_OVERHEAD_BYTES: u64 = 80;

/// One frame as recovery delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The version its batch made.
    pub lsn: u64,
    /// What the body is; the caller's numbering.
    pub kind: u8,
    /// The epoch of the file it stood in.
    pub epoch: u64,
    /// The lowest lsn that file may hold: its name.
    pub file: u64,
    /// The bytes handed to [`Wal::append`], parts joined.
    pub body: &'a [u8],
}
