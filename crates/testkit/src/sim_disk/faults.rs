//! Errors to order, for one disk.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::Clock;

use super::log::SyncOutcome;
use super::state::NodeId;

/// An error that a disk returns on demand: a kind, or the number the operating system gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedError {
    /// An error of this kind.
    Kind(io::ErrorKind),
    /// An error with this `errno`.
    Os(i32),
}

impl From<io::ErrorKind> for InjectedError {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<i32> for InjectedError {
    fn from(errno: i32) -> Self {
        Self::Os(errno)
    }
}

impl InjectedError {
    fn to_error(self) -> io::Error {
        match self {
            Self::Kind(kind) => io::Error::new(kind, "injected error"),
            Self::Os(errno) => io::Error::from_raw_os_error(errno),
        }
    }
}

/// What a call does; decides which faults strike it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Read,
    Mutate,
    Sync,
}

/// What strikes a call.
#[derive(Debug)]
pub(super) struct Strike {
    pub(super) error: io::Error,
    /// A write leaves half of its bytes behind.
    pub(super) torn: bool,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) calls: u64,
    pub(super) syncs: u64,
    pub(super) armed: Vec<Armed>,
    pub(super) mutations: Option<InjectedError>,
    pub(super) capacity: Option<u64>,
    pub(super) lies: bool,
    /// Bytes of files that cannot be read.
    pub(super) unreadable: Vec<(NodeId, Range<u64>)>,
}

#[derive(Debug)]
pub(super) struct Armed {
    /// Number of the call, or of the sync if `counts_syncs`.
    pub(super) nth: u64,
    pub(super) counts_syncs: bool,
    pub(super) error: InjectedError,
    pub(super) torn: bool,
}

impl Faults {
    /// Counts a call and says what strikes it.
    pub(super) fn pass(&mut self, kind: CallKind) -> Option<Strike> {
        self.calls += 1;
        if kind == CallKind::Sync {
            self.syncs += 1;
        }
        let (calls, syncs) = (self.calls, self.syncs);
        let strikes = |armed: &Armed| {
            if armed.counts_syncs {
                kind == CallKind::Sync && armed.nth == syncs
            } else {
                armed.nth == calls
            }
        };
        if let Some(found) = self.armed.iter().position(strikes) {
            let armed = self.armed.swap_remove(found);
            return Some(Strike {
                error: armed.error.to_error(),
                torn: armed.torn,
            });
        }
        let error = self.mutations.filter(|_| kind != CallKind::Read)?;
        Some(Strike {
            error: error.to_error(),
            torn: false,
        })
    }

    /// Fails a read of any byte that cannot be read.
    pub(super) fn check_read(&self, file: NodeId, offset: u64, bytes: usize) -> io::Result<()> {
        let end = offset.saturating_add(bytes as u64);
        let hit =
            |(id, bad): &(NodeId, Range<u64>)| *id == file && offset < bad.end && bad.start < end;
        if self.unreadable.iter().any(hit) {
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        Ok(())
    }

    /// What the sync that is passing does.
    pub(super) fn outcome(&self, failed: bool) -> SyncOutcome {
        match (failed, self.lies) {
            (true, _) => SyncOutcome::Failed,
            (false, true) => SyncOutcome::Lied,
            (false, false) => SyncOutcome::Done,
        }
    }
}

/// How long calls take, on which clock.
#[derive(Clone)]
pub(super) struct Latency {
    pub(super) call: Duration,
    pub(super) sync: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Latency {
    pub(super) fn wait(&self, kind: CallKind) {
        let duration = match kind {
            CallKind::Sync => self.sync,
            CallKind::Read | CallKind::Mutate => self.call,
        };
        if !duration.is_zero() {
            self.clock.sleep(duration);
        }
    }
}
