//! Files that say of themselves that they are huge, every checksum right: opening and reading them
//! takes no more memory than a whole database of their true size, give or take a few buffers.

// The only test of this file: the allocator counts for the whole process.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_engine::{
    Code, Database, HnswSettings, IndexKind, Job, KeyType, MetricName, Options, VectorField,
    VectorKind, WriteKind, WriteOptions, multi_vector, sparse_vector,
};
use cairn_env::{Access, Env, InlineThreads, MemoryDisk, SeededEntropy};
use cairn_storage::{
    FrameToWrite, SegmentReader, SegmentWriter, Wal, WalOptions, load, publish, read_current,
};
use cairn_testkit::SimClock;
use common::{Home, Row, batch, everything, put, schema, text, vector_field};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above. Zeroed pages that nobody touches count all the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a damaged file may cost beyond what a whole one does.
const SPARE: usize = 4 * 1024 * 1024; // 4 MiB: a window of the log is 1 MiB, a read of a section too

const DIR: &str = "/db";
const ROOT: &str = "/db/collections/0000000000000001";

/// Of all sections that there are.
const KINDS: [u32; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];

type Files = Vec<(PathBuf, Vec<u8>)>;

/// A database whose files are `files`.
fn restored(files: &Files) -> Env {
    let env = Env {
        disk: Arc::new(MemoryDisk::new()),
        clock: Arc::new(SimClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        threads: InlineThreads::shared(),
        faults: Default::default(),
        sealing: None,
    };
    for (path, bytes) in files {
        for above in path.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
            let _ = env.disk.create_dir(above);
        }
        let file = env.disk.create(path).unwrap();
        file.write_at(0, bytes).unwrap();
    }
    // Directories that hold nothing yet.
    for dir in ["wal", "seg", "del"] {
        let _ = env.disk.create_dir(&Path::new(ROOT).join(dir));
    }
    env
}

/// Files of a database with a graph, deletions, outcomes, and records in the log alone.
fn small_database() -> Files {
    let hnsw = IndexKind::Hnsw(HnswSettings::for_m(4));
    let sparse = VectorField {
        kind: VectorKind::Sparse,
        ..vector_field("s", 50, MetricName::Dot, IndexKind::Auto)
    };
    let several = VectorField {
        kind: VectorKind::Multi,
        ..vector_field("m", 3, MetricName::L2, IndexKind::Auto)
    };
    let shape = schema(
        KeyType::String,
        vec![vector_field("v", 4, MetricName::L2, hnsw), sparse, several],
    );
    let home = Home::on(restored(&Vec::new()));
    let database = home.open(Options::default());
    let collection = database.create_collection("c", shape.clone()).unwrap();
    let row = |n: u32| {
        let vector = [n as f32, 1.0, (n % 7) as f32, 0.5];
        let sparse = sparse_vector(&[n % 40, 40 + n % 10], &[0.5, n as f32]);
        let several = vec![n as f32; 3 * (1 + n as usize % 4)];
        let several = Some(multi_vector(&several, 3));
        let vectors = vec![Some(vector.to_vec()), Some(sparse), several];
        Row::of(text(format!("key {n}")), vectors).with("n", i64::from(n))
    };
    put(&collection, &(0..1_200).map(row).collect::<Vec<_>>());
    let keyed = WriteOptions {
        idempotency_key: Some("once".to_owned()),
        ..WriteOptions::default()
    };
    let more = batch(&shape, WriteKind::Upsert, &[row(5_000)]);
    collection.write(more, keyed).unwrap();
    collection.compact(&Job::default()).unwrap();
    put(&collection, &[row(6_000), row(6_001)]);
    database.close().unwrap();
    home.files()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("LOCK"))
        .collect()
}

