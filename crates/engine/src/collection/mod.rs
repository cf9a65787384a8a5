//! A collection: one writer's log and memtable, immutable segments, and the view readers take.
//!
//! Locks, in the order in which one thread may take them: `flushing` or `compacting` (one flush
//! and one compaction at a time) or, where there is another writer, `following`, `manifest` (one publication at a time), `core` (the log and who
//! swaps the view), then `queue` or `backlog`. Readers take none: they load the view.

mod alter;
mod commit;
mod compaction;
mod cut;
mod dirs;
mod flush;
mod matching;
mod publish;
mod recovery;
mod refresh;
mod sequence;
mod stats;
mod tidy;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool as StopFlag;

use cairn_env::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use cairn_env::sync::{ArcSwap, Condvar, Mutex, RwLock};
use cairn_env::{Bug, Env, Lane, planted};
use cairn_storage::Wal;

use crate::batch::{WriteBatch, WriteOptions, WriteResult};
use crate::block_cache::BlockCache;
use crate::error::{Error, Result, closed, dropped, poisoned, read_only};
use crate::expiry::{Latest, Moment};
use crate::idempotency::{self, Ledger};
use crate::manifest::Manifest;
use crate::options::Options;
use crate::retained::Retained;
use crate::schema::Schema;
use crate::snapshot::Snapshot;
use crate::space::{Room, Share};
use crate::stop::{Job, Stop};
use crate::structure::{Structure, Structures};
use crate::view::View;

pub(crate) use cut::{Frozen, cut_all};
pub(crate) use dirs::{
    list, make_dir, make_dirs, remove_file, remove_tree, sync_dir, sync_names_above,
};
pub(crate) use recovery::{Opening, create, listed_files, open, open_frozen};
pub(crate) use refresh::open_following;
pub(crate) use sequence::check_vector;
pub use stats::{BackgroundError, CollectionStats, Health, SegmentStats};

/// Called once with what a write did.
pub type Done = Box<dyn FnOnce(Result<WriteResult>) + Send>;

/// A named set of records.
pub struct Collection {
    id: u64,
    name: RwLock<String>,
    structures: Structures,
    env: Env,
    dirs: Dirs,
    wal_dir: PathBuf,
    /// Set when it was opened without a log.
    read_only: bool,
    /// How it follows its writer, where it does; held while it does so.
    following: Mutex<Option<refresh::Following>>,
    options: Options,
    /// The database's version counter, shared by its collections.
    versions: Arc<AtomicU64>,
    /// The wall clock by which records are over, shared by all that is open of the database.
    latest: Arc<Latest>,
    queue: Mutex<commit::Queue>,
    queue_changed: Condvar,
    core: Mutex<Core>,
    view: ArcSwap<View>,
    /// What its memtables will take on the disk.
    unflushed: Share,
    manifest: Mutex<Manifest>,
    /// Versions being made that wait for the manifest of their lsn.
    cuts: Mutex<Vec<cut::Awaited>>,
    /// Files that others than the manifest list.
    retained: Arc<Retained>,
    /// Blocks of stored fields, of all collections.
    blocks: Arc<BlockCache>,
    /// The published manifest's, for those who must not wait for a publication.
    flushed_lsn: AtomicU64,
    /// When the last flush ended, in milliseconds of the monotonic clock; its start stands for none.
    flushed_at: AtomicU64,
    flushing: Mutex<()>,
    compacting: Mutex<()>,
    /// Set while a compaction that a larger one makes pointless should end.
    compaction_cancel: Arc<StopFlag>,
    /// Compactions that somebody has asked for and that have not ended: the background begins none.
    compactions_awaited: AtomicU64,
    backlog: Mutex<Backlog>,
    backlog_changed: Condvar,
    closed: AtomicBool,
    /// Set before it is closed for having been dropped.
    dropped: AtomicBool,
    /// Set by `close()`: background work ends early.
    ending: Arc<StopFlag>,
    background_error: Mutex<Option<BackgroundError>>,
}

/// What a batch was made from.
struct Asked {
    /// Digest of what was asked for.
    digest: u64,
    /// By whose names.
    structure: Arc<Structure>,
}

/// What only the commit leader and publications touch.
struct Core {
    /// Taken by `close()`.
    wal: Option<Wal>,
    /// A publication failed or the writer panicked: nothing more is written until reopened.
    poisoned: bool,
    /// The name that it was dropped by, where it was.
    dropped: Option<String>,
    /// Live records, those of the running group included.
    live: u64,
    /// Rows of segments that were deleted since the last memtable began.
    buried: usize,
    /// What keyed writes did, those of the running group included.
    ledger: Ledger,
}

