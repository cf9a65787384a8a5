//! Group commit without a timer: whoever finds no leader becomes it; what queues while the leader
//! syncs is its next group.
//!
//! A group is applied to the memtable before it is logged, invisibly: readers see the version of
//! the published view, and that one moves on only after the sync. So later batches of a group see
//! the earlier ones, and a group whose sync fails is never seen.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_env::{Bug, KillPoint, Lane, planted};
use cairn_storage::{FrameToWrite, Wal};

use crate::batch::{WriteBatch, WriteOptions, WriteResult};
use crate::error::{Code, Error, Result};
use crate::expiry::Moment;
use crate::frame::{Changes, KIND_CHANGES, KIND_KEYED_CHANGES};
use crate::idempotency::{self, Outcome};
use crate::memtable::NewRow;
use crate::options::Durability;
use crate::space::{Claim, Room};
use crate::structure::Structure;
use crate::view::{MemtableView, View};

use super::alter;
use super::compaction;
use super::sequence::{self, Sequenced};
use super::{Collection, Core, Done};

/// A group ends at this many bytes of log, so that one sync never waits for gigabytes.
const GROUP_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Frozen memtables at which writers wait for a flush.
const FROZEN_MAX: usize = 2;

/// A batch that waits for its group.
pub(super) struct Submission {
    pub write: Write,
    pub reply: Reply,
}

/// What is to be written, with the names that records have.
pub(super) struct Write {
    pub batch: WriteBatch,
    pub options: WriteOptions,
    /// Digest of what was asked for, where the batch was made from something else.
    pub asked: Option<u64>,
    /// By whose names it was asked for.
    pub structure: Arc<Structure>,
}

/// Who waits for a batch. Told in any case: should the writer panic, then when this is dropped.
pub(super) struct Reply(Option<Done>);

impl Reply {
    pub fn new(done: Done) -> Self {
        Self(Some(done))
    }

    pub fn send(mut self, result: Result<WriteResult>) {
        self.call(result);
    }

    fn call(&mut self, result: Result<WriteResult>) {
        if let Some(done) = self.0.take() {
            // What the caller does with the answer is no business of the writer, a panic included.
            let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let message = "the writer ended early: the write may or may not have happened";
        self.call(Err(Error::new(Code::OutcomeUnknown, message)));
    }
}

/// Batches that wait, and whether somebody commits them.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Submission>,
    leading: bool,
    /// Batches that were taken together the last time.
    last_group: usize,
}

/// A batch that was sequenced and applied, not yet logged.
struct Pending {
    reply: Reply,
    result: WriteResult,
    lsn: u64,
    changes: Changes,
    /// What its frame says of a keyed write, encoded.
    outcome: Option<Vec<u8>>,
    durability: Durability,
}

/// What became of one batch before the log.
enum Step {
    Nothing(WriteResult),
    /// It was written before under its key; this is what it did then.
    Repeated(WriteResult),
    Changed {
        sequenced: Box<Sequenced>,
        lsn: u64,
        outcome: Option<Vec<u8>>,
        /// Of its frame's body.
        bytes: u64,
    },
}

type Answer = (Reply, Result<WriteResult>);

impl Collection {
    /// Queues a batch for the next group; returns whether that group still has to be started.
    pub(super) fn enqueue(self: &Arc<Self>, submission: Submission, held: bool) -> bool {
        {
            let mut queue = self.queue.lock();
            // Who closes says so first and looks at the queue then: it waits for what it finds, and
            // nothing may come after what it made durable.
            if self.is_closed() && !planted(Bug::AcceptsWhileClosing) {
                drop(queue);
                submission.reply.send(Err(self.gone()));
                return false;
            }
            queue.waiting.push_back(submission);
            if queue.leading {
                return false;
            }
            // Half of those who wait together are a group: the others come while it is synced.
            if held && queue.waiting.len() < queue.last_group / 2 {
                return true;
            }
            queue.leading = true;
        }
        self.spawn(Lane::Commit, Self::lead);
        false
    }

