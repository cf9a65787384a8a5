//! What can go wrong with bytes on a disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::lock::Holder;

/// A result of this room.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What went wrong, by remedy: a torn tail is no error at all, damage is
/// [`Corrupt`](Self::Corrupt), and a disk that refuses to answer is [`Io`](Self::Io).
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused a call. Of a write or a sync that would have committed
    /// something, the outcome is open, also where the system said that there was no room.
    #[error("disk call failed op={op} path={}", path.display())]
    Io {
        /// The call.
        op: &'static str,
        /// The file or directory it was about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room left, on the disk or in the quota. Nothing was committed: what counted
    /// before still does, and the same call may succeed later.
    #[error("no space left op={op} path={}", path.display())]
    NoSpace {
        /// The call.
        op: &'static str,
        /// The file or directory it was about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written.
    #[error(
        "damaged file={} offset={offset} section={} what={what}",
        file.display(),
        section.as_deref().unwrap_or("-")
    )]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file the damage shows, in bytes from its start.
        offset: u64,
        /// The damaged section, of files that have sections.
        section: Option<String>,
        /// Which rule the bytes break.
        what: String,
    },
    /// An undamaged file of a format this version cannot read.
    #[error("unsupported format file={} what={what}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// What is not understood.
        what: String,
    },
    /// An earlier write or sync failed; nothing more is written until the log is reopened.
    #[error("log is closed after a failed write or sync")]
    Poisoned,
    /// Another process, or another part of this one, holds the directory.
    #[error(
        "directory is locked pid={} host={} since_unix_ms={}",
        holder.pid,
        holder.host,
        holder.since_unix_ms
    )]
    Locked {
        /// Who holds it.
        holder: Holder,
    },
    /// A file that must be there is not.
    #[error("missing file={}", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The key that was given, or that none was, keeps the database closed. Nothing is damaged.
    #[error("{what} path={} key_id={key_id}", path.display())]
    KeyRefused {
        /// The file or directory.
        path: PathBuf,
        /// Id of the key that is needed; empty where none is known.
        key_id: String,
        /// What is wrong with the key.
        what: &'static str,
    },
    /// The caller asked for something outside the format's limits; nothing was written.
    #[error("limit exceeded what={what}")]
    Limit {
        /// Which limit.
        what: String,
    },
}

impl StorageError {
    /// Whether the disk refused to read bytes of a file: a bad sector, say.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { op: "read", .. })
    }

    /// Turns a failed call into an error, given the call and its path.
    ///
    /// A link, a pipe, a socket, a device or a directory in a file's place is damage: disks call it
    /// `InvalidInput` when it is to be opened.
    pub fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_path_buf();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::NoSpace { op, path, source }
                }
                io::ErrorKind::NotFound if matches!(op, "open" | "list") => {
                    Self::Missing { file: path }
                }
                // A link, a directory, a pipe in the place of a file of ours: never followed.
                io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory
                    if matches!(op, "open" | "lock" | "remove_file") =>
                {
                    Self::corrupt(&path, 0, "not a regular file")
                }
                _ => Self::Io { op, path, source },
            }
        }
    }

    /// The same error of a step that may have committed something although it failed: never
    /// [`NoSpace`](Self::NoSpace), which says that it has not.
    pub(crate) fn into_undecided(self) -> Self {
        match self {
            Self::NoSpace { op, path, source } => Self::Io { op, path, source },
            other => other,
        }
    }

    /// Damage in a file without sections.
    pub(crate) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_path_buf(),
            offset,
            section: None,
            what: what.into(),
        }
    }

    pub(crate) fn unsupported(file: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported {
            file: file.to_path_buf(),
            what: what.into(),
        }
    }

    pub(crate) fn key(path: &Path, key_id: &str, what: &'static str) -> Self {
        Self::KeyRefused {
            path: path.to_path_buf(),
            key_id: key_id.to_owned(),
            what,
        }
    }

    pub(crate) fn limit(what: impl Into<String>) -> Self {
        Self::Limit { what: what.into() }
    }
}
