//! A pinned version of a collection: every read of it sees exactly that version.

use std::sync::Arc;

use cairn_env::Lane;

use crate::collection::Collection;
use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyBuf, KeyType, Keys};
use crate::limits::ANSWER_BYTES_MAX;
use crate::query::{Record, Select};
use crate::scan::Scan;
use crate::schema::Schema;
use crate::view::View;

/// One version of a collection. Cheap to take, to clone and to drop: what it pins goes with its
/// last clone, on another thread when that takes long.
#[derive(Clone)]
pub struct Snapshot {
    /// There until dropped.
    pinned: Option<Pinned>,
}

#[derive(Clone)]
struct Pinned {
    collection: Arc<Collection>,
    view: Arc<View>,
}

/// Bytes of an answer that a record takes beside its key, fields and vectors: version, distance,
/// score, and where its key and its fields end.
pub(crate) const RECORD_BYTES: usize = 8 + 4 + 4 + 4 + 4;

impl Snapshot {
    pub(crate) fn new(collection: Arc<Collection>, view: Arc<View>) -> Self {
        Self {
            pinned: Some(Pinned { collection, view }),
        }
    }

    pub(crate) fn view(&self) -> &View {
        &self.pinned().view
    }

    pub(crate) fn collection(&self) -> &Collection {
        &self.pinned().collection
    }

    fn pinned(&self) -> &Pinned {
        self.pinned.as_ref().expect("it is there until dropped")
    }

    /// The version it sees.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.view().lsn
    }

    /// Structure of the collection.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        self.collection().schema()
    }

    /// Live records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.view().count
    }

    /// Whether there is a record with this key.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for a key of the other type; `ERR_CLOSED`.
    pub fn has(&self, key: Key<'_>) -> Result<bool> {
        self.collection().check_open()?;
        self.check_key_type(match key {
            Key::Str(_) => KeyType::String,
            Key::U64(_) => KeyType::U64,
        })?;
        Ok(self.view().find(key, self.version()).is_some())
    }

    /// The records with these keys, in their order; `None` where there is none.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for keys of the other type; `ERR_LIMIT_EXCEEDED` as soon as the records
    /// have more bytes than [`ANSWER_BYTES_MAX`]; `ERR_CLOSED`; `ERR_CORRUPT`, `ERR_IO` from the
    /// disk.
    pub fn get(&self, keys: &Keys, select: &Select) -> Result<Vec<Option<Record>>> {
        self.collection().check_open()?;
        self.check_key_type(keys.key_type())?;
        let view = self.view();
        let fields = self.schema().vectors.len();
        let mut bytes = 0;
        let mut records = Vec::with_capacity(keys.len());
        for key in keys.iter() {
            let record = match view.find(key, view.lsn) {
                Some(place) => Some(view.record(place, fields, select)?),
                None => None,
            };
            bytes += record.as_ref().map_or(RECORD_BYTES, record_bytes);
            check_answer(bytes)?;
            records.push(record);
        }
        Ok(records)
    }

    /// All records in the order of their keys, from the first one after `after`.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for a key of the other type; `ERR_CLOSED`.
    pub fn scan(&self, after: Option<&KeyBuf>) -> Result<Scan> {
        self.collection().check_open()?;
        if let Some(after) = after {
            self.check_key_type(match after {
                KeyBuf::Str(_) => KeyType::String,
                KeyBuf::U64(_) => KeyType::U64,
            })?;
        }
        Ok(Scan::new(self.clone(), after))
    }

    fn check_key_type(&self, got: KeyType) -> Result<()> {
        let expected = self.schema().key;
        if got == expected {
            return Ok(());
        }
        Err(Error::new(Code::InvalidKey, "keys are of another type")
            .text("expected", format!("{expected:?}").to_lowercase()))
    }
}

impl Drop for Snapshot {
    /// A segment that was merged away goes with its last reader, and so does everything once the
    /// collection is closed: gigabytes are unmapped and files removed. Whoever drops this may be
    /// a search, or run the loop of a whole program.
    fn drop(&mut self) {
        let Some(pinned) = self.pinned.take() else {
            return;
        };
        let mut segments = pinned.view.segments.iter();
        let may_take_long =
            segments.any(|segment| segment.is_retired()) || pinned.collection.check_open().is_err();
        if may_take_long {
            let threads = Arc::clone(&pinned.collection.env().threads);
            threads.spawn(Lane::Blocking, Box::new(move || drop(pinned)));
        }
    }
}

/// Bytes of an answer that a record takes.
pub(crate) fn record_bytes(record: &Record) -> usize {
    let key = match record.key.as_key() {
        Key::Str(text) => text.len(),
        Key::U64(_) => size_of::<u64>(),
    };
    let vectors = record.vectors.iter().flatten();
    let vectors: usize = vectors.map(|vector| size_of_val(&vector[..])).sum();
    RECORD_BYTES + key + record.fields.len() + vectors
}

/// Refuses an answer that has grown to so many bytes, before it takes all memory.
pub(crate) fn check_answer(bytes: usize) -> Result<()> {
    if bytes <= ANSWER_BYTES_MAX {
        return Ok(());
    }
    let message = "the answer is too large: ask for fewer records, fields or vectors";
    Err(Error::new(Code::LimitExceeded, message).number("limit", ANSWER_BYTES_MAX))
}
