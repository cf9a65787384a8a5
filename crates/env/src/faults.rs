//! Named fail points at every step of the commit path.
//!
//! Without the `failpoints` feature [`Faults`] is empty and [`Faults::hit`] is
//! inlined to nothing.

use std::io;

/// The steps at which a process may die or an error may strike (K1-K30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum KillPoint {
    /// Request validated, in memory only.
    K1Validated = 1,
    /// WAL frame encoded.
    K2Encoded,
    /// Half of the group's bytes written.
    K3PartialWrite,
    /// All of the group's bytes written.
    K4Written,
    /// About to sync the log.
    K5SyncIssued,
    /// Log synced.
    K6Synced,
    /// Applied to the memtable.
    K7Applied,
    /// Acknowledged.
    K8Acknowledged,
    /// Segment file created.
    K9SegmentCreated,
    /// Vectors written.
    K10Vectors,
    /// A graph of links alone (HNSW) written. Passed once for each; segments of flushes have none.
    K11Graph,
    /// Codes written: a quantised graph, of which links and codes are one section, lists, or the codes of
    /// a field. Passed once for each. Codes that memory makes for itself are never written.
    K12Codes,
    /// Payload written, with the indexes of fields and the words of texts.
    K13Payload,
    /// Keys, key index and deletion bitmaps written.
    K14Keys,
    /// Footer written.
    K15Footer,
    /// Segment synced.
    K16SegmentSynced,
    /// Segment directory synced.
    K17SegmentDirSynced,
    /// Manifest N+1 written.
    K18ManifestWritten,
    /// Manifest synced, its directory too.
    K19ManifestSynced,
    /// CURRENT renamed.
    K20Renamed,
    /// Directory of CURRENT synced.
    K21DirSynced,
    /// Readers see the new state.
    K22Swapped,
    /// New WAL file in use.
    K23WalRotated,
    /// Old WAL file removed or recycled.
    K24WalRemoved,
    /// Old segment unlinked.
    K25SegmentUnlinked,
    /// Directory synced after clean-up.
    K26CleanupSynced,
    /// A version is pinned: its files stay.
    K27VersionPinned,
    /// A file of a backup, or of a restored database, copied: whole, synced, under its name.
    K28FileCopied,
    /// Record of a version or backup written, under another name yet; of a restored database all
    /// manifests, but no catalog.
    K29RecordWritten,
    /// Record renamed and its directory synced; of a restored database the catalog published.
    K30RecordPublished,
}

impl KillPoint {
    /// All of them, in order.
    pub const ALL: [Self; 30] = [
        Self::K1Validated,
        Self::K2Encoded,
        Self::K3PartialWrite,
        Self::K4Written,
        Self::K5SyncIssued,
        Self::K6Synced,
        Self::K7Applied,
        Self::K8Acknowledged,
        Self::K9SegmentCreated,
        Self::K10Vectors,
        Self::K11Graph,
        Self::K12Codes,
        Self::K13Payload,
        Self::K14Keys,
        Self::K15Footer,
        Self::K16SegmentSynced,
        Self::K17SegmentDirSynced,
        Self::K18ManifestWritten,
        Self::K19ManifestSynced,
        Self::K20Renamed,
        Self::K21DirSynced,
        Self::K22Swapped,
        Self::K23WalRotated,
        Self::K24WalRemoved,
        Self::K25SegmentUnlinked,
        Self::K26CleanupSynced,
        Self::K27VersionPinned,
        Self::K28FileCopied,
        Self::K29RecordWritten,
        Self::K30RecordPublished,
    ];
}

/// What happens at a fail point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// The step fails with an I/O error of this kind: `StorageFull` is a full disk, `Other` one that
    /// breaks.
    Error(io::ErrorKind),
    /// The thread panics.
    Panic,
    /// The process ends at once, as by SIGKILL.
    Kill,
    /// The thread sleeps that many milliseconds.
    SleepMs(u64),
}

#[cfg(feature = "failpoints")]
mod table {
    use super::{FaultAction, KillPoint, io};
    use parking_lot::Mutex;
    use std::sync::Arc;

    type Observer = Arc<dyn Fn(KillPoint) + Send + Sync>;

    /// Counts passes through each fail point and acts at chosen ones.
    #[derive(Clone, Default)]
    pub struct Faults {
        table: Arc<Mutex<Table>>,
    }

    #[derive(Default)]
    struct Table {
        hits: [u64; KillPoint::ALL.len() + 1],
        armed: Vec<(KillPoint, u64, FaultAction)>,
        observer: Option<Observer>,
    }

