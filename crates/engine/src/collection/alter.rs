//! Another structure for an open collection: who writes and who reads meanwhile, and the indexes of fields
//! that segments have not.
//!
//! Nothing that is stored changes. The catalog is published while no group is committed, and the next
//! view has the new structure, so a write comes before the change or after it. One that was given
//! before and is committed after it keeps the names of its time: what it calls a field is that
//! field, whatever it is called by now. A snapshot keeps the structure of its view.
//!
//! Indexes of segments that lack one are made in the background, a segment at a time; until then records
//! are read. They are in memory alone until a merge writes them.

use std::sync::Arc;

use cairn_env::{Bug, Lane, planted};
use cairn_filter::{Filter, Path, Test};

use crate::batch::{Condition, Payloads, WriteBatch, WriteOptions};
use crate::error::{Code, Error, Result};
use crate::expiry::Moment;
use crate::idempotency;
use crate::limits::FIELDS_BYTES_MAX;
use crate::payload;
use crate::query::SelectFields;
use crate::segment::Segment;
use crate::stop::Stop;
use crate::structure::{Structure, taken};
use crate::view::{Place, View};

use super::commit::Write;
use super::sequence::LATEST;
use super::{Collection, Scheduled};

/// A write as records are stored.
pub(super) fn to_stored(
    structure: Arc<Structure>,
    mut batch: WriteBatch,
    mut options: WriteOptions,
    mut asked: Option<u64>,
) -> Result<Write> {
    let names = &structure.names;
    if !names.is_empty() {
        if options.idempotency_key.is_some() && asked.is_none() {
            // Of what was given: the same write is the same whatever fields are called by then.
            asked = Some(idempotency::digest(&batch));
        }
        if let Some(given) = &batch.payloads {
            let mut payloads = Payloads::default();
            for row in 0..given.ends.len() {
                let stored = names.to_stored(given.get(row))?;
                if stored.len() > FIELDS_BYTES_MAX {
                    let message = "fields of a record are too large";
                    return Err(Error::new(Code::LimitExceeded, message)
                        .number("index", row)
                        .number("limit", FIELDS_BYTES_MAX)
                        .number("got", stored.len()));
                }
                payloads.push(&stored);
            }
            batch.payloads = Some(payloads);
        }
        for Condition { filter, .. } in &mut options.conditions {
            *filter = Arc::new(names.stored_filter(filter).into_owned());
        }
    }
    Ok(Write {
        batch,
        options,
        asked,
        structure,
    })
}

/// Refuses a write that was given before fields got other names and has fields that were not declared and
/// would now be called otherwise.
pub(super) fn refuse_overtaken(
    given: &Arc<Structure>,
    now: &Arc<Structure>,
    batch: &WriteBatch,
) -> Result<()> {
    if Arc::ptr_eq(given, now) || given.names == now.names {
        return Ok(());
    }
    let is_declared = |stored: &str| given.stored.fields.iter().any(|it| it.name == stored);
    let Some(payloads) = &batch.payloads else {
        return Ok(());
    };
    for row in 0..payloads.ends.len() {
        for name in payload::names(payloads.get(row))? {
            if !is_declared(name) && given.names.shown(name) != now.names.shown(name) {
                let message = "fields were renamed while the write waited: write it again";
                return Err(Error::new(Code::Conflict, message)
                    .number("index", row)
                    .text("field", given.names.shown(name)));
            }
        }
    }
    Ok(())
}