    /// Starts a group of what [`Collection::submit_held`] left waiting.
    pub fn start(self: &Arc<Self>) {
        {
            let mut queue = self.queue.lock();
            if queue.waiting.is_empty() || std::mem::replace(&mut queue.leading, true) {
                return;
            }
        }
        self.spawn(Lane::Commit, Self::lead);
    }

    fn lead(self: &Arc<Self>) {
        let mut batches = VecDeque::new();
        loop {
            if batches.is_empty() {
                let mut queue = self.queue.lock();
                if queue.waiting.is_empty() {
                    if planted(Bug::LosesWakeUp) {
                        drop(queue);
                        queue = self.queue.lock();
                    }
                    queue.leading = false;
                    self.queue_changed.notify_all();
                    return;
                }
                queue.last_group = queue.waiting.len();
                std::mem::swap(&mut batches, &mut queue.waiting);
            }
            let commit = || self.commit_group(&mut batches);
            if catch_unwind(AssertUnwindSafe(commit)).is_err() {
                // A bug. What is in memory may be half done, so nothing more is written; what is
                // on disk is whole, as after any other sudden end.
                self.core.lock().poisoned = true;
                let error = Error::new(Code::Internal, "the writer panicked");
                self.note_background_error(&error);
            }
        }
    }

    /// Waits until no batch is queued or being committed.
    pub(super) fn wait_for_leader(&self) {
        let mut queue = self.queue.lock();
        while queue.leading {
            self.queue_changed.wait(&mut queue);
        }
    }

    /// Commits the first of `batches`, as many as make a group.
    fn commit_group(self: &Arc<Self>, batches: &mut VecDeque<Submission>) {
        let mut answers: Vec<Answer> = Vec::with_capacity(batches.len());
        match self.wait_for_room(batches) {
            Err(error) => {
                let refused = |submission: Submission| (submission.reply, Err(error.duplicate()));
                answers.extend(batches.drain(..).map(refused));
            }
            Ok(_claim) => {
                let mut core = self.core.lock();
                self.commit_locked(&mut core, batches, &mut answers);
                if let Err(error) = self.freeze_if_full(&mut core) {
                    self.note_background_error(&error);
                }
            }
        }
        for (reply, result) in answers {
            reply.send(result);
        }
        if planted(Bug::AnswersBeforeSync) {
            let core = self.core.lock();
            let _ = core.writable().and_then(|wal| Ok(wal.sync()?));
        }
        // After the answers nothing is left to fail: an injected error has no taker.
        let _ = self.env.faults.hit(KillPoint::K8Acknowledged);
        self.schedule_flush();
    }

    fn commit_locked(
        &self,
        core: &mut Core,
        batches: &mut VecDeque<Submission>,
        answers: &mut Vec<Answer>,
    ) {
        let mut pending: Vec<Pending> = Vec::with_capacity(batches.len());
        // Answers that rest on batches that are not logged yet.
        let mut resting: Vec<Answer> = Vec::new();
        let (mut bytes, mut taken) = (0, Taken::new(self.room()));
        let memtable_bytes = self.options.memtable_bytes_effective();
        let bytes_max = self.group_bytes_max();
        let view = self.view.load_full();
        // Each group takes one at least: a full memtable of a log that failed stays as it is, and
        // what waits has to hear of it.
        while (pending.is_empty()
            || (bytes < bytes_max && view.active().table.bytes() < memtable_bytes))
            && let Some(Submission { write, reply }) = batches.pop_front()
        {
            let durability = write.options.durability;
            let durability = durability.unwrap_or(self.options.durability);
            match self.sequence_one(core, write, durability, &mut taken) {
                Ok(Step::Changed {
                    sequenced,
                    lsn,
                    outcome,
                    bytes: own,
                }) => {
                    bytes += own;
                    pending.push(Pending {
                        reply,
                        result: WriteResult {
                            version: lsn,
                            ..sequenced.result
                        },
                        lsn,
                        changes: sequenced.changes,
                        outcome,
                        durability,
                    });
                }
                Ok(Step::Nothing(mut result)) => match pending.last() {
                    Some(last) => {
                        result.version = last.lsn;
                        resting.push((reply, Ok(result)));
                    }
                    None => answers.push((reply, Ok(result))),
                },
                Ok(Step::Repeated(result)) if result.version > view.lsn => {
                    resting.push((reply, Ok(result)));
                }
                Ok(Step::Repeated(result)) => answers.push((reply, Ok(result))),
                Err(error) if pending.is_empty() => answers.push((reply, Err(error))),
                Err(error) => resting.push((reply, Err(error))),
            }
        }
        self.note_unflushed();
        let Some(last) = pending.last() else {
            return;
        };
        let mut lsn = last.lsn;
        if planted(Bug::ShowsBeforeSync) {
            self.publish_writes(core, lsn);
        }
        if let Err(error) = self.log(core, &pending, &mut lsn) {
            core.poisoned = true;
            self.note_background_error(&error);
            let unknown = || {
                let message = "the log failed: the write may or may not have happened";
                Error::new(Code::OutcomeUnknown, message).text("reason", error.to_string())
            };
            let undecided = |p: Pending| (p.reply, Err(unknown().number("version", p.lsn)));
            answers.extend(pending.into_iter().map(undecided));
            answers.extend(
                resting
                    .into_iter()
                    .map(|(reply, _)| (reply, Err(unknown()))),
            );
            return;
        }
        answers.extend(resting);
        self.publish_writes(core, lsn);
        // Past this point the writes have happened, whatever an injected error says.
        let _ = self.env.faults.hit(KillPoint::K7Applied);
        answers.extend(pending.into_iter().map(|p| (p.reply, Ok(p.result))));
    }

