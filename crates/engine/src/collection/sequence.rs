//! From what a caller wants to what changes: every check of a write, before anything is changed.

use std::borrow::Cow;

use hashbrown::HashMap;

use cairn_distance::f16;
use cairn_env::{Bug, planted};
use cairn_filter::Record;

use crate::batch::{
    Condition, Otherwise, VectorColumn, WriteBatch, WriteKind, WriteOptions, WriteResult,
};
use crate::error::{Code, Error, Result};
use crate::expiry::Moment;
use crate::frame::Changes;
use crate::idempotency::check_key;
use crate::keys::{Key, KeyState, Keys};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use crate::payload;
use crate::query::SelectFields;
use crate::schema::{Schema, VectorField, VectorKind};
use crate::vectors::{VectorRows, refuse_wild, refuse_zero};
use crate::view::{Place, View};

/// Sees every write, those of the running group included.
pub(crate) const LATEST: u64 = u64::MAX - 1;

type Positions<'a> = HashMap<Key<'a>, usize, KeyState>;

/// A write that may happen: what to log and what to apply.
pub(crate) struct Sequenced {
    pub changes: Changes,
    /// For each put, the record it replaces.
    pub replaced: Vec<Option<Place>>,
    /// The records that the removed keys name.
    pub removed: Vec<Place>,
    /// Counts; the version is filled in when there is one.
    pub result: WriteResult,
}

impl Sequenced {
    /// How many rows of segments are replaced or removed.
    pub fn rows_of_segments(&self, view: &View) -> usize {
        let replaced = self.replaced.iter().flatten();
        let places = self.removed.iter().chain(replaced);
        places.filter(|p| p.source < view.segments.len()).count()
    }
}

/// Checks the shape of a batch against the schema, without looking at stored records. Runs on
/// the submitting side, so a refused batch never waits for the log.
///
/// # Errors
/// The code of the first fault, naming row, key and field.
pub(crate) fn check(
    schema: &Schema,
    batch: &WriteBatch,
    options: &WriteOptions,
    is_of_filter: bool,
) -> Result<()> {
    options
        .idempotency_key
        .as_deref()
        .map_or(Ok(()), check_key)?;
    check_size(batch, is_of_filter)?;
    let rows = batch.keys.len();
    if batch.keys.key_type() != schema.key {
        return Err(Error::new(Code::InvalidKey, "keys are of another type")
            .text("expected", format!("{:?}", schema.key).to_lowercase()));
    }
    batch.keys.check()?;
    if batch.kind == WriteKind::Delete {
        return Ok(());
    }
    if let Some(payloads) = &batch.payloads {
        if payloads.ends.len() != rows {
            return Err(
                Error::new(Code::InvalidArgument, "fields for another number of rows")
                    .number("expected", rows)
                    .number("got", payloads.ends.len()),
            );
        }
        if !payloads.is_whole() {
            let message = "ends of fields that do not fit their bytes";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        for row in 0..rows {
            payload::validate(payloads.get(row)).map_err(|error| at(error, batch, row, None))?;
        }
    }
    if batch.vectors.len() != schema.vectors.len() {
        return Err(Error::new(
            Code::InvalidArgument,
            "vectors for other fields",
        ));
    }
    for (column, field) in batch.vectors.iter().zip(&schema.vectors) {
        match column {
            Some(column) => check_column(batch, column, field)?,
            None if matches!(batch.kind, WriteKind::Update { .. }) || rows == 0 => {}
            None => return Err(missing_vector(batch, 0, field)),
        }
    }
    Ok(())
}

fn check_size(batch: &WriteBatch, is_of_filter: bool) -> Result<()> {
    let rows = batch.keys.len();
    // What a filter finds has no such limit: its bytes have one.
    if rows > BATCH_ROWS_MAX && !is_of_filter {
        return Err(Error::new(Code::LimitExceeded, "a batch has too many rows")
            .number("limit", BATCH_ROWS_MAX)
            .number("got", rows));
    }
    let floats: usize = batch.vectors.iter().flatten().map(|c| c.data.len()).sum();
    let fields = batch.payloads.as_ref().map_or(0, |p| p.bytes.len());
    let bytes = batch.keys.bytes() + floats * 4 + fields;
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::new(Code::LimitExceeded, "a batch is too large")
            .number("limit", BATCH_BYTES_MAX)
            .number("got", bytes));
    }
    Ok(())
}

