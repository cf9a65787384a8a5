//! A pinned version of a collection: every read of it sees exactly that version.

use std::borrow::Cow;
use std::sync::Arc;

use cairn_env::Lane;
use cairn_filter::{Bitmap, Filter};

use crate::collection::Collection;
use crate::error::{Code, Error, Result};
use crate::expiry::Moment;
use crate::keys::{Key, KeyBuf, KeyType, Keys};
use crate::limits::ANSWER_BYTES_MAX;
use crate::query::{Looked, Record, Select};
use crate::scan::Scan;
use crate::schema::Schema;
use crate::stop::Stop;
use crate::view::{Place, View};

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
    /// The instant at which it was taken: what is over by then is not seen.
    now: i64,
}

/// Records read by key between two looks at whether to go on.
const KEYS_PER_CHECK: usize = 16;

/// Bytes of an answer that a record takes beside its key, fields and vectors: version, distance,
/// score, and where its key and its fields end.
pub(crate) const RECORD_BYTES: usize = 8 + 4 + 4 + 4 + 4;

impl Snapshot {
    pub(crate) fn new(collection: Arc<Collection>, view: Arc<View>) -> Self {
        let now = collection.now();
        let pinned = Pinned {
            collection,
            view,
            now,
        };
        Self {
            pinned: Some(pinned),
        }
    }

    pub(crate) fn view(&self) -> &View {
        &self.pinned().view
    }

    pub(crate) fn shared_view(&self) -> Arc<View> {
        Arc::clone(&self.pinned().view)
    }

    pub(crate) fn collection(&self) -> &Arc<Collection> {
        &self.pinned().collection
    }

    fn pinned(&self) -> &Pinned {
        self.pinned.as_ref().expect("it is there until dropped")
    }

    /// From where it looks.
    pub(crate) fn moment(&self) -> Moment {
        let Pinned { view, now, .. } = self.pinned();
        Moment {
            lsn: view.lsn,
            now: *now,
        }
    }

    /// The version it sees.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.view().lsn
    }

    /// Structure of the collection at this version.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.view().structure.shown
    }

    /// Live records. Where records are there for a time, the rows of memtables are gone over.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.schema().expires_at {
            Some(_) => self.view().count_seen(self.moment()),
            None => self.view().count,
        }
    }

    /// Records that the filter holds for.
    ///
    /// # Errors
    /// `ERR_CLOSED`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn count_matching(&self, filter: &Filter, stop: &Stop) -> Result<u64> {
        self.collection().check_open()?;
        let mut count = 0;
        let filter = &*self.stored_filter(filter);
        for matching in self.matching(filter, stop) {
            count += matching?.0.count() as u64;
        }
        Ok(count)
    }

    /// Keys of the records that the filter, with the names that records have, holds for, in no order.
    ///
    /// # Errors
    /// As [`count_matching`](Self::count_matching).
    pub(crate) fn keys_matching(&self, filter: &Filter, stop: &Stop) -> Result<Keys> {
        self.collection().check_open()?;
        let view = self.view();
        let mut keys = Keys::new(self.schema().key);
        for (source, matching) in self.matching(filter, stop).enumerate() {
            for row in matching?.0.iter() {
                view.with_key(Place { source, row }, |key| keys.push(key));
            }
        }
        Ok(keys)
    }

    /// A filter with the names that records have.
    pub(crate) fn stored_filter<'a>(&self, filter: &'a Filter) -> Cow<'a, Filter> {
        self.view().structure.names.stored_filter(filter)
    }

    /// The rows that the filter, with the names that records have, holds for, and how they were found: of
    /// each segment, then of each memtable.
    pub(crate) fn matching(
        &self,
        filter: &Filter,
        stop: &Stop,
    ) -> impl Iterator<Item = Result<(Bitmap, Looked)>> {
        let (view, at) = (self.view(), self.moment());
        let segments = view.segments.iter();
        let memtables = view.memtables.iter();
        let memtables = memtables.map(move |it| it.table.matching(filter, it.rows, at, stop));
        segments
            .map(move |segment| segment.matching(filter, at, stop))
            .chain(memtables)
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
        Ok(self.view().find(key, self.moment()).is_some())
    }

    /// The records with these keys, in their order; `None` where there is none.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for keys of the other type; `ERR_LIMIT_EXCEEDED` as soon as the records
    /// have more bytes than [`ANSWER_BYTES_MAX`]; `ERR_CLOSED`; `ERR_CORRUPT`, `ERR_IO` from the
    /// disk.
    pub fn get(&self, keys: &Keys, select: &Select) -> Result<Vec<Option<Record>>> {
        self.get_until(keys, select, &Stop::never())
    }

    /// As [`get`](Self::get), unless it is to end early.
    ///
    /// # Errors
    /// As `get`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`.
    pub fn get_until(
        &self,
        keys: &Keys,
        select: &Select,
        stop: &Stop,
    ) -> Result<Vec<Option<Record>>> {
        self.collection().check_open()?;
        self.check_key_type(keys.key_type())?;
        let view = self.view();
        let fields = self.schema().vectors.len();
        let mut bytes = 0;
        let mut records = Vec::with_capacity(keys.len());
        for (number, key) in keys.iter().enumerate() {
            if number.is_multiple_of(KEYS_PER_CHECK) {
                stop.check()?;
            }
            let record = match view.find(key, self.moment()) {
                Some(place) => Some(view.record(place, fields, select, None)?),
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
        self.scan_until(after, &Stop::never())
    }

    /// As [`scan`](Self::scan), unless it is to end before it begins: keys may have to be sorted.
    ///
    /// # Errors
    /// As `scan`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`.
    pub fn scan_until(&self, after: Option<&KeyBuf>, stop: &Stop) -> Result<Scan> {
        self.scan_of(after, None, stop)
    }

    /// The records that the filter holds for, in the order of their keys, from the first one after
    /// `after`.
    ///
    /// # Errors
    /// As [`scan`](Self::scan); `ERR_ABORTED`, `ERR_DEADLINE` from `stop`; `ERR_CORRUPT`, `ERR_IO`
    /// from the disk.
    pub fn scan_matching(
        &self,
        after: Option<&KeyBuf>,
        filter: &Filter,
        stop: &Stop,
    ) -> Result<Scan> {
        self.collection().check_open()?;
        let filter = &*self.stored_filter(filter);
        let matching = self.matching(filter, stop);
        let matching: Result<Vec<Bitmap>> = matching.map(|it| Ok(it?.0)).collect();
        self.scan_of(after, Some(matching?), stop)
    }

    fn scan_of(
        &self,
        after: Option<&KeyBuf>,
        wanted: Option<Vec<Bitmap>>,
        stop: &Stop,
    ) -> Result<Scan> {
        self.collection().check_open()?;
        if let Some(after) = after {
            self.check_key_type(match after {
                KeyBuf::Str(_) => KeyType::String,
                KeyBuf::U64(_) => KeyType::U64,
            })?;
        }
        Scan::new(self.clone(), after, wanted, stop)
    }

    pub(crate) fn check_key_type(&self, got: KeyType) -> Result<()> {
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