    /// Checks one batch against what is stored, makes room for it in the log and applies it,
    /// invisibly. An error means that nothing happened.
    fn sequence_one(
        &self,
        core: &mut Core,
        write: Write,
        durability: Durability,
        taken: &mut Taken,
    ) -> Result<Step> {
        let Write {
            batch,
            options,
            asked,
            structure,
        } = write;
        core.writable()?;
        options.stop.check()?;
        self.env.faults.hit(KillPoint::K1Validated)?;
        let clock = &*self.env.clock;
        let mut keyed = None;
        if let Some(key) = &options.idempotency_key {
            let digest = asked.unwrap_or_else(|| idempotency::digest(&batch));
            if let Some(result) = core.ledger.find(clock, key, digest)? {
                return Ok(Step::Repeated(result));
            }
            keyed = Some((key, digest));
        }
        let view = self.view.load();
        alter::refuse_overtaken(&structure, &view.structure, &batch)?;
        let sequenced = sequence::sequence(self.stored(), &view, batch, &options, self.now())?;
        // That it changed nothing is remembered of a keyed write, too: repeated later, it might.
        if sequenced.changes.is_empty() && keyed.is_none() {
            return Ok(Step::Nothing(WriteResult {
                version: view.lsn,
                ..sequenced.result
            }));
        }
        let outcome = keyed.map(|(key, digest)| Outcome {
            key: key.as_str().into(),
            digest,
            unix_ms: core.ledger.unix_ms(clock),
            result: sequenced.result,
        });
        let outcome_body = outcome.as_ref().map(Outcome::encode);
        let outcome_bytes = outcome_body.as_ref().map_or(0, Vec::len) as u64;
        let bytes = outcome_bytes + sequenced.changes.encode(self.stored()).len();
        let rows = sequenced.changes.keys.len() as u64;
        let flushed = bytes + rows * ROW_OVERHEAD_BYTES;
        let reserve = self.reserve_bytes(&view, &core.ledger);
        let is_logged = durability != Durability::Memory;
        let wal = core.writable()?;
        let needed = taken.log + bytes + FRAME_OVERHEAD_BYTES;
        let growth = if is_logged { wal.growth(needed) } else { 0 };
        // What is flushed is taken when it is; what the log takes is gone at once.
        let root = &self.dirs.root;
        taken
            .room
            .take(growth, reserve + taken.memory + flushed, root)?;
        if is_logged {
            wal.reserve(needed)?;
            taken.log = needed;
        } else {
            view.active().table.mark_unlogged();
        }
        taken.memory += flushed;
        let lsn = self.next_version();
        apply(&view, &sequenced, lsn);
        if let Some(mut outcome) = outcome {
            outcome.result.version = lsn;
            core.ledger.insert(outcome);
        }
        core.buried += sequenced.rows_of_segments(&view);
        core.live += sequenced.result.inserted;
        core.live -= sequenced.result.deleted;
        Ok(Step::Changed {
            sequenced: Box::new(sequenced),
            lsn,
            outcome: outcome_body,
            bytes,
        })
    }