impl Core {
    /// Whether nothing more is written until reopened: the log may have failed as well.
    fn is_poisoned(&self) -> bool {
        let poisoned = self.poisoned || self.wal.as_ref().is_some_and(Wal::is_poisoned);
        poisoned && !planted(Bug::PoisonedLogAccepts)
    }

    /// The log, unless nothing more is written.
    fn writable(&self) -> Result<&Wal> {
        if let Some(name) = &self.dropped {
            return Err(dropped(name));
        }
        let wal = self.wal.as_ref().ok_or_else(closed)?;
        if self.is_poisoned() {
            return Err(poisoned());
        }
        Ok(wal)
    }
}

/// Work that waits or runs in the background.
#[derive(Default)]
struct Backlog {
    /// Tasks that `close()` waits for.
    tasks: usize,
    flush_scheduled: bool,
    compaction_scheduled: bool,
    codes_scheduled: bool,
    indexes_scheduled: bool,
}

/// Directories of a collection.
struct Dirs {
    root: PathBuf,
    segments: PathBuf,
    deletions: PathBuf,
    /// Made with the first file in it.
    outcomes: PathBuf,
}

impl Dirs {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            segments: root.join("seg"),
            deletions: root.join("del"),
            outcomes: root.join(idempotency::DIR),
        }
    }
}