impl Collection {
    /// Another for every collection of a database.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often its structure has changed since it was opened.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.structures.changes()
    }

    /// Flushes everything written so far and waits for it.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<()> {
        self.flush_now()
    }

    /// Names of declared fields whose index was dropped.
    #[must_use]
    pub fn unindexed(&self) -> Vec<String> {
        self.structures.newest().shown_unindexed()
    }

    /// Its structure now.
    pub(crate) fn structure(&self) -> Arc<Structure> {
        Arc::clone(self.structures.newest())
    }

    /// The one by whose names something is written.
    pub(super) fn structure_of(&self, options: &WriteOptions) -> Arc<Structure> {
        match options.changes {
            Some(changes) => Arc::clone(self.structures.after(changes)),
            None => Arc::clone(&self.view.load().structure),
        }
    }

    /// Refuses when records have fields of one of these stored names. What is written meanwhile is not
    /// looked at; the version that was.
    ///
    /// # Errors
    /// `ERR_ALREADY_EXISTS`; `ERR_CLOSED`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`; `ERR_CORRUPT`,
    /// `ERR_IO` from the disk.
    pub(crate) fn refuse_taken(self: &Arc<Self>, names: &[String], stop: &Stop) -> Result<u64> {
        let snapshot = self.snapshot()?;
        for name in names {
            let filter = Filter::Field {
                path: Path::Field(vec![name.as_str().into()]),
                test: Test::Exists,
            };
            for found in snapshot.matching(&filter, stop) {
                if !found?.0.is_empty() {
                    return Err(taken(snapshot.view().structure.names.shown(name)));
                }
            }
        }
        Ok(snapshot.version())
    }

    /// Gives the collection another structure, which `publish` makes durable. No record that was written
    /// after version `since` may have a field of one of the stored names `free`.
    ///
    /// # Errors
    /// `ERR_ALREADY_EXISTS`, `ERR_CLOSED`, and what `publish` says: nothing has changed here.
    pub(crate) fn alter(
        self: &Arc<Self>,
        next: Structure,
        (free, since): (&[String], u64),
        publish: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let next = Arc::new(next);
        {
            // A flush that runs has the memtables that would be made anew.
            let changes_texts = !next.has_texts_of(&self.structure());
            let _no_flush = changes_texts.then(|| self.flushing.lock());
            let core = self.core.lock();
            core.writable()?;
            let view = self.view.load_full();
            if let Some(name) = first_taken(&view, free, since)? {
                return Err(taken(view.structure.names.shown(&name)));
            }
            if planted(Bug::AltersBeforePublishing) {
                self.show_structure(&view, Arc::clone(&next));
            }
            publish()?;
            self.show_structure(&view, next);
        }
        self.schedule_indexes();
        Ok(())
    }

    /// As [`alter`](Self::alter), of a reader beside its writer, which has published it.
    pub(crate) fn follow_structure(self: &Arc<Self>, next: Structure) {
        if next == *self.structure() {
            return;
        }
        {
            let _no_look = self.following.lock();
            self.show_structure(&self.view.load_full(), Arc::new(next));
        }
        self.schedule_indexes();
    }

    /// Called while no view is made by others.
    fn show_structure(&self, view: &View, next: Arc<Structure>) {
        let shown = view.with_structure(Arc::clone(&next));
        self.structures.push(Arc::clone(&next));
        for segment in shown.segments.iter() {
            segment.keep_indexes(&next);
        }
        self.view.store(Arc::new(shown));
        self.note_unflushed();
    }

    /// Sees to it that the background makes the indexes that segments lack.
    pub(super) fn schedule_indexes(self: &Arc<Self>) {
        {
            let view = self.view.load();
            let mut segments = view.segments.iter();
            let is_idle = !segments.any(|it| it.lacks_indexes(&view.structure));
            let mut backlog = self.backlog.lock();
            if is_idle || backlog.indexes_scheduled || self.check_open().is_err() {
                return;
            }
            backlog.indexes_scheduled = true;
        }
        self.spawn(Lane::Background, |this| {
            let made = {
                let _until_here = Scheduled(this, |backlog| &mut backlog.indexes_scheduled);
                this.make_indexes()
            };
            match made {
                // What came since the last look found this one still running.
                Ok(()) => this.schedule_indexes(),
                Err(error) if error.code() == Code::Aborted => {}
                // Records are read instead; the next open tries again.
                Err(error) => this.note_background_error(&error),
            }
        });
    }

    fn make_indexes(&self) -> Result<()> {
        let stop = self.background_job().stop;
        loop {
            let view = self.view.load_full();
            let lacks = |it: &&Arc<Segment>| it.lacks_indexes(&view.structure);
            let Some(segment) = view.segments.iter().find(lacks) else {
                return Ok(());
            };
            segment.make_indexes(&view.structure, &self.structures, &stop)?;
        }
    }
}

/// The first of these stored names that a record has which was written after version `since`.
fn first_taken(view: &View, names: &[String], since: u64) -> Result<Option<String>> {
    if names.is_empty() {
        return Ok(None);
    }
    let at = Moment::stored(LATEST);
    let mut fields = Vec::new();
    let segments = view.segments.iter();
    let segments = segments.map(|it| {
        if it.entry.lsn_max > since {
            it.rows()
        } else {
            0
        }
    });
    let memtables = view.memtables.iter().map(|it| it.table.rows());
    for (source, rows) in segments.chain(memtables).enumerate() {
        for row in 0..u32::try_from(rows).expect("rows are counted in 32 bits") {
            let place = Place { source, row };
            if view.version(place) <= since || !view.sees(place, at) {
                continue;
            }
            fields.clear();
            view.payload(place, &SelectFields::All, &mut fields)?;
            let has = payload::names(&fields)?;
            if let Some(name) = names.iter().find(|name| has.contains(&name.as_str())) {
                return Ok(Some(name.clone()));
            }
        }
    }
    Ok(None)
}
