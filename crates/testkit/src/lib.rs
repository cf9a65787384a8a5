//! What the tests of every room share: a disk that can crash in every legal way, a clock that
//! only moves when told, seeded data, and slow but obviously right oracles.
//!
//! # A disk that crashes
//!
//! [`SimDisk`] is a [`cairn_env::Disk`] that remembers every operation together with what was
//! synced when. From that log it forges the disks a machine might come back with after power
//! was lost behind any of those operations: see [`SimDisk`] for the model.
//!
//! ```
//! use cairn_env::Disk;
//! use cairn_testkit::SimDisk;
//! use std::path::Path;
//!
//! let disk = SimDisk::new();
//! let file = disk.create(Path::new("/log"))?;
//! disk.sync_dir(Path::new("/"))?;
//! file.write_at(0, b"synced")?;
//! file.sync_data()?;
//! file.write_at(6, b", not synced")?;
//!
//! let mut seen = std::collections::BTreeSet::new();
//! for image in disk.enumerate_images(disk.op_count(), 8) {
//!     seen.insert(image.disk.read_all("/log")?);
//! }
//! let seen: Vec<_> = seen.iter().map(Vec::as_slice).collect();
//! // Lost; length without data; all of it. Never less than what was synced.
//! assert_eq!(seen, [
//!     &b"synced"[..],
//!     &b"synced\0\0\0\0\0\0\0\0\0\0\0\0"[..],
//!     &b"synced, not synced"[..],
//! ]);
//! # Ok::<(), std::io::Error>(())
//! ```

#![deny(unsafe_code)]

mod conformance;
pub mod data;
mod hooked_disk;
mod rng;
mod sim_clock;
mod sim_disk;
mod sim_env;
mod temp_dir;

pub use cairn_env::{InlineThreads, SeededEntropy};
pub use conformance::disk_conformance;
pub use hooked_disk::HookedDisk;
pub use rng::{Rng, seed_from_env};
pub use sim_clock::SimClock;
pub use sim_disk::{
    Choice, Coverage, CrashImage, CrashPoint, Fate, Images, InjectedError, SimDisk, Tear,
};
pub use sim_env::{sim_env, sim_env_seeded};
pub use temp_dir::TempDir;
