//! What a check of files says: all that is wrong with them, rather than the first error.
//!
//! Reading stops at the first damage, because nothing behind it may be believed. A check goes on:
//! it tells every stretch of bytes that is not what was written. Checks never write.

use std::path::{Path, PathBuf};

use cairn_env::Env;

use crate::current;
use crate::error::{Result, StorageError};
use crate::segment::SectionId;

/// What is said of bytes that the disk refuses to read.
pub(crate) const CANNOT_BE_READ: &str = "cannot be read";

/// What is wrong with a stretch of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what was written.
    Damaged,
    /// It is undamaged and of a format this version cannot read.
    Unsupported,
    /// A file that must be there is not.
    Missing,
    /// A crash may have left it so behind the end of a log; opening cuts it off.
    Torn,
}

/// One stretch of a file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong with it.
    pub fault: Fault,
    /// The file.
    pub file: PathBuf,
    /// The section, of files that have sections.
    pub section: Option<SectionId>,
    /// Where the stretch begins, in bytes from the start of the file.
    pub offset: u64,
    /// How long it is known to be; 0 where that is not known.
    pub bytes: u64,
    /// Which rule it breaks.
    pub what: String,
}

/// Hears what a check finds, and how far it is.
pub trait Inspector {
    /// Something is not as it should be.
    fn found(&mut self, finding: Finding);
    /// So many more bytes were read. Whether to go on; a check that is not to ends at once.
    fn passed(&mut self, bytes: u64) -> bool;
}

impl Finding {
    /// Damage from `offset` on.
    pub(crate) fn damaged(file: &Path, offset: u64, bytes: u64, what: impl Into<String>) -> Self {
        Self {
            fault: Fault::Damaged,
            file: file.to_path_buf(),
            section: None,
            offset,
            bytes,
            what: what.into(),
        }
    }

    /// What an error says of a file. Bytes that the disk refuses to read are damage.
    ///
    /// # Errors
    /// The error itself, when it is not about what a file holds.
    pub fn of(error: StorageError) -> Result<Self> {
        let (fault, file, offset, what) = match error {
            StorageError::Corrupt {
                file, offset, what, ..
            } => (Fault::Damaged, file, offset, what),
            StorageError::Unsupported { file, what } => (Fault::Unsupported, file, 0, what),
            StorageError::Missing { file } => {
                (Fault::Missing, file, 0, "the file is missing".to_owned())
            }
            StorageError::Io {
                op: "read",
                path,
                source,
            } => (
                Fault::Damaged,
                path,
                0,
                format!("{CANNOT_BE_READ}: {source}"),
            ),
            other => return Err(other),
        };
        Ok(Self {
            fault,
            file,
            section: None,
            offset,
            bytes: 0,
            what,
        })
    }
}

/// The value, or `None` once its damage was told.
///
/// # Errors
/// Those that are not about what a file holds.
pub fn inspect<T>(result: Result<T>, inspector: &mut dyn Inspector) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            inspector.found(Finding::of(error)?);
            Ok(None)
        }
    }
}

/// Checks a versioned file whole and returns its body, unless it is damaged.
///
/// # Errors
/// [`StorageError::Io`].
pub fn check_version(
    env: &Env,
    dir: &Path,
    sub: &str,
    ext: &str,
    version: u64,
    inspector: &mut dyn Inspector,
) -> Result<Option<Vec<u8>>> {
    let body = current::load(env, dir, sub, ext, version);
    inspect(body, inspector)
}
