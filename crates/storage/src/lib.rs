//! Bytes that survive: write-ahead log, segment container, manifests, directory lock.
//!
//! This room knows bytes and checksums, nothing of vectors, keys or JSON. It makes four
//! promises, each proved by test files of its own in `tests/`:
//!
//! - **What was synced comes back.** [`Wal::append`] with `sync` returns after one write and
//!   one sync; the frames of that call are delivered again by the next [`Wal::open`], whole and
//!   in order, after a crash at any point.
//! - **Torn is not corrupt.** Bytes a crash may have left are cut and counted; bytes that were
//!   durable and have changed are reported as [`StorageError::Corrupt`] with file and offset.
//!   The log carries the evidence to tell them apart (see [`Wal`]).
//! - **Never a wrong byte.** Segments are read through block checksums that also bind file,
//!   section and position.
//! - **Old or new, never neither.** [`publish`] replaces one manifest by the next atomically.
//!
//! And a fifth, where a database has [`DataKeys`]: **nothing in clear.** Bodies are encrypted
//! before they are written, and refused when they are not what was written in their place.
//!
//! `FORMAT.md` at the root of the repository describes every byte.
//!
//! Refused alternatives: memory-mapped reads as the rule (no checksum stands between a page and its
//! reader; who asks for them all the same gets a [`Mapping`], which says what that takes); a text log of
//! checksums beside the data (two files that can disagree); retrying a failed sync (the kernel
//! may have dropped the dirty pages and answers success the second time).

#![deny(unsafe_code)]

mod check;
mod checksum;
mod crypt;
mod current;
mod envelope;
mod error;
mod fields;
mod lock;
#[cfg_attr(
    unix,
    expect(
        unsafe_code,
        reason = "mapping a file, and the handler of the signal that it may raise"
    )
)]
mod mapping;
mod scratch;
mod segment;
mod wal;

pub use check::{Fault, Finding, Inspector, check_version, inspect};
pub use checksum::{Crc32c, Crc64, crc32c};
pub use crypt::{
    DataKeys, KEY_BYTES, KEY_ID_BYTES_MAX, KEYS_DIR, KEYS_EXTENSION, KEYS_SUB, Key, KeyProvider,
    NamedKey, WrappedKeys, check_keys, open_part, seal_part, sealing_unread, wrapping_key_id,
};
pub use current::{
    Leftover, leftovers, list_versions, load, numbered, publish, read_current, record,
    remove_leftovers, remove_version,
};
pub use error::{Result, StorageError};
pub use fields::list_dir;
pub use lock::{DirectoryLock, Holder, holder_of};
pub use mapping::Mapping;
pub use scratch::{Scratch, ScratchWriter};
pub use segment::{
    BLOCK_BYTES, REQUIRED, Section, SectionId, SegmentFile, SegmentReader, SegmentWriter,
    sync_segment_dir,
};
pub use wal::{
    FRAME_BODY_BYTES_MAX, FRAME_OVERHEAD_BYTES, Followed, Frame, FrameToWrite, LogFile, OnChecked,
    Recovery, SyncTimes, Wal, WalFollower, WalOptions, check_log,
};
