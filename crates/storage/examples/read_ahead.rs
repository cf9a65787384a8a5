//! How fast a whole section is read and verified, against reading the same bytes and looking at none.
//!
//! ```text
//! cargo run --release -p cairn-storage --example read_ahead -- [directory] [MiB] [rounds]
//! ```
//!
//! Rounds are interleaved, first with the system's cache of pages emptied of the file, then with all of
//! it there. Prints medians in MB/s and what share of the raw speed is left; the aim is 0.8 when cold.

#![expect(clippy::unwrap_used, reason = "an example ends where a step fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_env::{Access, Env, Faults, InlineThreads, OsClock, OsDisk, SeededEntropy};
use cairn_storage::{Inspector, REQUIRED, SectionId, SegmentReader, SegmentWriter};

const ID: SectionId = SectionId { kind: 1, field: 0 };

/// What is read at once, as most programs do it that copy files.
const PIECE: usize = 1024 * 1024;

/// What is asked for at once by whoever goes through fields or vectors in their order.
const WINDOW: u64 = 256 * 1024;

/// Reads all of a file.
type Way = fn(&Env, &Path);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let number = |text: String| text.parse::<usize>().unwrap();
    let mib = arguments.next().map_or(512, number);
    let rounds = arguments.next().map_or(7, number);
    let path = dir.join(format!("read-ahead-{}.seg", std::process::id()));
    let env = Env {
        disk: Arc::new(OsDisk),
        clock: Arc::new(OsClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        threads: InlineThreads::shared(),
        faults: Faults::from_environment(),
        sealing: None,
    };
    write(&env, &path, mib);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for cold in [true, false] {
            compare(&env, &path, cold, rounds);
        }
    }));
    env.disk.remove_file(&path).unwrap();
    outcome.unwrap();
}

fn write(env: &Env, path: &Path, mib: usize) {
    let mut writer = SegmentWriter::create(env, path, [1; 16], 1).unwrap();
    writer.begin(ID, REQUIRED).unwrap();
    let mut state = 1_u64;
    let mut piece = vec![0_u8; PIECE];
    for _ in 0..mib {
        for word in piece.chunks_exact_mut(8) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            word.copy_from_slice(&state.to_le_bytes());
        }
        writer.write(&piece).unwrap();
    }
    writer.end().unwrap();
    writer.finish().unwrap();
}

fn compare(env: &Env, path: &Path, cold: bool, rounds: usize) {
    let ways: [(&str, Way); 4] = [
        ("raw", raw),
        ("whole sections", sections),
        ("a check", check),
        ("windows in order", windows),
    ];
    let bytes = env.disk.open(path, Access::Read).unwrap().len().unwrap() as f64;
    let mut taken: Vec<Vec<Duration>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (way, taken) in ways.iter().zip(&mut taken) {
            if cold {
                forget(env, path);
            }
            let since = env.clock.now();
            way.1(env, path);
            // The first round warms up.
            if round > 0 {
                taken.push(env.clock.now() - since);
            }
        }
    }
    let median = |taken: &mut Vec<Duration>| {
        taken.sort_unstable();
        bytes / taken[taken.len() / 2].as_secs_f64() / 1e6
    };
    let speeds: Vec<f64> = taken.iter_mut().map(median).collect();
    for ((name, _), speed) in ways.iter().zip(&speeds) {
        let state = if cold { "cold" } else { "warm" };
        println!(
            "{state}  {name:<18} {speed:>7.0} MB/s  {:.2} of raw",
            speed / speeds[0]
        );
    }
}

/// Empties the cache of pages of this file, where the system can be asked to.
fn forget(env: &Env, path: &Path) {
    let file = env.disk.open(path, Access::Read).unwrap();
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(
        file.descriptor().unwrap(),
        0,
        None,
        rustix::fs::Advice::DontNeed,
    )
    .unwrap();
    drop(file);
}

fn raw(env: &Env, path: &Path) {
    let file = env.disk.open(path, Access::Read).unwrap();
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    loop {
        let read = file.read_at(at, &mut piece).unwrap();
        at += read as u64;
        if read == 0 {
            break;
        }
    }
}

fn open(env: &Env, path: &Path) -> SegmentReader {
    SegmentReader::open(env, path, None, &[1]).unwrap()
}

/// As vectors are read at the opening.
fn sections(env: &Env, path: &Path) {
    let reader = open(env, path);
    let all = reader.len(ID).unwrap();
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    while at < all {
        let bytes = usize::try_from(all - at).unwrap().min(PIECE);
        let end = at + bytes as u64;
        reader.will_read(ID, end..end + PIECE as u64);
        reader.read_range(ID, at, &mut piece[..bytes]).unwrap();
        at = end;
    }
}

struct Nothing;

impl Inspector for Nothing {
    fn found(&mut self, finding: cairn_storage::Finding) {
        panic!("{finding:?}");
    }

    fn passed(&mut self, _bytes: u64) -> bool {
        true
    }
}

/// As `verify` reads.
fn check(env: &Env, path: &Path) {
    open(env, path).check(&mut Nothing).unwrap();
}

/// As scans and merges read.
fn windows(env: &Env, path: &Path) {
    let reader = open(env, path);
    let all = reader.len(ID).unwrap();
    let (mut window, mut at, mut told) = (vec![0; WINDOW as usize], 0, 0);
    while at < all {
        let end = all.min(at + WINDOW);
        let bytes = usize::try_from(end - at).unwrap();
        let until = end + 4 * WINDOW;
        reader.will_read(ID, end.max(told)..until);
        told = until;
        reader.read_range(ID, at, &mut window[..bytes]).unwrap();
        at = end;
    }
}
