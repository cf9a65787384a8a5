//! The words of a segment's texts, and which of its rows have them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cairn_env::sync::Mutex;
use cairn_env::{Bug, planted};
use cairn_filter::Bitmap;
use cairn_text::{IndexBuilder, TextIndex};

use crate::error::Result;
use crate::expiry::Moment;
use crate::query::SelectFields;
use crate::schema::Schema;
use crate::stop::Stop;
use crate::text::TextFields;

use super::{ReadAhead, Segment};

/// Records read between two looks at whether to go on.
const RECORDS_PER_CHECK: u32 = 16;

/// Who waits for an index that another is making looks so often whether to go on.
const NAP: Duration = Duration::from_millis(2);

/// Indexes of texts that a segment keeps: of the fields that are searched now, and of those before, for
/// snapshots that still search them.
const KEPT_MAX: usize = 2;

/// The words of a segment, by the fields that are searched.
pub(super) struct AllWords(Mutex<Vec<Arc<Words>>>);

impl AllWords {
    /// Those of the fields that there are when it is opened.
    pub fn of(words: Option<Words>) -> Self {
        Self(Mutex::new(words.into_iter().map(Arc::new).collect()))
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.0.lock().iter().map(|words| words.memory()).sum()
    }

    /// Those of some fields.
    fn get(&self, fields: &TextFields) -> Arc<Words> {
        let mut all = self.0.lock();
        if let Some(words) = all.iter().find(|it| it.fields.have_words_of(fields)) {
            return Arc::clone(words);
        }
        if all.len() == KEPT_MAX {
            all.remove(0);
        }
        let words = Arc::new(Words::new(fields.clone()));
        all.push(Arc::clone(&words));
        words
    }
}

/// The index of a segment's texts, once there is one.
pub(crate) struct Words {
    fields: TextFields,
    index: OnceLock<TextIndex>,
    /// Held by whoever makes the index, so that nobody makes another one. One who was stopped left
    /// here what there was of it, and the row to go on with.
    making: Mutex<Option<(IndexBuilder, u32)>>,
}

impl Words {
    /// Of a schema with text fields, with the index that `stored` finds. A segment that has none is
    /// older than these fields' words; its index is made of its records by who first asks for it.
    pub fn of(
        schema: &Schema,
        stored: impl FnOnce(&TextFields) -> Result<Option<TextIndex>>,
    ) -> Result<Option<Self>> {
        let Some(fields) = TextFields::of(schema) else {
            return Ok(None);
        };
        let stored = stored(&fields)?;
        let words = Self::new(fields);
        if let Some(stored) = stored {
            words.index.get_or_init(|| stored);
        }
        Ok(Some(words))
    }

    fn new(fields: TextFields) -> Self {
        Self {
            fields,
            index: OnceLock::new(),
            making: Mutex::new(None),
        }
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.index.get().map_or(0, TextIndex::memory)
    }
}

impl Segment {
    /// Its words in these fields.
    pub fn words_of(&self, fields: &TextFields) -> Arc<Words> {
        self.words.get(fields)
    }

    /// The index of some of its words. One that is not stored is
    /// made first, of all its records; others who want it wait for that as long as their `stop` lets
    /// them. Who is stopped leaves what there is of it to the next one.
    ///
    /// # Errors
    /// What reading a record says, and what `stop` does.
    pub fn text_index<'a>(&self, words: &'a Words, stop: &Stop) -> Result<&'a TextIndex> {
        if let Some(index) = words.index.get() {
            return Ok(index);
        }
        let mut making = loop {
            match words.making.try_lock() {
                Some(making) => break making,
                None => self.env.clock.sleep(NAP),
            }
            stop.check()?;
        };
        if let Some(index) = words.index.get() {
            return Ok(index);
        }
        let begun = making.take();
        let fresh = || (IndexBuilder::new(words.fields.analyzers()), 0);
        let (mut builder, first) = begun.unwrap_or_else(fresh);
        let (mut record, mut ahead) = (Vec::new(), ReadAhead::default());
        for row in first..self.entry.rows {
            if row.is_multiple_of(RECORDS_PER_CHECK)
                && let Err(stopped) = stop.check()
            {
                *making = Some((builder, row));
                return Err(stopped);
            }
            record.clear();
            self.payload_in_order(row, &SelectFields::All, &mut ahead, &mut record)?;
            words.fields.index(&mut builder, &record);
        }
        Ok(words.index.get_or_init(|| builder.finish()))
    }

    /// Whether a search by words may return a row: a snapshot at `at` sees it, or it is `allowed`.
    pub fn accepts(&self, row: u32, allowed: Option<&Bitmap>, at: Moment) -> bool {
        match allowed {
            Some(rows) => rows.contains(row),
            None => self.sees(row, at) || planted(Bug::WordsFindDeleted),
        }
    }
}
