//! What a caller writes, and what comes back.

use std::sync::Arc;

use cairn_filter::Filter;

use crate::keys::Keys;
use crate::options::Durability;
use crate::stop::Stop;

/// Which write a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// New records only.
    Add,
    /// Whole records, replacing what is there.
    Upsert,
    /// Merges fields and replaces given vectors of existing records.
    Update {
        /// Replace all fields instead of merging them.
        replace_fields: bool,
        /// Skip keys that do not exist instead of failing.
        skip_missing: bool,
    },
    /// Removes records; missing keys are skipped.
    Delete,
}

/// One atomic batch of `keys.len()` rows.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    /// Which write it is.
    pub kind: WriteKind,
    /// One key a row.
    pub keys: Keys,
    /// One column for each vector field of the schema, in its order; `None` where no row has
    /// one. Empty for deletes.
    pub vectors: Vec<Option<VectorColumn>>,
    /// Fields of the rows; `None` when no row has any.
    pub payloads: Option<Payloads>,
}

/// The vectors of one field.
#[derive(Clone, Debug)]
pub struct VectorColumn {
    /// Row-major, `rows * dim`, rows without a vector left out when `present` is given.
    pub data: Vec<f32>,
    /// Which rows have a vector; all when `None`.
    pub present: Option<Vec<bool>>,
}

/// Encoded fields of rows, end to end: row `i` is `bytes[ends[i - 1]..ends[i]]`, a MessagePack
/// map, or nothing for no fields.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    /// The maps.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<u32>,
}

/// Conditions and wishes of one write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Every key must have exactly this version (0: must not exist).
    pub if_version: Option<u64>,
    /// What must hold for the record of every key.
    pub conditions: Vec<Condition>,
    /// The write happens once however often it is written under this key, of 1 to 128 bytes: a
    /// repetition gets the first one's answer and does nothing, whatever it asks for beside the
    /// content.
    pub idempotency_key: Option<String>,
    /// Instead of the database's setting.
    pub durability: Option<Durability>,
    /// By whose names of fields it is written: those that the collection had after so many changes of its
    /// structure ([`Collection::changes`](crate::Collection::changes)); those of now without.
    pub changes: Option<u32>,
    /// Checked until the write is sequenced.
    pub stop: Stop,
}

/// A filter that must hold for each record of a write. It holds for none that is not there.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What must hold.
    pub filter: Arc<Filter>,
    /// It is known to hold for records that were not written after this version; 0: for none.
    pub holds_at: u64,
    /// What happens where it does not.
    pub otherwise: Otherwise,
}

/// What happens to a write where a condition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It fails with `ERR_CONDITION_FAILED`, and nothing of it happens.
    Fail,
    /// The record is left as it is, and counted as skipped. Only for removals, and for updates that
    /// skip what is missing.
    Skip,
}

/// What happens to the records that a filter holds for.
#[derive(Clone, Debug)]
pub enum Matching {
    /// They are removed.
    Delete,
    /// Their fields are merged with these, or replaced.
    Update {
        /// A MessagePack map.
        fields: Vec<u8>,
        /// Replace all fields instead of merging them.
        replace_fields: bool,
    },
}

/// What a write did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteResult {
    /// The version the write made; the current one when it changed nothing.
    pub version: u64,
    /// Records that were not there before.
    pub inserted: u64,
    /// Records replaced or changed.
    pub updated: u64,
    /// Records removed.
    pub deleted: u64,
    /// Keys that were missing, or left out by a condition.
    pub skipped: u64,
}

impl Payloads {
    /// The fields of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 {
            0
        } else {
            self.ends[row - 1] as usize
        };
        &self.bytes[start..self.ends[row] as usize]
    }

    /// Appends a row's fields.
    ///
    /// # Panics
    /// If the column would pass 4 GiB.
    pub fn push(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
        self.end_row();
    }

    /// Whether the ends are those of rows that lie end to end in the bytes.
    pub(crate) fn is_whole(&self) -> bool {
        let end = self.ends.last().map_or(0, |&end| end as usize);
        self.ends.is_sorted() && end == self.bytes.len()
    }

    /// Ends a row whose bytes were appended to `bytes`.
    pub(crate) fn end_row(&mut self) {
        self.ends
            .push(u32::try_from(self.bytes.len()).expect("payloads stay below 4 GiB"));
    }
}
