//! The simulated disk; the model is on [`SimDisk`].

mod choice;
mod contents;
mod disk;
mod enumerate;
mod faults;
mod image;
mod log;
mod state;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod fault_test;
#[cfg(test)]
mod names_test;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::Clock;
use parking_lot::{Mutex, MutexGuard};

pub use choice::{Choice, Fate, Tear};
pub use enumerate::{Coverage, Images};
pub use faults::InjectedError;
pub use image::{CrashImage, CrashPoint};

use contents::CHUNK;
use faults::{Armed, CallKind, Faults, Latency};
use log::{Damage, Entry, Op, Slot, SyncOutcome};
use state::{Node, NodeId, ROOT, State};

/// A state is kept every so many operations: a crash point costs half that many replays.
const CHECKPOINT_OPS: usize = 64;

/// Longer files are `FileTooLarge`: 1 TiB, far beyond what a test writes and far below where
/// offsets overflow.
const FILE_BYTES_MAX: u64 = 1 << 40;

/// A disk in memory that knows, at every moment, what would survive a loss of power.
///
/// Clones are the same disk. Operations are numbered from 1 in the order in which they
/// happen; `at` counts how many have happened when power is lost, from 0 to
/// [`SimDisk::op_count`].
///
/// # What may be found after a crash
///
/// **Files.** All that a `sync_data` that returned `Ok` covered is there, length included.
/// Of the changes since then
/// - each write is lost, kept, or torn: of the sectors (512 or 4096 bytes) that it touches,
///   any subset arrived. Different writes are decided independently, so they may arrive in
///   any order;
/// - a sector arrives whole, as the cache held it: if a later write to the same sector
///   arrived, so did the bytes of earlier ones in that sector. There is no third content;
/// - a change of length is kept or lost independently of the data. A length that arrived
///   without data reads zeros; data that arrived behind the length is invisible;
/// - a cut (`set_len` to less) that is lost takes all later changes of the file with it, as
///   they went to blocks that nothing leads to.
///
/// **Names.** All that happened in a directory before a `sync_dir` of it returned `Ok` is
/// there. Of the creations, renames and removals since then, any subset happened, except that
/// - a rename is one step: both of its directory entries change or neither does. It belongs
///   to the directory that it moves the name *into*: syncing that one makes it durable,
///   syncing the other alone does not;
/// - one directory entry changes in order: what happened to a name later implies what
///   happened to it earlier (so removing `a` and creating a new `a` may leave the old one,
///   none or the new one, and a file renamed twice has exactly one of its three names);
/// - a removed (or replaced) directory implies everything that emptied it, and a rename
///   implies the operations that put its target directory in place. A durable file thus never
///   vanishes by a rename.
///
/// **Between the two** there is no order at all: a synced file may have lost its name, a name
/// may lead to a file without its data, a rename may be there and the contents written before
/// it not. Syncing a file does not sync its name, syncing a directory neither its files nor
/// its own name in its parent.
///
/// **Failed syncs.** What a failed sync should have covered stays undecided for good, even if
/// a later sync succeeds, unless the same sectors are written and synced again: kernels drop
/// the dirty mark together with the error.
///
/// **Locks** are gone, errors to order, capacity and latency are not inherited, files that
/// were removed but open are gone.
///
/// # What is not modelled
///
/// Bytes of other files in a lost range (journalling file systems do not leave them),
/// sectors torn inside, hard and symbolic links, permissions, misdirected writes. Wrong
/// contents can be had with [`SimDisk::put`], wrong bits with [`SimDisk::flip_bit`].
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    latency: Mutex<Option<Latency>>,
}

struct Inner {
    state: Arc<State>,
    log: Vec<Entry>,
    /// States after so many operations, ascending.
    checkpoints: Vec<(usize, Arc<State>)>,
    /// The crash point last asked for.
    point: Option<Arc<CrashPoint>>,
    /// How many handles each file has.
    handles: BTreeMap<NodeId, usize>,
    locks: BTreeSet<NodeId>,
    faults: Faults,
}

impl SimDisk {
    /// An empty disk: a root directory, which is durable.
    #[must_use]
    pub fn new() -> Self {
        Self::from_state(State::new())
    }

    fn from_state(state: State) -> Self {
        let state = Arc::new(state);
        Self {
            shared: Arc::new(Shared {
                inner: Mutex::new(Inner {
                    checkpoints: vec![(0, Arc::clone(&state))],
                    state,
                    log: Vec::new(),
                    point: None,
                    handles: BTreeMap::new(),
                    locks: BTreeSet::new(),
                    faults: Faults::default(),
                }),
                latency: Mutex::new(None),
            }),
        }
    }

