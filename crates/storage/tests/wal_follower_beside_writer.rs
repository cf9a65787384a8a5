//! A log grows, rotates and is used again while it is followed, by another thread on a real disk,
//! or in the middle of every call that a look makes: each look sees everything that was acknowledged
//! before it began, in order and once, and takes nothing for damage.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use cairn_env::{Env, MemoryDisk};
use cairn_storage::{Followed, FrameToWrite, Wal, WalFollower};
use cairn_testkit::{HookedDisk, Rng, TempDir, seed_from_env};
use common::*;

/// What writer and reader both know.
#[derive(Default)]
struct Shared {
    /// Everything up to it was acknowledged as synced.
    acked: AtomicU64,
    /// Everything up to it is in segments, as a manifest says.
    safe: AtomicU64,
}

struct Writer {
    shared: Arc<Shared>,
    rng: Rng,
    wal: Wal,
    lsn: u64,
}

impl Writer {
    fn new(env: &Env, dir: &Path, shared: &Arc<Shared>, rng: Rng) -> Self {
        let (wal, _) = Wal::open(env, dir, small_options(), 0, &mut |_| Ok(())).unwrap();
        Self {
            shared: Arc::clone(shared),
            rng,
            wal,
            lsn: 0,
        }
    }

    /// Appends a frame, and with the chance `release` lets go of all frames.
    fn step(&mut self, release: f64) {
        self.lsn += 1;
        let body = vec![1; self.rng.range(0..600)];
        let frame = FrameToWrite {
            lsn: self.lsn,
            kind: 1,
            body: &[&body],
        };
        let sync = self.rng.chance(0.8);
        self.wal.append(&[frame], sync).unwrap();
        if sync {
            self.shared.acked.store(self.lsn, Ordering::Release);
        }
        if self.rng.chance(release) {
            self.wal.rotate().unwrap();
            self.shared.safe.store(self.lsn, Ordering::Release);
            self.wal.release(self.lsn).unwrap();
        }
    }
}

struct Reader {
    env: Env,
    dir: PathBuf,
    shared: Arc<Shared>,
    follower: WalFollower,
    /// Everything up to it is in the manifest last read.
    manifest: u64,
    seen: u64,
    looks: u64,
}

impl Reader {
    fn new(env: Env, dir: &Path, shared: &Arc<Shared>) -> Self {
        Self {
            follower: WalFollower::new(&env, dir, 7, 0),
            env,
            dir: dir.to_path_buf(),
            shared: Arc::clone(shared),
            manifest: 0,
            seen: 0,
            looks: 0,
        }
    }

    fn look(&mut self) {
        let due = self.shared.acked.load(Ordering::Acquire);
        loop {
            let seen = &mut self.seen;
            let answer = self.follower.advance(&mut |frame| {
                assert!(frame.lsn > *seen, "in order, and once");
                *seen = frame.lsn;
                Ok(())
            });
            let safe = self.shared.safe.load(Ordering::Acquire);
            match answer.unwrap() {
                Followed::All => break,
                Followed::NoLog if self.manifest == safe => break,
                Followed::NoLog | Followed::Lost => {
                    (self.manifest, self.seen) = (safe, safe);
                    self.follower = WalFollower::new(&self.env, &self.dir, 7, safe);
                }
            }
        }
        let seen = self.seen;
        assert!(seen >= due, "saw {seen}, acknowledged was {due}");
        self.looks += 1;
    }
}

#[test]
fn every_look_beside_a_writing_thread_sees_what_was_acknowledged_before_it() {
    let seed = seed_from_env("CAIRN_SEED", 0x10c);
    let dir = TempDir::new("follower");
    let shared = Arc::new(Shared::default());
    let mut writer = Writer::new(&Env::os(1), dir.path(), &shared, Rng::new(seed));
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = Reader::new(Env::os(1), dir.path(), &shared);
            while !done.load(Ordering::Acquire) {
                reader.look();
            }
            reader.looks
        });
        for _ in 0..rounds(2000) {
            writer.step(0.01);
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    println!("{looks} looks, {} frames", writer.lsn);
    assert!(looks > 100, "{looks} looks");
}

#[test]
fn every_look_with_a_writer_in_the_middle_sees_what_was_acknowledged_before_it() {
    let seed = seed_from_env("CAIRN_SEED", 0x10d);
    for round in 0..rounds(300) as u64 {
        let mut rng = Rng::new(seed + round);
        let disk = Arc::new(MemoryDisk::new());
        let hooked = HookedDisk::around(Arc::clone(&disk) as _);
        let env = env_on(disk, seed);
        make_wal_dir(&env);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer::new(&env, &wal_dir(), &shared, rng.fork());
        writer.step(0.0);
        hooked.set_hook(Some(Box::new(move || {
            let steps = if rng.chance(0.2) { rng.range(1..8) } else { 0 };
            for _ in 0..steps {
                writer.step(0.2);
            }
        })));
        let mut reader = Reader::new(env_on(Arc::new(hooked), seed), &wal_dir(), &shared);
        for _ in 0..200 {
            reader.look();
        }
    }
}
