//! A pinned version of a collection: every read of it sees exactly that version.

use std::sync::Arc;

use crate::collection::Collection;
use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyBuf, KeyType, Keys};
use crate::query::{Record, Select};
use crate::scan::Scan;
use crate::schema::Schema;
use crate::view::View;

/// One version of a collection. Cheap to take and to clone; what it pins goes with its last clone.
#[derive(Clone)]
pub struct Snapshot {
    collection: Arc<Collection>,
    view: Arc<View>,
}

impl Snapshot {
    pub(crate) fn new(collection: Arc<Collection>, view: Arc<View>) -> Self {
        Self { collection, view }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn collection(&self) -> &Collection {
        &self.collection
    }

    /// The version it sees.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.view.lsn
    }

    /// Structure of the collection.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        self.collection.schema()
    }

    /// Live records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.view.count
    }

    /// Whether there is a record with this key.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for a key of the other type; `ERR_CLOSED`.
    pub fn has(&self, key: Key<'_>) -> Result<bool> {
        self.collection.check_open()?;
        self.check_key_type(match key {
            Key::Str(_) => KeyType::String,
            Key::U64(_) => KeyType::U64,
        })?;
        Ok(self.view.find(key, self.view.lsn).is_some())
    }

    /// The records with these keys, in their order; `None` where there is none.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for keys of the other type; `ERR_CLOSED`; `ERR_CORRUPT`, `ERR_IO` from
    /// the disk.
    pub fn get(&self, keys: &Keys, select: &Select) -> Result<Vec<Option<Record>>> {
        self.collection.check_open()?;
        self.check_key_type(keys.key_type())?;
        let fields = self.schema().vectors.len();
        keys.iter()
            .map(|key| match self.view.find(key, self.view.lsn) {
                Some(place) => self.view.record(place, fields, select).map(Some),
                None => Ok(None),
            })
            .collect()
    }

    /// All records in the order of their keys, from the first one after `after`.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for a key of the other type; `ERR_CLOSED`.
    pub fn scan(&self, after: Option<&KeyBuf>) -> Result<Scan> {
        self.collection.check_open()?;
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
