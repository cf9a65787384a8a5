//! A log is followed by somebody who only reads it, beside its writer: in the middle of any write,
//! sync, rename or removal. What was acknowledged as synced is seen, in order and once; nothing is
//! seen that power loss could still take back; and not a byte is written.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_env::Env;
use cairn_storage::{Followed, StorageError, Wal, WalFollower};
use cairn_testkit::{Choice, HookedDisk, Rng, SimDisk, seed_from_env, sim_env_seeded};
use parking_lot::Mutex;

use crate::common;
use common::workload::options;
use common::*;

/// What writer and reader both know.
#[derive(Default)]
struct Shared {
    /// Everything up to it was acknowledged as synced.
    acked: AtomicU64,
    /// Everything up to it is in segments, as a manifest says.
    safe: AtomicU64,
    /// All frames ever handed over.
    frames: Mutex<Vec<Owned>>,
    /// Looks that ended in each answer.
    answers: Mutex<[u64; 3]>,
}

struct Reader {
    disk: SimDisk,
    shared: Arc<Shared>,
    rng: Rng,
    follower: WalFollower,
    /// Everything up to it is in the manifest last read.
    manifest: u64,
    /// The last frame seen, if above the manifest.
    last_lsn: u64,
    seen: Vec<Owned>,
}

impl Reader {
    fn new(disk: &SimDisk, shared: &Arc<Shared>, seed: u64) -> Self {
        Self {
            disk: disk.clone(),
            shared: Arc::clone(shared),
            rng: Rng::new(seed),
            follower: WalFollower::new(&sim_env_seeded(disk, 1), &wal_dir(), 7, 0),
            manifest: 0,
            last_lsn: 0,
            seen: Vec::new(),
        }
    }

    fn begin_anew(&mut self) {
        self.manifest = self.shared.safe.load(Ordering::Relaxed);
        let env = sim_env_seeded(&self.disk, 1);
        self.follower = WalFollower::new(&env, &wal_dir(), 7, self.manifest);
        self.last_lsn = self.manifest;
        self.seen.clear();
    }

    /// One refresh, as the engine makes it.
    fn look(&mut self) {
        let before = self.disk.op_count();
        let acked = self.shared.acked.load(Ordering::Relaxed);
        let known = self.last_lsn;
        if self.manifest != self.shared.safe.load(Ordering::Relaxed) {
            self.begin_anew();
        }
        let mut tries = 0;
        loop {
            let (seen, last_lsn) = (&mut self.seen, &mut self.last_lsn);
            let answer = self.follower.advance(&mut |frame| {
                assert!(frame.lsn > *last_lsn, "again, or out of order");
                *last_lsn = frame.lsn;
                seen.push(Owned {
                    lsn: frame.lsn,
                    kind: frame.kind,
                    body: frame.body.to_vec(),
                });
                Ok(())
            });
            let answer = answer.unwrap();
            self.shared.answers.lock()[answer as usize] += 1;
            match answer {
                Followed::All => break,
                Followed::NoLog if self.manifest == self.shared.safe.load(Ordering::Relaxed) => {
                    break;
                }
                _ => self.begin_anew(),
            }
            tries += 1;
            assert!(tries < 3, "one thread: nothing moves meanwhile");
        }
        assert!(self.last_lsn >= acked, "{} of {acked}", self.last_lsn);
        assert!(self.last_lsn >= known, "went back");
        let frames = self.shared.frames.lock();
        let mine = frames.iter().filter(|frame| frame.lsn > self.manifest);
        assert!(
            self.seen.iter().eq(mine.take(self.seen.len())),
            "other frames"
        );
        drop(frames);
        assert_eq!(self.disk.op_count(), before, "a reader writes nothing");
        if self.rng.chance(0.05) {
            self.lose_power();
        }
    }

    /// Power is lost now, and with it all that no sync covered: what was seen is there.
    fn lose_power(&self) {
        let image = self
            .disk
            .crash_image(self.disk.op_count(), &mut Choice::lose_all());
        let safe = self.shared.safe.load(Ordering::Relaxed);
        let opened = open_wal(&sim_env_seeded(&image, 3), options(), safe).unwrap();
        let kept = opened.frames.last().map_or(safe, |frame| frame.lsn);
        assert!(self.last_lsn <= kept, "lsn={} was lost", self.last_lsn);
    }
}