    impl Faults {
        /// Reads `CAIRN_FAIL`, such as `K6:3:kill` or `K3:1:error,K9:1:panic`: at the n-th
        /// pass of that point, do that. The actions:
        ///
        /// | Spelling | What happens |
        /// |---|---|
        /// | `kill` | the process ends, as by SIGKILL |
        /// | `panic` | the thread panics |
        /// | `sleep<ms>` | the thread sleeps |
        /// | `error`, `error=EIO` | the step fails: the disk breaks |
        /// | `error=ENOSPC`, `error=EDQUOT` | it fails: the disk is full, the quota is |
        /// | `error=EACCES`, `error=EROFS` | it fails: it is not allowed, the disk is read-only |
        ///
        /// # Panics
        /// If the variable cannot be read as such a list.
        #[must_use]
        pub fn from_environment() -> Self {
            let faults = Self::default();
            if let Ok(text) = std::env::var("CAIRN_FAIL") {
                for rule in text.split(',').filter(|rule| !rule.is_empty()) {
                    let mut parts = rule.split(':');
                    let mut next = || parts.next().expect("CAIRN_FAIL is K<n>:<pass>:<action>");
                    let number: u8 = next()
                        .trim_start_matches('K')
                        .parse()
                        .expect("a fail point number in CAIRN_FAIL");
                    let pass = next().parse().expect("a pass number in CAIRN_FAIL");
                    let action = action(next());
                    faults.arm(KillPoint::ALL[usize::from(number) - 1], pass, action);
                }
            }
            faults
        }

        /// At the `pass`-th pass (counted from 1, from the start) of `point`, do `action`.
        pub fn arm(&self, point: KillPoint, pass: u64, action: FaultAction) {
            self.table.lock().armed.push((point, pass, action));
        }

        /// Calls `observer` at every pass of every point, before any action.
        pub fn observe(&self, observer: impl Fn(KillPoint) + Send + Sync + 'static) {
            self.table.lock().observer = Some(Arc::new(observer));
        }

        /// How often `point` was passed.
        #[must_use]
        pub fn hits(&self, point: KillPoint) -> u64 {
            self.table.lock().hits[point as usize]
        }

        /// Passes `point`.
        ///
        /// # Errors
        /// The injected one.
        ///
        /// # Panics
        /// If a panic was injected.
        #[expect(clippy::disallowed_methods, reason = "an injected pause is real time")]
        pub fn hit(&self, point: KillPoint) -> io::Result<()> {
            let (observer, action) = {
                let mut table = self.table.lock();
                table.hits[point as usize] += 1;
                let pass = table.hits[point as usize];
                let action = table
                    .armed
                    .iter()
                    .find(|(p, n, _)| *p == point && *n == pass)
                    .map(|(_, _, action)| *action);
                (table.observer.clone(), action)
            };
            if let Some(observer) = observer {
                observer(point);
            }
            match action {
                None => Ok(()),
                Some(FaultAction::Error(kind)) => {
                    let what = format!("injected error at={point:?}");
                    Err(io::Error::new(kind, what))
                }
                Some(FaultAction::Panic) => panic!("injected panic at={point:?}"),
                Some(FaultAction::Kill) => kill(),
                Some(FaultAction::SleepMs(ms)) => {
                    std::thread::sleep(std::time::Duration::from_millis(ms));
                    Ok(())
                }
            }
        }
    }

    /// What a rule of `CAIRN_FAIL` asks for.
    fn action(spelling: &str) -> FaultAction {
        if let Some(name) = spelling.strip_prefix("error=") {
            return FaultAction::Error(kind(name));
        }
        match spelling {
            "error" => FaultAction::Error(io::ErrorKind::Other),
            "panic" => FaultAction::Panic,
            "kill" => FaultAction::Kill,
            other => {
                let ms = other.strip_prefix("sleep").map(str::parse);
                FaultAction::SleepMs(ms.and_then(Result::ok).expect("sleep<ms>"))
            }
        }
    }

    /// An error by the name that Unix has for it. Kinds and not numbers: those differ from one operating
    /// system to another, and it is the kind that whoever meets it goes by.
    fn kind(name: &str) -> io::ErrorKind {
        match name {
            "EIO" => io::ErrorKind::Other,
            "ENOSPC" => io::ErrorKind::StorageFull,
            "EDQUOT" => io::ErrorKind::QuotaExceeded,
            "EACCES" => io::ErrorKind::PermissionDenied,
            "EROFS" => io::ErrorKind::ReadOnlyFilesystem,
            other => panic!("no error of CAIRN_FAIL is called {other}"),
        }
    }

    #[cfg(unix)]
    fn kill() -> ! {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }

    #[cfg(not(unix))]
    fn kill() -> ! {
        std::process::abort()
    }
}

#[cfg(feature = "failpoints")]
pub use table::Faults;

/// Counts passes through each fail point and acts at chosen ones: here, built without
/// `failpoints`, nothing at all.
#[cfg(not(feature = "failpoints"))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults;

#[cfg(not(feature = "failpoints"))]
impl Faults {
    /// No fail points in this build.
    #[must_use]
    pub fn from_environment() -> Self {
        Self
    }

    /// Passes `point`: does nothing.
    ///
    /// # Errors
    /// Never in this build.
    #[inline(always)]
    pub fn hit(self, _point: KillPoint) -> io::Result<()> {
        Ok(())
    }
}