fn check_column(batch: &WriteBatch, column: &VectorColumn, field: &VectorField) -> Result<()> {
    let rows = batch.keys.len();
    let width = field.width();
    let given: Vec<usize> = match &column.present {
        None => (0..rows).collect(),
        Some(present) if present.len() == rows => (0..rows).filter(|&row| present[row]).collect(),
        Some(_) => {
            return Err(Error::new(
                Code::InvalidArgument,
                "vectors for another number of rows",
            ));
        }
    };
    if given.len() < rows && !matches!(batch.kind, WriteKind::Update { .. }) {
        let absent = given.iter().zip(0..).position(|(&row, next)| row != next);
        return Err(missing_vector(batch, absent.unwrap_or(given.len()), field));
    }
    let checked = |(vector, &row): (&[f32], &usize)| {
        check_vector(vector, field).map_err(|error| at(error, batch, row, Some(field)))
    };
    if field.kind.varies() {
        let vectors = field.split(&column.data);
        let vectors = vectors.filter(|vectors| vectors.len() == given.len());
        let wrong = || {
            let message = "vectors for another number of rows";
            Error::new(Code::DimMismatch, message).text("field", field.name.clone())
        };
        let vectors = vectors.ok_or_else(wrong)?;
        return vectors.into_iter().zip(&given).try_for_each(checked);
    }
    if column.data.len() != given.len() * width {
        return Err(
            Error::new(Code::DimMismatch, "vectors have the wrong length")
                .number("expected", given.len() * width)
                .number("got", column.data.len())
                .text("field", field.name.clone()),
        );
    }
    let mut vectors = column.data.chunks_exact(width).zip(&given);
    vectors.try_for_each(checked)
}

/// Refuses NaN, infinity, what the field cannot store, and under cosine what is stored as the zero
/// vector.
pub(crate) fn check_vector(vector: &[f32], field: &VectorField) -> Result<()> {
    if field.kind.varies() {
        return field.check_varying(vector);
    }
    refuse_wild(vector)?;
    check_values(vector, field.kind)?;
    refuse_zero(vector, field.metric, |x| match field.kind {
        VectorKind::F16 => f16::from_f32(x).to_f32() == 0.0,
        _ => x == 0.0,
    })
}

/// Refuses values that no component of this kind has.
fn check_values(vector: &[f32], kind: VectorKind) -> Result<()> {
    let (low, high, whole, message) = match kind {
        VectorKind::F32 | VectorKind::Sparse | VectorKind::Multi => return Ok(()),
        VectorKind::F16 => {
            let most = f16::MAX.to_f32();
            (
                -most,
                most,
                false,
                "a component is beyond what an f16 holds",
            )
        }
        VectorKind::I8 => (-128.0, 127.0, true, "a component is no integer of 8 bits"),
        VectorKind::Binary => (0.0, 255.0, true, "a value is no byte of bits"),
    };
    let wrong = |x: &f32| *x < low || *x > high || (whole && x.trunc() != *x);
    let Some(component) = vector.iter().position(wrong) else {
        return Ok(());
    };
    Err(Error::new(Code::InvalidArgument, message)
        .number("component", component)
        .text("expected", format!("{low} to {high}"))
        .text("got", vector[component].to_string()))
}

/// Finds the records a batch touches and works out the whole new ones. Changes nothing.
///
/// # Errors
/// [`Code::AlreadyExists`], [`Code::NotFound`] or [`Code::ConditionFailed`], naming row and key;
/// what reading a stored record answers.
pub(crate) fn sequence(
    schema: &Schema,
    view: &View,
    batch: WriteBatch,
    options: &WriteOptions,
    now: i64,
) -> Result<Sequenced> {
    let find = |key| view.find(key, Moment::stored(LATEST));
    let stored: Vec<Option<Place>> = batch.keys.iter().map(find).collect();
    let moment = Moment { lsn: LATEST, now };
    let seen = |place: &Option<Place>| place.filter(|place| view.sees(*place, moment));
    let mut places: Vec<Option<Place>> = stored.iter().map(seen).collect();
    if let Some(version) = options.if_version
        && !planted(Bug::IgnoresCondition)
    {
        for (row, place) in places.iter().enumerate() {
            let found = place.map_or(0, |place| view.version(place));
            if found != version {
                let error = Error::new(Code::ConditionFailed, "a record has another version")
                    .number("expected", version)
                    .number("found", found);
                return Err(at(error, &batch, row, None));
            }
        }
    }
    for condition in &options.conditions {
        apply_condition(view, &batch, condition, &mut places)?;
    }
    match batch.kind {
        WriteKind::Add | WriteKind::Upsert => put(schema, batch, places, stored),
        WriteKind::Update {
            replace_fields,
            skip_missing,
        } => update(schema, view, &batch, &places, replace_fields, skip_missing),
        WriteKind::Delete => Ok(delete(schema, &batch, &places)),
    }
}