    /// Writes the group's frames, and syncs them if any of its batches asks for it.
    fn log(&self, core: &mut Core, pending: &[Pending], lsn: &mut u64) -> Result<()> {
        let is_logged = |p: &&Pending| p.durability != Durability::Memory;
        let logged: Vec<&Pending> = pending.iter().filter(is_logged).collect();
        if logged.is_empty() {
            return Ok(());
        }
        let sync = logged.iter().any(|p| p.durability == Durability::Sync)
            && !planted(Bug::AnswersBeforeSync);
        let wal = core.writable()?;
        if planted(Bug::SplitBatch) {
            return self.log_split(wal, &logged, sync, lsn);
        }
        let bodies: Vec<_> = logged
            .iter()
            .map(|p| p.changes.encode(self.stored()))
            .collect();
        let outcomes = logged.iter().map(|p| p.outcome.as_deref());
        let parts: Vec<Vec<&[u8]>> = outcomes
            .zip(&bodies)
            .map(|(outcome, body)| outcome.into_iter().chain(body.parts()).collect())
            .collect();
        let frame = |(p, parts): (&&Pending, _)| FrameToWrite {
            lsn: p.lsn,
            kind: match p.outcome {
                Some(_) => KIND_KEYED_CHANGES,
                None => KIND_CHANGES,
            },
            body: parts,
        };
        let parts = parts.iter().map(Vec::as_slice);
        let frames: Vec<FrameToWrite<'_>> = logged.iter().zip(parts).map(frame).collect();
        Ok(wal.append(&frames, sync)?)
    }

    /// A planted bug: every row becomes a frame of its own.
    fn log_split(&self, wal: &Wal, logged: &[&Pending], sync: bool, lsn: &mut u64) -> Result<()> {
        for pending in logged {
            let rows = pending.changes.keys.len() + pending.changes.removed.len();
            for row in 0..rows {
                let one = pending.changes.row(row, self.stored());
                *lsn = self.next_version();
                let body = one.encode(self.stored());
                let frame = FrameToWrite {
                    lsn: *lsn,
                    kind: KIND_CHANGES,
                    body: &body.parts(),
                };
                wal.append(&[frame], sync)?;
            }
        }
        Ok(())
    }

    fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Shows readers everything up to version `lsn`.
    fn publish_writes(&self, core: &Core, lsn: u64) {
        let view = self.view.load();
        let mut memtables = view.memtables.clone();
        let active = memtables.last_mut().expect("a view has an active memtable");
        active.rows = active.table.rows();
        self.view.store(Arc::new(View {
            lsn,
            count: core.live,
            memtables,
            segments: Arc::clone(&view.segments),
            stretch: Arc::clone(&view.stretch),
            structure: Arc::clone(&view.structure),
        }));
    }

    /// Starts a new memtable and log file when the memtable or the log has grown enough.
    fn freeze_if_full(&self, core: &mut Core) -> Result<()> {
        let Ok(wal) = core.writable() else {
            return Ok(());
        };
        let view = self.view.load();
        let flushed_lsn = self.flushed_lsn.load(Ordering::Acquire);
        let full = view.active().table.bytes() >= self.options.memtable_bytes_effective()
            || wal.bytes() >= self.options.wal_bytes_max / 2;
        if full || compaction::waits_for_flush(&view, core.buried, flushed_lsn) {
            self.freeze(core)?;
        }
        Ok(())
    }

