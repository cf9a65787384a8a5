//! Files written by the first released format stay readable for good, and this version still
//! writes exactly those bytes. `CAIRN_WRITE_GOLDEN=1` writes them anew: only for a change of the
//! format that has its own version number, fixture and page in FORMAT.md.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are test code"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_env::{Clock, Disk, Env, OsDisk};
use cairn_storage::{
    DirectoryLock, Holder, REQUIRED, SectionId, SegmentFile, SegmentReader, SegmentWriter,
    WalOptions, load, publish, read_current,
};

use crate::common;
use common::*;

const KEYS: SectionId = SectionId { kind: 1, field: 0 };
const VECTORS: SectionId = SectionId { kind: 4, field: 2 };
/// The committed segment, as a manifest would remember it.
const SEGMENT: SegmentFile = SegmentFile {
    bytes: 70_348,
    checksum: 0x9c2e_261a,
};

/// Time stands still, so that the files are the same on every day.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_ms(&self) -> u64 {
        1_735_689_600_000
    }

    fn sleep(&self, _: Duration) {}
}

fn golden_env() -> Env {
    Env {
        clock: Arc::new(StoppedClock),
        ..memory_env()
    }
}

fn frames() -> Vec<Owned> {
    vec![
        Owned::new(1, 11),
        Owned::new(2, 0),
        Owned::new(5, 300),
        Owned::new(6, 8),
    ]
}

fn options() -> WalOptions {
    WalOptions {
        collection: 42,
        epoch: 3,
        preallocate_bytes_min: 1024,
        ..WalOptions::default()
    }
}

fn vectors() -> Vec<u8> {
    Owned::new(77, 70_000).body
}

/// Writes one file of every kind, the log into `/wal`, the others into `/`. The file of the lock is
/// there as long as the lock is.
fn write_all() -> (Env, DirectoryLock) {
    let env = golden_env();
    make_wal_dir(&env);
    let opened = open_wal(&env, options(), 0).unwrap();
    append(&opened.wal, &frames()[..2], true).unwrap();
    opened.wal.rotate().unwrap();
    append(&opened.wal, &frames()[2..3], true).unwrap();
    append(&opened.wal, &frames()[3..], false).unwrap();

    let root = Path::new("/");
    env.disk.create_dir(&root.join("manifest")).unwrap();
    publish(&env, root, "manifest", "man", 9, b"a manifest").unwrap();
    let holder = Holder {
        pid: 4242,
        host: "host".to_owned(),
        since_unix_ms: 1_735_689_600_000,
    };
    let lock = DirectoryLock::acquire(&env, root, Duration::ZERO, holder).unwrap();

    let path = root.join("a.seg");
    let mut writer = SegmentWriter::create(&env, &path, *b"identity-of-16-b", 42).unwrap();
    writer.begin(KEYS, REQUIRED).unwrap();
    writer.write(b"some keys").unwrap();
    writer.end().unwrap();
    writer.begin(VECTORS, 0).unwrap();
    writer.write(&vectors()).unwrap();
    writer.end().unwrap();
    writer.finish().unwrap();
    (env, lock)
}

/// Path on the golden disk, and file below `golden/v1`.
const FILES: [(&str, &str); 6] = [
    ("/wal/00000000000000000001.wal", "first.wal"),
    ("/wal/00000000000000000003.wal", "second.wal"),
    ("/manifest/00000000000000000009.man", "version.man"),
    ("/CURRENT", "CURRENT"),
    ("/LOCK.holder", "LOCK.holder"),
    ("/a.seg", "a.seg"),
];

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn os_env() -> Env {
    env_on(Arc::new(OsDisk), 1)
}

/// A disk with the committed files in place.
fn committed() -> Env {
    let (env, os) = (golden_env(), os_env());
    for dir in ["/wal", "/manifest"] {
        env.disk.create_dir(Path::new(dir)).unwrap();
    }
    for (path, name) in FILES {
        write_file(
            &env,
            Path::new(path),
            &read_file(&os, &golden_dir().join(name)),
        );
    }
    env
}

#[test]
fn this_version_writes_the_committed_bytes() {
    let ((env, _lock), os) = (write_all(), os_env());
    for (path, name) in FILES {
        let bytes = read_file(&env, Path::new(path));
        let golden = golden_dir().join(name);
        if std::env::var_os("CAIRN_WRITE_GOLDEN").is_some() {
            let _ = OsDisk.remove_file(&golden);
            write_file(&os, &golden, &bytes);
        }
        assert!(
            read_file(&os, &golden) == bytes,
            "{name} is not written as it was"
        );
    }
}

#[test]
fn the_committed_log_is_read() {
    let opened = open_wal(&committed(), options(), 0).unwrap();
    assert_eq!(opened.frames, frames());
    assert_eq!(opened.recovery.files, 2);
    assert_eq!(opened.recovery.torn_bytes, 0);
}

#[test]
fn the_committed_manifest_is_read() {
    let (env, root) = (committed(), Path::new("/"));
    assert_eq!(read_current(&env, root).unwrap(), Some(9));
    assert_eq!(
        load(&env, root, "manifest", "man", 9).unwrap(),
        b"a manifest"
    );
}

#[test]
fn the_committed_segment_is_read() {
    let env = committed();
    let reader = SegmentReader::open(&env, Path::new("/a.seg"), Some(SEGMENT), &[1, 4]).unwrap();
    reader.verify_all().unwrap();
    assert_eq!(
        (reader.identity(), reader.collection()),
        (*b"identity-of-16-b", 42)
    );
    assert_eq!(reader.read(KEYS).unwrap(), b"some keys");
    assert_eq!(reader.read(VECTORS).unwrap(), vectors());
}

#[test]
fn the_committed_holder_is_named() {
    let env = committed();
    let _lock = env.disk.lock(Path::new("/LOCK")).unwrap().unwrap();
    let me = Holder {
        pid: 1,
        host: String::new(),
        since_unix_ms: 0,
    };
    let refused = DirectoryLock::acquire(&env, Path::new("/"), Duration::ZERO, me);
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("pid=4242 host=host since_unix_ms=1735689600000"),
        "{text}"
    );
}