/// Forgets the places of records that the condition leaves out.
fn apply_condition(
    view: &View,
    batch: &WriteBatch,
    condition: &Condition,
    places: &mut [Option<Place>],
) -> Result<()> {
    let mut fields = Vec::new();
    for (row, place) in places.iter_mut().enumerate() {
        let holds = match *place {
            Some(place) if view.version(place) <= condition.holds_at => true,
            Some(place) => {
                fields.clear();
                view.payload(place, &SelectFields::All, &mut fields)?;
                let key = batch.keys.get(row).for_filter();
                let fields = &fields;
                condition.filter.matches(&Record { key, fields })
            }
            None => false,
        };
        match condition.otherwise {
            _ if holds || planted(Bug::IgnoresCondition) => {}
            Otherwise::Skip => *place = None,
            Otherwise::Fail => {
                let message = "the condition does not hold for a record";
                let error = Error::new(Code::ConditionFailed, message);
                return Err(at(error, batch, row, None));
            }
        }
    }
    Ok(())
}

/// New and replaced records. `places` are those of records that are there, `stored` those of rows that
/// are over as well: the new record takes the place of these, too, so that no clock that goes back
/// between two runs of a program shows both.
fn put(
    schema: &Schema,
    batch: WriteBatch,
    places: Vec<Option<Place>>,
    stored: Vec<Option<Place>>,
) -> Result<Sequenced> {
    let rows = batch.keys.len();
    let adding = batch.kind == WriteKind::Add;
    let mut last = Positions::with_capacity_and_hasher(rows, KeyState::default());
    for (row, key) in batch.keys.iter().enumerate() {
        let repeated = last.insert(key, row).is_some();
        if adding && (repeated || places[row].is_some()) {
            let message = if repeated {
                "a key stands twice in one batch"
            } else {
                "a record with this key exists"
            };
            let error = Error::new(Code::AlreadyExists, message);
            return Err(at(error, &batch, row, None));
        }
    }
    // Within one batch the last record of a key wins.
    let kept: Option<Vec<usize>> = (last.len() < rows).then(|| {
        let mut kept: Vec<usize> = last.values().copied().collect();
        kept.sort_unstable();
        kept
    });
    drop(last);
    let count = |rows: &mut dyn Iterator<Item = &Option<Place>>| rows.flatten().count() as u64;
    let (changes, replaced, updated) = match kept {
        Some(kept) => (
            pick(schema, &batch, &kept),
            kept.iter().map(|&row| stored[row]).collect(),
            count(&mut kept.iter().map(|&row| &places[row])),
        ),
        None => {
            let columns = batch.vectors.into_iter().zip(&schema.vectors);
            let vectors = columns.map(|(column, field)| {
                let data = column.map_or_else(Vec::new, |column| column.data);
                VectorRows::of(field, data).unwrap_or_else(|| VectorRows::none(field))
            });
            let changes = Changes {
                keys: batch.keys,
                vectors: vectors.collect(),
                payloads: batch.payloads.unwrap_or_default(),
                removed: Keys::new(schema.key),
            };
            (changes, stored, count(&mut places.iter()))
        }
    };
    Ok(Sequenced {
        result: WriteResult {
            inserted: changes.keys.len() as u64 - updated,
            updated,
            ..WriteResult::default()
        },
        changes,
        replaced,
        removed: Vec::new(),
    })
}

/// The chosen rows of a batch whose rows all have vectors.
fn pick(schema: &Schema, batch: &WriteBatch, rows: &[usize]) -> Changes {
    let mut changes = Changes::none(schema);
    let columns = batch.vectors.iter().flatten().zip(&schema.vectors);
    let columns = columns.map(|(column, field)| field.split(&column.data).unwrap_or_default());
    let columns: Vec<Vec<&[f32]>> = columns.collect();
    for &row in rows {
        changes.keys.push(batch.keys.get(row));
        if let Some(payloads) = &batch.payloads {
            changes.payloads.push(payloads.get(row));
        }
        for (all, rows) in columns.iter().zip(&mut changes.vectors) {
            rows.push(all[row]);
        }
    }
    changes
}