    /// Starts a new memtable; the old one waits to be flushed. Does nothing when nothing was
    /// written since the last time.
    pub(super) fn freeze(&self, core: &mut Core) -> Result<()> {
        let view = self.view.load();
        let frozen_at = view.memtables.iter().rev().find_map(|m| m.frozen_at);
        let before = frozen_at.unwrap_or_else(|| self.flushed_lsn.load(Ordering::Acquire));
        if view.lsn <= before {
            return Ok(());
        }
        core.writable()?.rotate()?;
        core.buried = 0;
        let mut memtables = view.memtables.clone();
        let old = memtables.last_mut().expect("a view has an active memtable");
        old.frozen_at = Some(view.lsn);
        memtables.push(MemtableView::active(self.stored()));
        self.view.store(Arc::new(View {
            lsn: view.lsn,
            count: view.count,
            memtables,
            segments: Arc::clone(&view.segments),
            stretch: Arc::clone(&view.stretch),
            structure: Arc::clone(&view.structure),
        }));
        Ok(())
    }

    /// Slows writers down while flushes cannot keep up; refuses them, before anything happens,
    /// while flushes fail. Claims memory for the next group of `batches`.
    ///
    /// The leader lends a hand rather than wait: a flush that is scheduled may stand in its lane
    /// behind those of many other collections.
    fn wait_for_room(self: &Arc<Self>, batches: &VecDeque<Submission>) -> Result<Claim<'_>> {
        let bytes_max = self.options.memtables_bytes_max();
        if self.core.lock().is_poisoned() {
            // Each batch hears of it.
            return self.unflushed.claim(0, u64::MAX);
        }
        while self.view.load().frozen() >= FROZEN_MAX {
            // Each refusal was a try, so writes go on once the disk has room.
            self.flush_oldest(u64::MAX)?;
        }
        let view = self.view.load();
        let mut bytes = 0;
        for Submission { write, .. } in batches {
            bytes += view.active().table.bytes_of(&write.batch) as u64;
            if bytes >= self.group_bytes_max() {
                break;
            }
        }
        self.unflushed.claim(bytes, bytes_max)
    }

    /// No group brings log or memtable further beyond its end than by its last batch.
    fn group_bytes_max(&self) -> u64 {
        GROUP_BYTES_MAX.min(self.options.memtable_bytes_effective() as u64)
    }
}

/// A frame's header and padding, with room to spare: what a reservation adds per batch.
const FRAME_OVERHEAD_BYTES: u64 = 128;
/// What a segment has of a row beside its vectors, key and fields, with room to spare.
const ROW_OVERHEAD_BYTES: u64 = 40;

/// What the batches of a group take of the disk.
struct Taken {
    room: Room,
    /// Reserved in the log.
    log: u64,
    /// To be flushed.
    memory: u64,
}

impl Taken {
    fn new(room: Room) -> Self {
        Self {
            room,
            log: 0,
            memory: 0,
        }
    }
}

fn apply(view: &View, sequenced: &Sequenced, lsn: u64) {
    let changes = &sequenced.changes;
    for &place in &sequenced.removed {
        view.delete(place, lsn);
    }
    let table = &view.active().table;
    let mut vectors: Vec<&[f32]> = Vec::with_capacity(changes.vectors.len());
    for row in 0..changes.keys.len() {
        if let Some(place) = sequenced.replaced[row] {
            view.delete(place, lsn);
        }
        vectors.clear();
        vectors.extend((0..changes.vectors.len()).map(|field| changes.vector(row, field)));
        table.append(
            lsn,
            &NewRow {
                key: changes.keys.get(row),
                vectors: &vectors,
                payload: changes.payload(row),
            },
        );
    }
}

/// Applies changes that a log held, whatever records had the keys before. Returns how many
/// records came and went.
pub(super) fn replay(view: &View, changes: Changes, lsn: u64) -> (u64, u64) {
    let find = |key| view.find(key, Moment::stored(sequence::LATEST));
    let replaced: Vec<_> = changes.keys.iter().map(find).collect();
    let removed: Vec<_> = changes.removed.iter().filter_map(find).collect();
    let inserted = replaced.iter().filter(|place| place.is_none()).count() as u64;
    let deleted = removed.len() as u64;
    let sequenced = Sequenced {
        changes,
        replaced,
        removed,
        result: WriteResult::default(),
    };
    apply(view, &sequenced, lsn);
    (inserted, deleted)
}