    /// How many operations have happened: calls that changed something, or synced. Note it
    /// when a write is acknowledged: in every image from there on, the write must be found.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.inner().log.len()
    }

    /// The log, one line for each operation.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        let inner = self.inner();
        let lines = inner.log.iter().zip(1..);
        lines
            .map(|(entry, number)| format!("#{number} {entry}"))
            .collect()
    }

    /// A disk that may be found if power is lost after `at` operations.
    ///
    /// # Panics
    /// If fewer operations have happened.
    #[must_use]
    pub fn crash_image(&self, at: usize, choice: &mut Choice) -> Self {
        self.crash_point(at).image(choice)
    }

    /// The disk after `at` operations if the process dies and the machine does not.
    ///
    /// # Panics
    /// If fewer operations have happened.
    #[must_use]
    pub fn kill_image(&self, at: usize) -> Self {
        self.crash_image(at, &mut Choice::keep_all())
    }

    /// Every way to keep or lose the undecided operations after `at` operations, then each
    /// write torn in typical ways (in each: all else kept, all else lost, all later lost).
    ///
    /// With more than `max_undecided` (at most 32) undecided operations, all subsets of the
    /// youngest are shown, once with the older ones kept and once with them lost;
    /// [`Images::coverage`] says how much of everything that is.
    ///
    /// # Panics
    /// If fewer operations have happened.
    #[must_use]
    pub fn enumerate_images(&self, at: usize, max_undecided: usize) -> Images {
        self.crash_point(at).enumerate(max_undecided)
    }

    /// `n` random images after `at` operations; the same seed gives the same images.
    ///
    /// # Panics
    /// If fewer operations have happened.
    pub fn random_images(
        &self,
        at: usize,
        n: usize,
        seed: u64,
    ) -> impl Iterator<Item = CrashImage> + use<> {
        let point = self.crash_point(at);
        let mut choice = Choice::seeded(seed ^ (at as u64).rotate_left(32));
        (0..n).map(move |_| point.recorded_image(&mut choice))
    }

    /// Prepares for many images after `at` operations. The last point asked for is kept.
    ///
    /// # Panics
    /// If fewer operations have happened.
    #[must_use]
    pub fn crash_point(&self, at: usize) -> Arc<CrashPoint> {
        let mut inner = self.inner();
        assert!(at <= inner.log.len(), "that operation has not happened yet");
        if let Some(point) = inner.point.as_ref().filter(|point| point.at() == at) {
            return Arc::clone(point);
        }
        let point = Arc::new(CrashPoint::new(at, inner.state_at(at)));
        inner.point = Some(Arc::clone(&point));
        point
    }

    /// How many calls were made, reading ones and failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.inner().faults.calls
    }

    /// How many of them were `sync_data` or `sync_dir`.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.inner().faults.syncs
    }

    /// Lets call number `n` (the first is 1; see [`SimDisk::calls`]) fail, once, without any
    /// effect. A sync that fails dooms what it should have covered.
    pub fn fail_nth(&self, n: u64, error: impl Into<InjectedError>) {
        self.arm(n, false, error.into(), false);
    }

    /// Like [`SimDisk::fail_nth`], but a `write_at` that fails has written the first half of
    /// its bytes.
    pub fn fail_nth_torn(&self, n: u64, error: impl Into<InjectedError>) {
        self.arm(n, false, error.into(), true);
    }

    /// Lets sync number `n` (the first is 1; see [`SimDisk::syncs`]) fail, once.
    pub fn fail_sync_nth(&self, n: u64, error: impl Into<InjectedError>) {
        self.arm(n, true, error.into(), false);
    }

    /// Lets every call that changes or syncs something fail from now on, or no longer: a
    /// medium that has become read-only.
    pub fn fail_mutations(&self, error: Option<InjectedError>) {
        self.inner().faults.mutations = error;
    }

    /// Lets every read of any of these bytes of a file fail from now on, as of a bad sector (`EIO`).
    ///
    /// # Errors
    /// If there is no such file.
    pub fn fail_reads(&self, path: impl AsRef<Path>, bytes: Range<u64>) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.state.find_file(path.as_ref())?;
        inner.faults.unreadable.push((file, bytes));
        Ok(())
    }

    /// Forgets errors that were ordered and have not struck, and that bytes cannot be read.
    pub fn clear_faults(&self) {
        let mut inner = self.inner();
        inner.faults.armed.clear();
        inner.faults.mutations = None;
        inner.faults.unreadable.clear();
    }

    /// Limits the space for contents to `bytes`, in blocks of 4096; `None` lifts the limit. A
    /// write that does not fit writes the blocks that do and fails with `StorageFull`. Space
    /// comes back when a file is cut, or removed and closed.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().faults.capacity = bytes;
    }

    /// Bytes in use, in blocks of 4096.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.inner().used()
    }

    /// Lets syncs return `Ok` without doing anything, or no longer.
    pub fn lie_on_sync(&self, lies: bool) {
        self.inner().faults.lies = lies;
    }

    /// Lets each call take `call`, and each sync `sync`, on `clock`.
    pub fn set_latency(&self, call: Duration, sync: Duration, clock: Arc<dyn Clock>) {
        *self.shared.latency.lock() = Some(Latency { call, sync, clock });
    }

    /// Turns one bit of a file around, on the medium. What the file held counts as synced.
    ///
    /// # Errors
    /// If there is no such file, or no such bit in it.
    pub fn flip_bit(&self, path: impl AsRef<Path>, byte: u64, bit: u8) -> io::Result<()> {
        let path = path.as_ref();
        let mut inner = self.inner();
        let file = inner.state.find_file(path)?;
        if byte >= inner.state.files[&file].live.len() || bit > 7 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        inner.damage(path, file, Damage::FlipBit { byte, bit });
        Ok(())
    }

    /// Cuts or extends a file on the medium. What the file held counts as synced.
    ///
    /// # Errors
    /// If there is no such file, or `len` is absurd.
    pub fn truncate(&self, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        check_end(len, 0)?;
        let path = path.as_ref();
        let mut inner = self.inner();
        let file = inner.state.find_file(path)?;
        inner.damage(path, file, Damage::Truncate(len));
        Ok(())
    }

    /// Puts a durable file in place, creating it (in an existing directory, whose names are
    /// synced) or replacing its contents.
    ///
    /// # Errors
    /// If the path leads nowhere or to a directory.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = path.as_ref();
        let mut inner = self.inner();
        let (slot, node) = inner.state.slot(path)?;
        let file = match node {
            Some(Node::Dir(_)) => return Err(io::ErrorKind::InvalidInput.into()),
            Some(Node::File(file)) => file,
            None => {
                let dir = slot.dir;
                let file = inner.create_file(path, slot);
                let outcome = SyncOutcome::Done;
                inner.record(path, Op::SyncDir { dir, outcome });
                file
            }
        };
        inner.damage(path, file, Damage::Replace(bytes.into()));
        Ok(())
    }

    /// The contents of a file, as programs see them. No call in the sense of
    /// [`SimDisk::calls`].
    ///
    /// # Errors
    /// If there is no such file.
    pub fn read_all(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let inner = self.inner();
        let file = inner.state.find_file(path.as_ref())?;
        Ok(inner.state.files[&file].live.to_vec())
    }

    /// The paths of all files, from the root, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let inner = self.inner();
        let mut paths = Vec::new();
        let mut to_visit = vec![(ROOT, String::new())];
        while let Some((dir, path)) = to_visit.pop() {
            for (name, node) in inner.state.dirs[&dir].live.iter() {
                let path = format!("{path}/{name}");
                match node {
                    Node::Dir(inner) => to_visit.push((*inner, path)),
                    Node::File(_) => paths.push(path),
                }
            }
        }
        paths.sort_unstable();
        paths
    }

    fn arm(&self, nth: u64, counts_syncs: bool, error: InjectedError, torn: bool) {
        self.inner().faults.armed.push(Armed {
            nth,
            counts_syncs,
            error,
            torn,
        });
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock()
    }

    /// Begins a call: counts it, lets it take its time, and fails it if an error is due.
    fn call(&self, kind: CallKind) -> io::Result<MutexGuard<'_, Inner>> {
        self.wait(kind);
        let mut inner = self.inner();
        match inner.faults.pass(kind) {
            None => Ok(inner),
            Some(strike) => Err(strike.error),
        }
    }

    fn wait(&self, kind: CallKind) {
        let latency = self.shared.latency.lock().clone();
        if let Some(latency) = latency {
            latency.wait(kind);
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("op_count", &self.op_count())
            .field("paths", &self.paths())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Makes an operation happen.
    fn record(&mut self, path: &Path, op: Op) {
        self.record_text(text(path), op);
    }

    fn record_text(&mut self, path: Arc<str>, op: Op) {
        Arc::make_mut(&mut self.state).apply(self.log.len(), &op);
        self.log.push(Entry { op, path });
        if self.log.len().is_multiple_of(CHECKPOINT_OPS) {
            self.checkpoints
                .push((self.log.len(), Arc::clone(&self.state)));
        }
    }

    fn state_at(&self, at: usize) -> Arc<State> {
        if at == self.log.len() {
            return Arc::clone(&self.state);
        }
        let later = self.checkpoints.partition_point(|(after, _)| *after <= at);
        let (after, state) = &self.checkpoints[later - 1];
        let mut state = Arc::clone(state);
        for (index, entry) in self.log[..at].iter().enumerate().skip(*after) {
            Arc::make_mut(&mut state).apply(index, &entry.op);
        }
        state
    }

    fn create_file(&mut self, path: &Path, at: Slot) -> NodeId {
        let file = NodeId(self.state.next);
        self.record(path, Op::Create { at, file });
        file
    }

    fn damage(&mut self, path: &Path, file: NodeId, damage: Damage) {
        self.record(path, Op::Damage { file, damage });
    }

    fn used(&self) -> u64 {
        let held = |id: &NodeId| self.handles.contains_key(id);
        self.state
            .files
            .iter()
            .filter(|(id, file)| file.linked || held(id))
            .map(|(_, file)| file.live.allocated())
            .sum()
    }

    /// Blocks that may still be taken; `None` without a limit.
    fn free_blocks(&self) -> Option<u64> {
        let capacity = self.faults.capacity?;
        Some(capacity.saturating_sub(self.used()) / CHUNK as u64)
    }
}

fn check_end(offset: u64, count: u64) -> io::Result<()> {
    match offset.checked_add(count) {
        Some(end) if end <= FILE_BYTES_MAX => Ok(()),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

fn text(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}