/// Bytes that opening the database and reading all of it took at most, and what came of it.
fn reading(env: &Env) -> (usize, Result<u64, Code>) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let read = || {
        let database = Database::open(env.clone(), Path::new(DIR), Options::default())?;
        let collection = database.open_collection("c")?;
        let snapshot = collection.snapshot()?;
        let (mut scan, mut records) = (snapshot.scan(None)?, 0);
        loop {
            let page = scan.next_page(1_000, &everything())?;
            if page.is_empty() {
                return Ok::<u64, cairn_engine::Error>(records);
            }
            records += page.len() as u64;
        }
    };
    let answer = read().map_err(|error| error.code());
    (PEAK.load(Ordering::Relaxed) - before, answer)
}

/// Words at the beginning of `body` at their largest, one after another.
fn hostile(body: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let words = (0..body.len().min(96)).step_by(2);
    words.flat_map(move |at| {
        [&[0xff; 8][..], &[0xff, 0xff, 0xff, 0x7f], &[0, 0, 0, 0, 1]]
            .into_iter()
            .filter(move |value| at + value.len() <= body.len())
            .map(move |value| {
                let mut other = body.to_vec();
                other[at..at + value.len()].copy_from_slice(value);
                other
            })
    })
}

/// MessagePack that announces four thousand million things, in the place of every byte.
fn bombs(body: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    // Arrays, maps, texts, bytes and extensions of 32-bit lengths.
    let heads = [0xdd, 0xdf, 0xdb, 0xc6, 0xc9];
    let places = (0..body.len()).step_by(body.len().div_ceil(200));
    places.flat_map(move |at| {
        heads.into_iter().map(move |head| {
            let announced = [&body[..at], &[head, 0xff, 0xff, 0xff, 0xff][..]].concat();
            [&announced[..], &body[at..]].concat()
        })
    })
}

fn replace_section(env: &Env, segment: &Path, which: usize, body: &[u8]) {
    let reader = SegmentReader::open(env, segment, None, &KINDS).unwrap();
    let made = segment.with_extension("made");
    let id = reader.identity();
    let mut writer = SegmentWriter::create(env, &made, id, reader.collection()).unwrap();
    for (index, section) in reader.sections().iter().enumerate() {
        writer.begin(section.id, section.flags).unwrap();
        if index == which {
            writer.write(body).unwrap();
        } else {
            writer.write(&reader.read(section.id).unwrap()).unwrap();
        }
        writer.end().unwrap();
    }
    let (old, new) = (reader.file(), writer.finish().unwrap());
    env.disk.rename(&made, segment).unwrap();
    assert_eq!(old.bytes, new.bytes, "sections keep their lengths");
    // The manifest remembers the checksum: the same number of bytes in MessagePack.
    let (dir, version) = (Path::new(ROOT), current(env, ROOT));
    let mut manifest = load(env, dir, "manifest", "man", version).unwrap();
    let packed = |sum: u32| [&[0xce][..], &sum.to_be_bytes()].concat();
    let from = packed(old.checksum);
    let at = manifest.windows(5).position(|bytes| bytes == from);
    let at = at.expect("the manifest knows the file");
    manifest[at..at + 5].copy_from_slice(&packed(new.checksum));
    publish_anew(env, ROOT, "manifest", "man", &manifest);
}

fn current(env: &Env, dir: &str) -> u64 {
    read_current(env, Path::new(dir)).unwrap().unwrap()
}

/// Publishes `body` under the version that counts, so that what it says of itself stays right.
fn publish_anew(env: &Env, dir: &str, sub: &str, ext: &str, body: &[u8]) {
    let (dir, version) = (Path::new(dir), current(env, dir));
    env.disk.remove_file(&dir.join("CURRENT")).unwrap();
    publish(env, dir, sub, ext, version, body).unwrap();
}

fn section_bodies(env: &Env, file: &Path) -> Vec<Vec<u8>> {
    let reader = SegmentReader::open(env, file, None, &KINDS).unwrap();
    let sections = reader.sections().iter();
    sections.map(|s| reader.read(s.id).unwrap()).collect()
}