impl Collection {
    /// Its current name.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.read().clone()
    }

    /// Its structure now.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.structures.newest().shown
    }

    /// Its structure now, with the names that records have. Vectors and keys never change.
    fn stored(&self) -> &Schema {
        &self.structures.newest().stored
    }

    /// The newest state, pinned: later writes do not show in it.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn snapshot(self: &Arc<Self>) -> Result<Snapshot> {
        self.check_open()?;
        Ok(Snapshot::new(Arc::clone(self), self.view.load_full()))
    }

    /// Writes a batch and returns at once; `done` is called from another thread (or from this
    /// one, when the batch is refused for its shape).
    ///
    /// Batches that arrive while a sync runs are committed together by the next one.
    pub fn submit(self: &Arc<Self>, batch: WriteBatch, options: WriteOptions, done: Done) {
        self.submit_to_group(batch, options, None, done, false);
    }

    /// As [`Collection::submit`] for a caller that is about to submit more: a group of its own is
    /// not begun for each. When this returns true, [`Collection::start`] must follow.
    pub fn submit_held(
        self: &Arc<Self>,
        batch: WriteBatch,
        options: WriteOptions,
        done: Done,
    ) -> bool {
        self.submit_to_group(batch, options, None, done, true)
    }

    fn submit_to_group(
        self: &Arc<Self>,
        batch: WriteBatch,
        options: WriteOptions,
        asked: Option<Asked>,
        done: Done,
        held: bool,
    ) -> bool {
        let reply = commit::Reply::new(done);
        let submitted = self.check_writable().and_then(|()| {
            let (digest, structure) = match asked {
                Some(Asked { digest, structure }) => (Some(digest), structure),
                None => (None, self.structure_of(&options)),
            };
            sequence::check(&structure.stored, &batch, &options, digest.is_some())?;
            alter::to_stored(structure, batch, options, digest)
        });
        match submitted {
            Ok(write) => self.enqueue(commit::Submission { write, reply }, held),
            Err(error) => {
                reply.send(Err(error));
                false
            }
        }
    }

    /// Writes a batch and waits for it.
    ///
    /// # Errors
    /// The codes of the public table; unless it is `ERR_OUTCOME_UNKNOWN`, nothing happened.
    pub fn write(
        self: &Arc<Self>,
        batch: WriteBatch,
        options: WriteOptions,
    ) -> Result<WriteResult> {
        self.write_as(batch, options, None)
    }

    /// As [`Collection::write`], of a batch that stands for something else that was asked for.
    fn write_as(
        self: &Arc<Self>,
        batch: WriteBatch,
        options: WriteOptions,
        asked: Option<Asked>,
    ) -> Result<WriteResult> {
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let answer = Arc::clone(&slot);
        let done = move |result| {
            *answer.0.lock() = Some(result);
            answer.1.notify_one();
        };
        self.submit_to_group(batch, options, asked, Box::new(done), false);
        let mut result = slot.0.lock();
        loop {
            match result.take() {
                Some(result) => return result,
                None => slot.1.wait(&mut result),
            }
        }
    }

    /// Makes everything acknowledged so far survive power loss, whatever durability it was
    /// written with, and returns the version it covers.
    ///
    /// # Errors
    /// `ERR_CLOSED`, `ERR_READ_ONLY`, `ERR_NO_SPACE`, `ERR_IO`.
    pub fn commit(self: &Arc<Self>) -> Result<u64> {
        self.check_writable()?;
        self.make_durable()
    }

    /// Flushes, merges all segments into one, removes deleted rows for good and builds the
    /// graphs. Returns when all that was written before is so.
    ///
    /// # Errors
    /// `ERR_ABORTED` or `ERR_DEADLINE` when the job was stopped (what was there stays);
    /// `ERR_CLOSED`, `ERR_READ_ONLY`, `ERR_NO_SPACE`, `ERR_IO`.
    pub fn compact(self: &Arc<Self>, job: &Job) -> Result<()> {
        self.check_writable()?;
        job.stop.check()?;
        self.flush_now()?;
        self.compact_all(job)
    }

    /// Ends the collection's work: what was acknowledged is made durable, background work is
    /// cut short, the log is closed. Later calls answer `ERR_CLOSED`; a second close does nothing.
    ///
    /// # Errors
    /// What making it durable answers; it is closed all the same.
    pub fn close(self: &Arc<Self>) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shut()
    }

    /// The work of `close()`, for whoever has marked it closed.
    fn shut(self: &Arc<Self>) -> Result<()> {
        if self.read_only {
            self.ending.store(true, Ordering::Release);
            return Ok(());
        }
        self.start();
        self.wait_for_leader();
        let is_poisoned = self.core.lock().is_poisoned();
        let durable = if is_poisoned {
            self.refuse_losses()
        } else {
            self.make_durable().map(drop)
        };
        self.ending.store(true, Ordering::Release);
        let mut backlog = self.backlog.lock();
        while backlog.tasks > 0 && !planted(Bug::CloseDoesNotWait) {
            self.backlog_changed.wait(&mut backlog);
        }
        drop(backlog);
        // Work that a caller runs on a thread of its own ends early too, or has ended.
        let wait = !planted(Bug::CloseDoesNotWait);
        let _no_compaction = wait.then(|| self.compacting.lock());
        let _no_flush = wait.then(|| self.flushing.lock());
        self.core.lock().wal = None;
        self.unflushed.set(0);
        durable
    }

    /// Says so when a poisoned collection has acknowledged what it can no longer make durable.
    fn refuse_losses(&self) -> Result<()> {
        let synced = self.core.lock().wal.as_ref().map_or(0, Wal::synced_lsn);
        let durable = synced.max(self.flushed_lsn.load(Ordering::Acquire));
        let view = self.view.load();
        let mut memtables = view.memtables.iter();
        if view.lsn > durable || memtables.any(|m| m.table.is_unlogged()) {
            return Err(poisoned());
        }
        Ok(())
    }

    /// Says that no catalog lists it any more: what its handles answer from now on. It is still to be
    /// [abandoned](Self::abandon).
    pub(crate) fn mark_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Closes without making anything durable: the files are about to be removed.
    pub(crate) fn abandon(self: &Arc<Self>) {
        // First, so that who is told that it takes nothing more can see that it is gone.
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let name = self.is_dropped().then(|| self.name());
        {
            let mut core = self.core.lock();
            core.poisoned = true;
            core.dropped = name;
        }
        // What it says is lost was to be removed.
        let _ = self.shut();
    }

    /// The instant by which records are over; before all of them where they have no time.
    pub(crate) fn now(&self) -> i64 {
        match self.stored().expires_at {
            Some(_) => self.latest.now(&*self.env.clock),
            None => i64::MIN,
        }
    }

    /// A version, as it is seen now.
    fn moment(&self, lsn: u64) -> Moment {
        let now = self.now();
        Moment { lsn, now }
    }

    /// The view of now, for a planted bug: readers have that of their snapshot.
    pub(crate) fn newest_view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn rename(&self, name: &str) {
        name.clone_into(&mut self.name.write());
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(self.gone());
        }
        Ok(())
    }

    /// Why nothing can be done with it any more.
    pub(crate) fn gone(&self) -> Error {
        if self.is_dropped() {
            dropped(&self.name.read())
        } else {
            closed()
        }
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The disk as it is now, for [`Collection::reserve_bytes`] to be left on it.
    fn room(&self) -> Room {
        match self.options.disk_reserve_bytes {
            0 => Room::unknown(),
            _ => Room::of(&*self.env.disk, &self.dirs.root),
        }
    }

    /// What has to be left on the disk so that everything in memory can be flushed.
    fn reserve_bytes(&self, view: &View, ledger: &Ledger) -> u64 {
        // A manifest has a centroid of five bytes a number, two keys of up to 1 KiB and some 200
        // bytes a segment; the deletions of one take a bit a row.
        let means = self.stored().vectors.iter().filter(|v| !v.kind.varies());
        let dims: u64 = means.map(|v| u64::from(v.dim)).sum();
        let segments = view.segments.len() as u64 + 1;
        let rows: usize = view.segments.iter().map(|segment| segment.rows()).sum();
        let publication = segments * (5 * dims + 4096) + rows as u64 / 8 + ledger.bytes();
        self.options
            .disk_reserve_bytes
            .saturating_add(self.unflushed.all())
            .saturating_add(publication)
    }

    /// Counts what the memtables of the view will take. Called when that has changed.
    fn note_unflushed(&self) {
        let view = self.view.load();
        let tables = view.memtables.iter().map(|m| m.table.bytes() as u64);
        self.unflushed.set(tables.sum());
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            return Err(read_only());
        }
        Ok(())
    }

    /// A job of the background: it ends when the collection does.
    fn background_job(&self) -> Job {
        Job {
            stop: Stop::never().when_also(Arc::clone(&self.ending)),
            progress: None,
        }
    }

    /// Runs `work` in the background and counts it, so that `close()` can wait for it. Called
    /// without any lock held.
    ///
    /// What commits and flushes counts from here on. Other work counts once it begins, and does not begin
    /// after `close()`: it may stand in its lane behind the merges of other collections.
    fn spawn(self: &Arc<Self>, lane: Lane, work: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let counts_now = lane == Lane::Commit;
        if counts_now {
            self.backlog.lock().tasks += 1;
        }
        let this = Arc::clone(self);
        let task = move || {
            if !counts_now && !this.begin_task() {
                return;
            }
            let ended = TaskEnd(&this);
            work(ended.0);
        };
        self.env.threads.spawn(lane, Box::new(task));
    }

    /// Counts a task that begins, unless the collection is closed.
    fn begin_task(&self) -> bool {
        let mut backlog = self.backlog.lock();
        // Who closes says so first, and looks at the tasks then.
        if self.is_closed() && !planted(Bug::CloseDoesNotWait) {
            return false;
        }
        backlog.tasks += 1;
        true
    }

    /// Sees to it that the codes that searches of `view` asked for are made.
    pub(crate) fn schedule_codes(self: &Arc<Self>, view: Arc<View>) {
        {
            let mut backlog = self.backlog.lock();
            if backlog.codes_scheduled || self.check_open().is_err() {
                return;
            }
            backlog.codes_scheduled = true;
        }
        self.spawn(Lane::Blocking, move |this| {
            let _until_here = Scheduled(this, |backlog| &mut backlog.codes_scheduled);
            view.segments
                .iter()
                .for_each(|segment| segment.make_codes(|| this.is_closed()));
            view.memtables.iter().for_each(|it| it.table.make_codes());
        });
    }

    fn background_error_now(&self, error: &Error) -> BackgroundError {
        BackgroundError {
            what: error.to_string(),
            unix_ms: self.env.clock.unix_ms(),
        }
    }

    fn note_background_error(&self, error: &Error) {
        *self.background_error.lock() = Some(self.background_error_now(error));
    }
}

/// Clears a flag of the backlog at the end of the work it stands for, also when that panics.
struct Scheduled<'a>(&'a Collection, fn(&mut Backlog) -> &mut bool);

impl Drop for Scheduled<'_> {
    fn drop(&mut self) {
        *self.1(&mut self.0.backlog.lock()) = false;
    }
}

/// Counts a background task as ended, also when it panics.
struct TaskEnd<'a>(&'a Arc<Collection>);

impl Drop for TaskEnd<'_> {
    fn drop(&mut self) {
        self.0.backlog.lock().tasks -= 1;
        self.0.backlog_changed.notify_all();
    }
}