struct Writer {
    env: Env,
    rng: Rng,
    shared: Arc<Shared>,
    wal: Wal,
    last_lsn: u64,
}

impl Writer {
    fn step(&mut self) {
        let shared = Arc::clone(&self.shared);
        let ack = |wal: &Wal| shared.acked.store(wal.last_lsn(), Ordering::Relaxed);
        match self.rng.below(20) {
            0 => {
                // Killed and started again; nothing that was handed to the kernel is lost.
                let safe = shared.safe.load(Ordering::Relaxed);
                self.wal = open_wal(&self.env, options(), safe).unwrap().wal;
                ack(&self.wal);
            }
            1 => {
                self.wal.rotate().unwrap();
                ack(&self.wal);
            }
            2 => {
                self.wal.sync().unwrap();
                ack(&self.wal);
            }
            3 | 4 => {
                let behind = self.rng.range(0..3);
                let frames = shared.frames.lock();
                let mut lsns = frames.iter().rev().map(|frame| frame.lsn);
                let lsn = lsns.nth(behind).unwrap_or(0);
                drop(frames);
                // A segment has what the log has, synced or not.
                let safe = shared.safe.fetch_max(lsn, Ordering::Relaxed).max(lsn);
                shared.acked.fetch_max(safe, Ordering::Relaxed);
                self.wal.release(safe).unwrap();
            }
            _ => {
                let mut group = Vec::new();
                for _ in 0..self.rng.range(1..4) {
                    self.last_lsn += 1 + self.rng.below(3);
                    let bytes = if self.rng.chance(0.2) { 1800 } else { 200 };
                    group.push(Owned::new(self.last_lsn, self.rng.range(0..bytes)));
                }
                shared.frames.lock().extend(group.iter().cloned());
                let sync = self.rng.chance(0.6);
                append(&self.wal, &group, sync).unwrap();
                if sync {
                    ack(&self.wal);
                }
            }
        }
    }
}

fn run(seed: u64, steps: usize, answers: &mut [u64; 3]) {
    let disk = SimDisk::new();
    let hooked = HookedDisk::around(Arc::new(disk.clone()));
    let env = Env {
        disk: Arc::new(hooked.clone()),
        ..sim_env_seeded(&disk, seed)
    };
    make_wal_dir(&env);
    let shared = Arc::new(Shared::default());
    let reader = Arc::new(Mutex::new(Reader::new(&disk, &shared, seed)));
    let turn = Arc::clone(&reader);
    let mut rng = Rng::new(seed ^ 1);
    hooked.set_hook(Some(Box::new(move || {
        if rng.chance(0.3) {
            turn.lock().look();
        }
    })));
    let mut writer = Writer {
        wal: open_wal(&env, options(), 0).unwrap().wal,
        env,
        rng: Rng::new(seed ^ 2),
        shared: Arc::clone(&shared),
        last_lsn: 0,
    };
    for _ in 0..steps {
        writer.step();
    }
    hooked.set_hook(None);
    reader.lock().look();
    for (sum, count) in answers.iter_mut().zip(*shared.answers.lock()) {
        *sum += count;
    }
}

#[test]
fn what_is_durable_is_seen_and_nothing_else_whatever_the_writer_does() {
    let seed = seed_from_env("CAIRN_SEED", 0xf0110);
    let mut answers = [0; 3];
    for round in 0..rounds(150) as u64 {
        run(seed + round, 60, &mut answers);
    }
    println!("all, no log, lost: {answers:?}");
    assert!(answers.iter().all(|&count| count > 10), "{answers:?}");
}

/// Everything that a follower finds from `from_lsn` on, in two looks.
fn follow(env: &Env, from_lsn: u64) -> Result<Vec<u64>, StorageError> {
    let mut lsns = Vec::new();
    let mut follower = WalFollower::new(env, &wal_dir(), 7, from_lsn);
    for _ in 0..3 {
        follower.advance(&mut |frame| {
            lsns.push(frame.lsn);
            Ok(())
        })?;
    }
    Ok(lsns)
}