/// Appends a frame to the log behind those that are there.
fn append(env: &Env, kind: u8, body: &[u8]) {
    let options = WalOptions {
        collection: 1,
        ..WalOptions::default()
    };
    let dir = Path::new(ROOT).join("wal");
    let (wal, recovery) = Wal::open(env, &dir, options, flushed(env), &mut |_| Ok(())).unwrap();
    let frame = FrameToWrite {
        lsn: recovery.last_lsn + 1,
        kind,
        body: &[body],
    };
    wal.append(&[frame], true).unwrap();
}

/// `flushed_lsn` of the manifest, which follows its name.
fn flushed(env: &Env) -> u64 {
    let body = load(env, Path::new(ROOT), "manifest", "man", current(env, ROOT)).unwrap();
    let name = b"flushed_lsn";
    let at = body.windows(name.len()).position(|bytes| bytes == name);
    let value = &body[at.unwrap() + name.len()..];
    match value[0] {
        small @ 0..0x80 => u64::from(small),
        0xcc => u64::from(value[1]),
        other => panic!("a small number, not {other:#x}"),
    }
}

/// Bodies of the frames in the log.
fn frames(env: &Env) -> Vec<(u8, Vec<u8>)> {
    let options = WalOptions {
        collection: 1,
        ..WalOptions::default()
    };
    let mut found = Vec::new();
    let dir = Path::new(ROOT).join("wal");
    Wal::open(env, &dir, options, flushed(env), &mut |frame| {
        found.push((frame.kind, frame.body.to_vec()));
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn a_length_is_held_against_the_file_before_memory_is_taken() {
    let files = small_database();
    let (whole, answer) = reading(&restored(&files));
    assert_eq!(answer, Ok(1_203));
    let (mut tried, mut refused, mut highest) = (0, 0, 0);
    let mut check = |what: &str, env: Env| {
        let (peak, answer) = reading(&env);
        assert!(
            peak <= whole + SPARE,
            "{what}: {peak} bytes, of a whole database {whole}"
        );
        if let Err(code) = answer {
            let expected = matches!(code, Code::Corrupt | Code::UnsupportedFormat);
            assert!(expected, "{what}: {code:?}");
            refused += 1;
        }
        tried += 1;
        highest = highest.max(peak);
    };

    let env = restored(&files);
    for (dir, sub, ext) in [(DIR, "catalog", "cat"), (ROOT, "manifest", "man")] {
        let version = current(&env, dir);
        let body = load(&env, Path::new(dir), sub, ext, version).unwrap();
        for bomb in bombs(&body) {
            let env = restored(&files);
            publish_anew(&env, dir, sub, ext, &bomb);
            check(sub, env);
        }
    }
    for (kind, body) in frames(&env) {
        for bomb in hostile(&body) {
            let env = restored(&files);
            append(&env, kind, &bomb);
            check("frame", env);
        }
    }
    let sectioned = files.iter().filter(|(path, _)| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("seg" | "del" | "idm"))
    });
    let mut kinds = 0;
    for (path, _) in sectioned {
        kinds += 1;
        for (which, body) in section_bodies(&env, path).into_iter().enumerate() {
            for bomb in hostile(&body) {
                let env = restored(&files);
                replace_section(&env, path, which, &bomb);
                check(&format!("{} section {which}", path.display()), env);
            }
        }
    }
    assert!(kinds >= 2, "a segment and a file of outcomes at least");
    println!(
        "{tried} hostile files, {refused} refused; a whole database takes {whole} bytes, the worst {highest}"
    );
    assert!(tried > 1_500 && refused > tried / 2, "{tried} {refused}");
    an_endless_holder(&files);
}

/// Of a holder's file as much is read as one may be long.
fn an_endless_holder(files: &Files) {
    let env = restored(files);
    let held = Database::open(env.clone(), Path::new(DIR), Options::default()).unwrap();
    let path = Path::new(DIR).join("LOCK.holder");
    let file = env.disk.open(&path, Access::Write).unwrap();
    file.set_len(256 << 20).unwrap();
    let (peak, answer) = reading(&env);
    assert_eq!(answer, Err(Code::Locked));
    assert!(peak < 1 << 20, "{peak}");
    drop(held);
}
