//! An environment in which nothing is left to chance.

use std::sync::Arc;

use cairn_env::{Env, InlineThreads, SeededEntropy};

use crate::{SimClock, SimDisk};

/// An environment on `disk` with a virtual clock, seeded randomness (seed 0) and every task
/// run inside its `spawn`: the same program gives the same operations, byte for byte.
///
/// # Examples
/// ```
/// use cairn_testkit::{SimDisk, sim_env};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// let env = sim_env(&disk);
/// env.disk.create_dir(Path::new("/db"))?;
/// assert_eq!(disk.op_count(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn sim_env(disk: &SimDisk) -> Env {
    sim_env_seeded(disk, 0)
}

/// [`sim_env`] with random numbers that follow from `seed`. Use another seed after each
/// simulated restart: a process draws new ids when it starts again.
#[must_use]
pub fn sim_env_seeded(disk: &SimDisk, seed: u64) -> Env {
    Env {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::new()),
        entropy: Arc::new(SeededEntropy::new(seed)),
        threads: InlineThreads::shared(),
        faults: Default::default(),
        sealing: None,
    }
}