fn update(
    schema: &Schema,
    view: &View,
    batch: &WriteBatch,
    places: &[Option<Place>],
    replace_fields: bool,
    skip_missing: bool,
) -> Result<Sequenced> {
    let mut positions = Positions::default();
    let mut records: Vec<Merged<'_>> = Vec::new();
    let mut skipped = 0;
    let mut bytes = 0;
    let mut given = vec![0_usize; schema.vectors.len()];
    for (row, key) in batch.keys.iter().enumerate() {
        let vectors = next_vectors(schema, batch, row, &mut given);
        let Some(place) = places[row] else {
            if skip_missing {
                skipped += 1;
                continue;
            }
            let error = Error::new(Code::NotFound, "no record with this key");
            return Err(at(error, batch, row, None));
        };
        // A key that stands twice in one batch is merged twice, in order.
        let position = *positions.entry(key).or_insert(records.len());
        if position == records.len() {
            records.push(Merged::read(schema, view, key, place)?);
            bytes += records[position].bytes();
        }
        let record = &mut records[position];
        bytes -= record.payload.len();
        for (slot, vector) in record.vectors.iter_mut().zip(vectors) {
            if let Some(vector) = vector {
                *slot = Cow::Borrowed(vector);
            }
        }
        let new = batch.payloads.as_ref().map(|payloads| payloads.get(row));
        record
            .merge(new, replace_fields)
            .map_err(|error| at(error, batch, row, None))?;
        bytes += record.payload.len();
        // Few bytes of an update can touch many of what is stored.
        if bytes > BATCH_BYTES_MAX {
            let error = Error::new(
                Code::LimitExceeded,
                "the records of an update are too large",
            )
            .number("limit", BATCH_BYTES_MAX)
            .number("got", bytes);
            return Err(at(error, batch, row, None));
        }
    }
    let mut changes = Changes::none(schema);
    let mut replaced = Vec::with_capacity(records.len());
    for record in &records {
        changes.keys.push(record.key);
        changes.payloads.push(&record.payload);
        for (column, vector) in changes.vectors.iter_mut().zip(&record.vectors) {
            column.push(vector);
        }
        replaced.push(Some(record.place));
    }
    Ok(Sequenced {
        result: WriteResult {
            updated: records.len() as u64,
            skipped,
            ..WriteResult::default()
        },
        changes,
        replaced,
        removed: Vec::new(),
    })
}

/// A record while updates are merged into it.
struct Merged<'a> {
    key: Key<'a>,
    place: Place,
    vectors: Vec<Cow<'a, [f32]>>,
    payload: Vec<u8>,
}

impl<'a> Merged<'a> {
    fn read(schema: &Schema, view: &View, key: Key<'a>, place: Place) -> Result<Self> {
        let mut payload = Vec::new();
        view.payload(place, &SelectFields::All, &mut payload)?;
        let vectors = view.vectors(place, schema.vectors.len())?;
        Ok(Self {
            key,
            place,
            vectors: vectors.into_iter().map(Cow::Owned).collect(),
            payload,
        })
    }

    fn bytes(&self) -> usize {
        let floats: usize = self.vectors.iter().map(|vector| vector.len()).sum();
        self.key.bytes() + floats * 4 + self.payload.len()
    }

    fn merge(&mut self, new: Option<&[u8]>, replace: bool) -> Result<()> {
        match new {
            None if replace => self.payload.clear(),
            None => {}
            Some(new) if replace => self.payload = new.to_vec(),
            Some(new) => self.payload = payload::merge(&self.payload, new)?,
        }
        Ok(())
    }
}

/// The vectors that row `row` brings; `given` counts the values of the rows before it.
fn next_vectors<'a>(
    schema: &Schema,
    batch: &'a WriteBatch,
    row: usize,
    given: &mut [usize],
) -> Vec<Option<&'a [f32]>> {
    let columns = batch.vectors.iter().zip(&schema.vectors).zip(given);
    let vectors = columns.map(|((column, field), given)| {
        let column = column.as_ref()?;
        if column.present.as_ref().is_some_and(|present| !present[row]) {
            return None;
        }
        let rest = &column.data[*given..];
        let length = field.length_of_first(rest)?;
        *given += length;
        Some(&rest[..length])
    });
    vectors.collect()
}

fn delete(schema: &Schema, batch: &WriteBatch, places: &[Option<Place>]) -> Sequenced {
    let mut seen = Positions::default();
    let mut changes = Changes::none(schema);
    let mut removed = Vec::new();
    let mut skipped = 0;
    for (row, key) in batch.keys.iter().enumerate() {
        match places[row] {
            None => skipped += 1,
            Some(_) if seen.insert(key, row).is_some() => {}
            Some(place) => {
                changes.removed.push(key);
                removed.push(place);
            }
        }
    }
    Sequenced {
        result: WriteResult {
            deleted: removed.len() as u64,
            skipped,
            ..WriteResult::default()
        },
        changes,
        replaced: Vec::new(),
        removed,
    }
}

fn missing_vector(batch: &WriteBatch, row: usize, field: &VectorField) -> Error {
    let error = Error::new(Code::InvalidArgument, "a record has no vector");
    at(error, batch, row, Some(field))
}

/// Adds which row of the batch an error is about.
fn at(error: Error, batch: &WriteBatch, row: usize, field: Option<&VectorField>) -> Error {
    let error = error.number("index", row);
    let error = match batch.keys.get(row) {
        Key::Str(text) => error.text("key", text),
        Key::U64(number) => error.number("key", number),
    };
    match field {
        Some(field) => error.text("field", field.name.clone()),
        None => error,
    }
}
