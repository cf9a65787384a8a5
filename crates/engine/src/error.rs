//! One opaque error with a code, as the public table of codes has it.

use std::fmt;
use std::io;
use std::path::Path;

use cairn_filter::FilterError;
use cairn_storage::StorageError;

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error. The names are API on every surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// An option or argument has the wrong kind or range.
    InvalidArgument,
    /// A collection or field name is not allowed.
    InvalidName,
    /// A key is empty, too long, or of the wrong kind.
    InvalidKey,
    /// A filter cannot be understood.
    InvalidFilter,
    /// A vector has the wrong length.
    DimMismatch,
    /// A component is NaN or infinite.
    NotFinite,
    /// A zero vector under cosine.
    ZeroVector,
    /// The stored schema differs from the given one.
    SchemaMismatch,
    /// A limit of the table of limits is exceeded.
    LimitExceeded,
    /// No such collection or record.
    NotFound,
    /// The collection or record exists.
    AlreadyExists,
    /// A condition of the write does not hold.
    ConditionFailed,
    /// An idempotency key stands for another write.
    Conflict,
    /// Another writer has the directory.
    Locked,
    /// The database was opened for reading.
    ReadOnly,
    /// The handle is closed, or poisoned by a failed sync.
    Closed,
    /// The caller's signal fired.
    Aborted,
    /// The caller's deadline passed.
    Deadline,
    /// The write may or may not have happened.
    OutcomeUnknown,
    /// A stored file is damaged.
    Corrupt,
    /// A stored file is of a format this version cannot read.
    UnsupportedFormat,
    /// The disk is full.
    NoSpace,
    /// The disk failed in another way, or refused.
    Io,
    /// A bug in cairn.
    Internal,
}

impl Code {
    /// The public spelling, such as `ERR_DIM_MISMATCH`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "ERR_INVALID_ARGUMENT",
            Self::InvalidName => "ERR_INVALID_NAME",
            Self::InvalidKey => "ERR_INVALID_KEY",
            Self::InvalidFilter => "ERR_INVALID_FILTER",
            Self::DimMismatch => "ERR_DIM_MISMATCH",
            Self::NotFinite => "ERR_NOT_FINITE",
            Self::ZeroVector => "ERR_ZERO_VECTOR",
            Self::SchemaMismatch => "ERR_SCHEMA_MISMATCH",
            Self::LimitExceeded => "ERR_LIMIT_EXCEEDED",
            Self::NotFound => "ERR_NOT_FOUND",
            Self::AlreadyExists => "ERR_ALREADY_EXISTS",
            Self::ConditionFailed => "ERR_CONDITION_FAILED",
            Self::Conflict => "ERR_CONFLICT",
            Self::Locked => "ERR_LOCKED",
            Self::ReadOnly => "ERR_READ_ONLY",
            Self::Closed => "ERR_CLOSED",
            Self::Aborted => "ERR_ABORTED",
            Self::Deadline => "ERR_DEADLINE",
            Self::OutcomeUnknown => "ERR_OUTCOME_UNKNOWN",
            Self::Corrupt => "ERR_CORRUPT",
            Self::UnsupportedFormat => "ERR_UNSUPPORTED_FORMAT",
            Self::NoSpace => "ERR_NO_SPACE",
            Self::Io => "ERR_IO",
            Self::Internal => "ERR_INTERNAL",
        }
    }
}

/// A fact about an error, shown to the caller under its name.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A count, position or id.
    Number(u64),
    /// A name, path or other text.
    Text(String),
}

/// An error of the engine: what the caller can do ([`Code`]), a sentence, and facts by name.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    details: Vec<(&'static str, Fact)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without facts.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            source: None,
        }
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: &'static str, value: impl TryInto<u64>) -> Self {
        self.details
            .push((name, Fact::Number(value.try_into().unwrap_or(u64::MAX))));
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, Fact::Text(value.into())));
        self
    }

    /// What the caller can do.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened, in a sentence without facts.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The facts.
    #[must_use]
    pub fn details(&self) -> &[(&'static str, Fact)] {
        &self.details
    }

    /// A copy for the other waiters of a group that failed as one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            code: self.code,
            message: self.message.clone(),
            details: self.details.clone(),
            source: None,
        }
    }

    /// Whether the same call may succeed later without being changed.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(
            self.code,
            Code::Locked | Code::Deadline | Code::OutcomeUnknown | Code::NoSpace
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for (index, (name, fact)) in self.details.iter().enumerate() {
            let comma = if index == 0 { ":" } else { "," };
            match fact {
                Fact::Number(number) => write!(f, "{comma} {name}={number}")?,
                Fact::Text(text) => write!(f, "{comma} {name}={text:?}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        let code = if error.limit.is_some() {
            Code::LimitExceeded
        } else {
            Code::InvalidFilter
        };
        let named = Self::new(code, error.what).text("path", error.path);
        match error.limit {
            Some(limit) => named.number("limit", limit),
            None => named,
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let file = |path: &Path| path.display().to_string();
        let mut out = match &error {
            StorageError::NoSpace { path, .. } => {
                Self::new(Code::NoSpace, "the disk is full").text("file", file(path))
            }
            StorageError::Io { op, path, source } => Self::new(Code::Io, "the disk refused")
                .text("operation", *op)
                .text("file", file(path))
                .text("reason", source.to_string()),
            StorageError::Corrupt {
                file: path,
                offset,
                section,
                what,
            } => {
                let out = Self::new(Code::Corrupt, "a stored file is damaged")
                    .text("file", file(path))
                    .number("offset", *offset)
                    .text("what", what.clone());
                match section {
                    Some(section) => out.text("section", section.clone()),
                    None => out,
                }
            }
            StorageError::Missing { file: path } => {
                Self::new(Code::Corrupt, "a stored file is missing").text("file", file(path))
            }
            StorageError::Unsupported { file: path, what } => Self::new(
                Code::UnsupportedFormat,
                "a stored file needs another version of cairn",
            )
            .text("file", file(path))
            .text("what", what.clone()),
            StorageError::Poisoned => poisoned(),
            StorageError::Locked { holder } => {
                Self::new(Code::Locked, "another writer holds the directory")
                    .number("pid", u64::from(holder.pid))
                    .text("host", holder.host.clone())
                    .number("since", holder.since_unix_ms)
            }
            StorageError::KeyRefused { key_id, what, .. } => {
                let out = Self::new(Code::InvalidArgument, *what);
                if key_id.is_empty() {
                    out
                } else {
                    out.text("keyId", key_id.clone())
                }
            }
            StorageError::Limit { what } => {
                Self::new(Code::LimitExceeded, "a limit of the format is exceeded")
                    .text("what", what.clone())
            }
        };
        out.source = Some(Box::new(error));
        out
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
            _ => Code::Io,
        };
        Self::new(code, "the disk refused").text("reason", error.to_string())
    }
}

/// What every write answers after a failed sync.
pub(crate) fn poisoned() -> Error {
    Error::new(
        Code::Closed,
        "a write to disk failed earlier; reads go on, writes need a reopen",
    )
}

/// What every call that changes something answers where the database was opened for reading.
pub(crate) fn read_only() -> Error {
    Error::new(Code::ReadOnly, "the database was opened for reading")
}

/// What every call answers after `close()`.
pub(crate) fn closed() -> Error {
    Error::new(Code::Closed, "the database is closed")
}

/// What every call of a collection answers after that was dropped. No other code: its handle has ended, and
/// whoever has one did not ask for a name that is not there.
pub(crate) fn dropped(name: &str) -> Error {
    Error::new(Code::Closed, "the collection was dropped").text("name", name)
}
