//! A log used at random on a simulated disk, and what may be found of it after a crash.

use cairn_storage::{Recovery, Wal, WalOptions};
use cairn_testkit::{Rng, SimDisk, sim_env_seeded};

use super::*;

/// Files of a few frames, so that a short run has many.
pub fn options() -> WalOptions {
    WalOptions {
        file_bytes: 6000,
        preallocate_bytes_min: 1024,
        preallocate_bytes_max: 4096,
        ..small_options()
    }
}

/// A log on a disk, and everything that was asked of it since the disk was found.
pub struct Run {
    pub disk: SimDisk,
    /// Operations of the disk before it was used.
    pub base: usize,
    pub rng: Rng,
    /// Frames handed to the log, those found at open included.
    pub frames: Vec<Owned>,
    /// What the last open found.
    pub recovery: Recovery,
    /// After so many operations of the disk, so many frames had been handed over.
    started: Vec<(usize, usize)>,
    /// After so many operations, everything up to this lsn was durable.
    durable: Vec<(usize, u64)>,
    /// After so many operations, everything up to this lsn was safe in segments.
    safe: Vec<(usize, u64)>,
    last_lsn: u64,
}

/// The value that stood after `at` operations.
fn at_most<T: Copy>(steps: &[(usize, T)], at: usize) -> Option<T> {
    let after = steps.partition_point(|(ops, _)| *ops <= at);
    after.checked_sub(1).map(|index| steps[index].1)
}

impl Run {
    /// A log that was never opened.
    pub fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        make_wal_dir(&sim_env_seeded(&disk, seed));
        Self::on(disk, seed, 0, 0)
    }

    /// A disk as found after a crash, with everything up to `durable` and nothing above `last`.
    fn on(disk: SimDisk, seed: u64, safe: u64, durable: u64) -> Self {
        Self {
            base: disk.op_count(),
            disk,
            rng: Rng::new(seed),
            frames: Vec::new(),
            recovery: Recovery::default(),
            started: Vec::new(),
            durable: vec![(0, durable)],
            safe: vec![(0, safe)],
            last_lsn: safe.max(durable),
        }
    }

    fn ops(&self) -> usize {
        self.disk.op_count()
    }

    /// Everything up to this lsn is in segments.
    pub fn safe_lsn(&self) -> u64 {
        self.safe[self.safe.len() - 1].1
    }

    /// Opens the log as a new process does.
    pub fn open(&mut self) -> Result<Wal> {
        // As many seeds as restarts: a process draws new numbers.
        let env = sim_env_seeded(&self.disk, self.rng.next_u64());
        let opened = open_wal(&env, options(), self.safe_lsn())?;
        self.last_lsn = self.last_lsn.max(opened.wal.last_lsn());
        self.durable.push((self.ops(), opened.wal.last_lsn()));
        let safe = self.safe_lsn();
        self.frames.retain(|frame| frame.lsn <= safe);
        self.frames.extend(opened.frames);
        // What the first open finds was there before it began.
        let ops = if self.started.is_empty() {
            0
        } else {
            self.ops()
        };
        self.started.push((ops, self.frames.len()));
        self.recovery = opened.recovery;
        Ok(opened.wal)
    }

    /// Appends one random group.
    pub fn append(&mut self, wal: &Wal) -> Result<()> {
        let mut group = Vec::new();
        for _ in 0..self.rng.range(1..4) {
            self.last_lsn += 1 + self.rng.below(3);
            let bytes = if self.rng.chance(0.2) { 1800 } else { 200 };
            group.push(Owned::new(self.last_lsn, self.rng.range(0..bytes)));
        }
        let sync = self.rng.chance(0.6);
        self.frames.extend(group.iter().cloned());
        self.started.push((self.ops(), self.frames.len()));
        append(wal, &group, sync)?;
        if sync {
            self.durable.push((self.ops(), self.last_lsn));
        }
        Ok(())
    }

    /// Does one random thing.
    pub fn step(&mut self, wal: &mut Wal) -> Result<()> {
        match self.rng.below(20) {
            0 => {
                // Killed and started again; nothing that was handed to the kernel is lost.
                *wal = self.open()?;
            }
            1 => {
                wal.rotate()?;
                self.durable.push((self.ops(), wal.last_lsn()));
            }
            2 => {
                wal.sync()?;
                self.durable.push((self.ops(), wal.last_lsn()));
            }
            3 | 4 => {
                // A flush: some of what was appended is in segments now, synced or not.
                let behind = self.rng.range(0..3);
                let lsns = self.frames.iter().rev().map(|frame| frame.lsn);
                let safe = lsns.skip(behind).find(|lsn| *lsn <= wal.last_lsn());
                let safe = safe.unwrap_or(0).max(self.safe_lsn());
                self.safe.push((self.ops(), safe));
                wal.release(safe)?;
            }
            _ => self.append(wal)?,
        }
        Ok(())
    }

    /// What is found on `image`, a disk that power was lost on after `at` operations: checked,
    /// and ready to go on.
    pub fn crashed(&self, image: SimDisk, at: usize, seed: u64, what: &str) -> (Self, Wal) {
        let safe = at_most(&self.safe, at).expect("known from the start");
        let durable = at_most(&self.durable, at).expect("known from the start");
        let started = at_most(&self.started, at).expect("known from the start");
        let mut next = Self::on(image, seed, safe, durable.max(safe));
        let wal = match next.open() {
            Ok(wal) => wal,
            Err(error) => panic!("{what}: {error}"),
        };
        let expected: Vec<&Owned> = self
            .frames
            .iter()
            .filter(|frame| frame.lsn > safe)
            .collect();
        let found = next.frames.len();
        assert!(found <= expected.len(), "{what}: phantom frames");
        assert!(
            next.frames.iter().eq(expected[..found].iter().copied()),
            "{what}: other frames"
        );
        let lost = expected[found..].iter().find(|frame| frame.lsn <= durable);
        assert!(
            lost.is_none(),
            "{what}: lost lsn={}, durable up to {durable}",
            lost.map_or(0, |frame| frame.lsn)
        );
        let handed_over = self.frames[..started].last().map_or(0, |frame| frame.lsn);
        let last = next.frames.last().map_or(0, |frame| frame.lsn);
        assert!(
            last <= handed_over.max(safe),
            "{what}: lsn={last} from the future"
        );
        (next, wal)
    }
}
