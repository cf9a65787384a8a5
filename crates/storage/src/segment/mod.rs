//! The segment container: one immutable file of typed sections.
//!
//! ```text
//! header | section 0 | zeros to 64 | section 1 | ... | footer | trailer
//! ```
//!
//! A section is any bytes, written front to back. Its body is cut into blocks of
//! [`BLOCK_BYTES`]; the footer holds the checksum of each, so that a read verifies exactly the
//! blocks it touches, be it one record out of a section of gigabytes. The checksum covers,
//! beside the block, the segment's identity, the section and the block's index: a right block
//! in a wrong place, or out of another file, is as damaged as a wrong one.
//!
//! Sections start at multiples of 64 bytes. Multiples of 4096 would buy nothing: every read goes
//! through the page cache by pread, where a block that straddles one more page costs next to
//! nothing, while a segment of ten rows would grow from two pages to a dozen.
//!
//! The trailer has a fixed size and stands at the very end, so that a file cut short has none;
//! the footer must fill exactly the room between the last section and the trailer, and sections
//! must follow each other without a gap, so that every byte of the file is accounted for.
//!
//! Refused: checksums beside each block (bodies would no longer be contiguous, and a read into
//! place would become a copy); verifying a block only the first time it is read (the page may
//! have been dropped and read anew from a disk that has changed its mind).

mod format;
mod reader;
mod salvage;
mod writer;

use std::path::Path;

use cairn_env::{Env, KillPoint};

pub use reader::SegmentReader;
pub use writer::SegmentWriter;

use crate::error::{Result, StorageError};
use crate::fields::sync_dir;

/// Bytes of a body under one checksum.
pub const BLOCK_BYTES: usize = 4 * 1024; // 4 KiB: a page; the fields of one record cost one of them

/// Section flag: who does not understand this section must not use the file.
pub const REQUIRED: u32 = 1;

/// Which section: what it holds, and of which field. The numbers are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionId {
    /// What the section holds.
    pub kind: u32,
    /// Which field it belongs to; 0 where there is none.
    pub field: u32,
}

impl std::fmt::Display for SectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kind={} field={}", self.kind, self.field)
    }
}

/// A section a reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Which.
    pub id: SectionId,
    /// [`REQUIRED`] or 0.
    pub flags: u32,
    /// Bytes of its body.
    pub bytes: u64,
}

/// What a manifest remembers of a segment file, so that another file in its place is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its length.
    pub bytes: u64,
    /// The checksum of its footer, which holds those of all blocks.
    pub checksum: u32,
}

/// Makes the names of finished segment files in `dir` durable.
///
/// # Errors
/// [`StorageError::Io`] if the directory cannot be synced; the names are undecided then.
pub fn sync_segment_dir(env: &Env, dir: &Path) -> Result<()> {
    sync_dir(&*env.disk, dir)?;
    env.faults
        .hit(KillPoint::K17SegmentDirSynced)
        .map_err(StorageError::io("fail_point", dir))
}