#[test]
fn frames_without_a_sync_wait_for_one() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 40)], true).unwrap();
    append(&wal, &[Owned::new(2, 40), Owned::new(3, 40)], false).unwrap();
    assert_eq!(follow(&env, 0).unwrap(), [1]);
    wal.sync().unwrap();
    assert_eq!(follow(&env, 0).unwrap(), [1, 2, 3]);
    assert_eq!(follow(&env, 2).unwrap(), [3]);
    append(&wal, &[Owned::new(4, 40)], false).unwrap();
    drop(wal);
    assert_eq!(follow(&env, 0).unwrap(), [1, 2, 3]);
    // The next process makes it durable, and says so.
    open_wal(&env, small_options(), 0).unwrap();
    assert_eq!(follow(&env, 0).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_header_that_is_half_written_proves_what_the_mark_below_it_did() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 40)], true).unwrap();
    append(&wal, &[Owned::new(2, 40)], true).unwrap();
    let path = only_wal_file(&env);
    let before = read_file(&env, &path);
    append(&wal, &[Owned::new(3, 40)], false).unwrap();
    let after = read_file(&env, &path);
    let end = FILE_HEADER + 2 * Owned::new(1, 40).frame_bytes();
    for written in 0..=Owned::new(3, 40).frame_bytes() {
        let mut bytes = before.clone();
        bytes[end..end + written].copy_from_slice(&after[end..end + written]);
        write_file(&env, &path, &bytes);
        assert_eq!(follow(&env, 0).unwrap(), [1, 2], "{written} bytes");
    }
}

#[test]
fn damage_is_told_from_a_frame_that_is_on_its_way() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    for lsn in 1..=5 {
        append(&wal, &[Owned::new(lsn, 40)], true).unwrap();
    }
    let path = only_wal_file(&env);
    let whole = read_file(&env, &path);
    let size = Owned::new(1, 40).frame_bytes();
    for at in FILE_HEADER..FILE_HEADER + 5 * size {
        let frame = (at - FILE_HEADER) / size;
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        write_file(&env, &path, &bytes);
        match follow(&env, 0).unwrap_err() {
            StorageError::Corrupt { file, offset, .. } => {
                let begin = (FILE_HEADER + frame * size) as u64;
                assert_eq!((file, offset), (path.clone(), begin), "byte {at}");
            }
            other => panic!("byte {at}: {other}"),
        }
    }
    // Nothing proves that the last ones were ever whole.
    for end in FILE_HEADER + 4 * size..FILE_HEADER + 5 * size {
        let mut bytes = whole.clone();
        bytes[end..].fill(0);
        write_file(&env, &path, &bytes);
        let seen = follow(&env, 0).unwrap();
        // The header of the fifth is whole without its last bytes, which are zeros anyway.
        let is_header = end > FILE_HEADER + 4 * size + 40;
        assert_eq!(seen.len(), if is_header { 4 } else { 3 }, "cut at {end}");
    }
    for owner in [6, 8] {
        let mut follower = WalFollower::new(&env, &wal_dir(), owner, 0);
        assert!(
            follower.advance(&mut |_| Ok(())).is_err(),
            "another collection's"
        );
    }
}

#[test]
fn a_missing_file_is_lost_or_damage() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    for lsn in 1..=3 {
        append(&wal, &[Owned::new(lsn, 40)], true).unwrap();
        wal.rotate().unwrap();
    }
    let mut follower = WalFollower::new(&env, &wal_dir(), 7, 0);
    assert_eq!(follower.advance(&mut |_| Ok(())).unwrap(), Followed::All);
    wal.release(2).unwrap();
    assert_eq!(follow(&env, 2).unwrap(), [3]);
    let mut late = WalFollower::new(&env, &wal_dir(), 7, 1);
    assert_eq!(late.advance(&mut |_| Ok(())).unwrap(), Followed::Lost);
    // It stood at the end of the last file, which is there.
    assert_eq!(follower.advance(&mut |_| Ok(())).unwrap(), Followed::All);
    wal.release(3).unwrap();
    assert_eq!(follower.advance(&mut |_| Ok(())).unwrap(), Followed::Lost);
    let mut none = WalFollower::new(&env, &wal_dir(), 7, 3);
    assert_eq!(none.advance(&mut |_| Ok(())).unwrap(), Followed::NoLog);
}
