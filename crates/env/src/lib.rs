//! The outside world as traits, so that a simulation can stand in for it.
//!
//! Nothing above this crate touches `std::fs`, a clock, ambient randomness or
//! `std::thread` by itself. An [`Env`] is handed down at open; the operating
//! system's is [`Env::os`]. The simulated disk lives in `cairn-testkit`.

#![deny(unsafe_code)]

mod clock;
mod disk;
mod entropy;
mod faults;
mod memory_disk;
mod os_disk;
mod os_threads;
mod planted;
mod seal;
pub mod sync;
mod threads;

use std::sync::Arc;

pub use clock::{Clock, OsClock};
pub use disk::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind};
pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use faults::{FaultAction, Faults, KillPoint};
pub use memory_disk::{MemoryDisk, names_of};
pub use os_disk::OsDisk;
pub use os_threads::OsThreads;
pub use planted::{Bug, planted};
pub use seal::{NONCE_BYTES, NoSeal, Nonce, SALT_BYTES, Salt, Seal, Sealing, TAG_BYTES, Tag};
pub use threads::{InlineThreads, Lane, SERVING, Task, Threads};

/// Everything the engine may ask of the world outside it.
#[derive(Clone)]
pub struct Env {
    /// Files and directories.
    pub disk: Arc<dyn Disk>,
    /// Monotonic and wall time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Where work runs.
    pub threads: Arc<dyn Threads>,
    /// Named fail points; does nothing unless built with `failpoints`.
    pub faults: Faults,
    /// Gives files their keys, where they are encrypted.
    pub sealing: Option<Arc<dyn Sealing>>,
}

impl Env {
    /// The operating system's disk, clock and entropy, with a pool of `threads` workers.
    #[must_use]
    pub fn os(threads: usize) -> Self {
        Self {
            disk: Arc::new(OsDisk),
            clock: Arc::new(OsClock::new()),
            entropy: Arc::new(OsEntropy::new()),
            threads: Arc::new(OsThreads::new(threads)),
            faults: Faults::from_environment(),
            sealing: None,
        }
    }

    /// Like [`Env::os`], but files live in memory and vanish with the last handle.
    #[must_use]
    pub fn memory(threads: usize) -> Self {
        Self {
            disk: Arc::new(MemoryDisk::new()),
            ..Self::os(threads)
        }
    }
}
