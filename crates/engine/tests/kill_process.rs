//! A real process on a real disk is killed in the middle of its work, and everything that it had
//! acknowledged is found by the next one.
//!
//! The child runs three writers on two collections: upserts and deletes that replace each other,
//! synced or handed to the kernel, committed in groups, flushed and merged all the time, with a
//! graph in the larger segments, of links in one collection and of links and codes in the other. It says through a pipe what it begins and what was acknowledged.
//! It dies by SIGKILL: its own, at each of the steps K1 to K30, or ours, at any moment. It also
//! records versions, makes backups and, of an encrypted database, changes the key, over and over. The directory is free at once, and each writer's records are those of its last
//! acknowledged batch, or of the one it had begun, whole. Every backup is whole, the newest that was
//! answered is there, and it is restored to what all writers had at one moment.
//!
//! `CAIRN_KILLS` says how many kills from outside.

#![cfg(feature = "failpoints")]

#[path = "common/crash/mod.rs"]
mod crash;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_engine::{
    BackupOptions, Collection, Database, Durability, Effort, Extra, IndexKind, Job, Key, KeyBuf,
    KeyType, Keys, MetricName, Options, Quantize, Schema, SearchRequest, Select, SelectFields,
    Stop, VectorColumn, VectorField, VectorKind, VersionId, WriteBatch, WriteKind, WriteOptions,
    list_backups, prune_backups, restore, verify_backup,
};
use cairn_env::{Clock, Env, KillPoint, OsClock};
use cairn_testkit::{Rng, TempDir, seed_from_env};

const CHILD_DIR: &str = "CAIRN_KILL_DIR";
const CHILD_FROM: &str = "CAIRN_KILL_FROM";
const CHILD_FILLS: &str = "CAIRN_KILL_FILLS";

const WRITERS: usize = 3;
/// One with links alone, one with links and codes.
const COLLECTIONS: [(&str, IndexKind); 2] = [("even", IndexKind::Auto), ("odd", IndexKind::Qg)];
/// Keys a writer uses in each collection, over and over.
const RING: u64 = 700;
const ROWS: u64 = 30;
const DIM: usize = 8;

/// Which batch wrote each key of a writer.
type Written = BTreeMap<u64, u64>;

fn schema(dim: u32, index: IndexKind) -> Schema {
    Schema {
        key: KeyType::U64,
        vectors: vec![VectorField {
            name: "v".into(),
            dim,
            metric: MetricName::L2,
            index,
            kind: VectorKind::F32,
            quantize: Quantize::None,
        }],
        fields: Vec::new(),
        extra: Extra::Allow,
        expires_at: None,
    }
}

fn open(dir: &Path, options: Options) -> Arc<Database> {
    open_in(&Env::os(2), dir, options)
}

fn open_in(env: &Env, dir: &Path, options: Options) -> Arc<Database> {
    let opened = Database::open(env.clone(), dir, options);
    opened.expect("a killed process leaves a database that opens, and its lock free")
}

/// A flush every few batches.
fn small() -> Options {
    Options {
        wal_bytes_max: 24_000,
        encryption: crash::sealed::provider(),
        ..Options::default()
    }
}

fn key(writer: usize, slot: u64) -> u64 {
    writer as u64 * 1_000_000 + slot % RING
}

/// Says which batch wrote it.
fn vector(key: u64, batch: u64) -> Vec<f32> {
    let mut rng = Rng::new(key ^ batch << 32);
    let mut vector: Vec<f32> = (0..DIM).map(|_| rng.unit() as f32).collect();
    vector[0] = batch as f32;
    vector
}

/// Batch `number` of a writer: every fourth one removes what an older one wrote.
fn batch(writer: usize, number: u64) -> WriteBatch {
    let mut keys = Keys::new(KeyType::U64);
    let removes = number % 4 == 3;
    let (first, rows) = if removes {
        (number * 17 + RING / 2, ROWS / 2)
    } else {
        (number * 17, ROWS)
    };
    let mut data = Vec::new();
    for slot in first..first + rows {
        keys.push(Key::U64(key(writer, slot)));
        data.extend(vector(key(writer, slot), number));
    }
    WriteBatch {
        kind: if removes {
            WriteKind::Delete
        } else {
            WriteKind::Upsert
        },
        vectors: if removes {
            Vec::new()
        } else {
            vec![Some(VectorColumn {
                data,
                present: None,
            })]
        },
        keys,
        payloads: None,
    }
}

/// What a writer's batches up to `last` leave in a collection.
fn apply(written: &mut [Written; 2], writer: usize, number: u64) {
    let batch = batch(writer, number);
    let written = &mut written[usize::from(number % 2 == 1)];
    for key in batch.keys.iter() {
        let Key::U64(key) = key else {
            unreachable!("keys are numbers")
        };
        match batch.kind {
            WriteKind::Delete => written.remove(&key),
            _ => written.insert(key, number),
        };
    }
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    if std::env::var_os(CHILD_FILLS).is_some() {
        return fill(Path::new(&dir));
    }
    let from = std::env::var(CHILD_FROM).expect("where to go on");
    let from: Vec<u64> = from
        .split(',')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let env = Env::os(2);
    let database = open_in(&env, Path::new(&dir), small());
    let collections = COLLECTIONS.map(|(name, index)| {
        let schema = Some(schema(DIM as u32, index));
        database.collection(name, schema).expect("a collection")
    });
    std::thread::scope(|scope| {
        for (writer, from) in from.into_iter().enumerate() {
            let (database, collections) = (&database, &collections);
            let (env, dir) = (&env, Path::new(&dir));
            scope.spawn(move || {
                for number in from.. {
                    write(collections, writer, number);
                    match writer {
                        0 if number % 12 == 0 => merge(collections, number / 12),
                        1 if number % 3 == 0 => record_and_back_up(database, env, dir),
                        2 if crash::sealed::is_on() => rotate(database),
                        _ => {}
                    }
                }
            });
        }
    });
}

/// Where the backups of a database are.
fn backups(dir: &Path) -> std::path::PathBuf {
    dir.with_extension("backups")
}

/// A version, a backup of it and one of this moment; then the version goes, and old backups.
fn record_and_back_up(database: &Database, env: &Env, dir: &Path) {
    let version = database.snapshot(None).expect("a healthy disk").version;
    for version in [Some(VersionId::Lsn(version)), None] {
        let options = BackupOptions {
            name: None,
            version,
            verify: false,
        };
        let made = database.backup(env, &backups(dir), &options, &Job::default());
        say(&format!("backed 0 {}", made.expect("a healthy disk").id));
    }
    let version = VersionId::Lsn(version);
    database.drop_version(&version).expect("a healthy disk");
    let pruned = prune_backups(env, &backups(dir), 3, &small());
    pruned.expect("a healthy disk");
}

fn merge(collections: &[Arc<Collection>; 2], number: u64) {
    let collection = &collections[usize::from(number % 2 == 1)];
    collection.compact(&Job::default()).expect("a healthy disk");
}

fn rotate(database: &Database) {
    let rotated = database.rotate_key(&crash::sealed::next_key());
    rotated.expect("a healthy disk");
}

fn write(collections: &[Arc<Collection>; 2], writer: usize, number: u64) {
    let collection = &collections[usize::from(number % 2 == 1)];
    say(&format!("began {writer} {number}"));
    let options = WriteOptions {
        // A killed process loses nothing it handed to the kernel, synced or not.
        durability: Some(if number.is_multiple_of(3) {
            Durability::Os
        } else {
            Durability::Sync
        }),
        ..WriteOptions::default()
    };
    let written = collection.write(batch(writer, number), options);
    written.expect("a healthy disk");
    say(&format!("acknowledged {writer} {number}"));
}

/// A line through the pipe; the full stop says that it is whole.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}.").expect("a parent that reads");
    out.flush().expect("a parent that reads");
}

fn spawn(dir: &Path, envs: &[(&str, String)]) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env_remove("CAIRN_FAIL")
        .envs(envs.iter().map(|(name, value)| (*name, value.as_str())))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test runs again")
}

/// A database that outlives its processes, and what each writer is known to have done.
struct Survivor {
    dir: TempDir,
    /// The next batch of each writer.
    next: [u64; WRITERS],
    written: [[Written; 2]; WRITERS],
    records: usize,
    acknowledged: u64,
    /// Backups that were answered, the newest, and those restored.
    backups: u64,
    backed: u64,
    restored: u64,
}

impl Survivor {
    fn new() -> Self {
        Self {
            dir: TempDir::new("kill"),
            next: [0; WRITERS],
            written: Default::default(),
            records: 0,
            acknowledged: 0,
            backups: 0,
            backed: 0,
            restored: 0,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("db")
    }

    /// Runs a child until it dies; kills it after `patience`, if it has any.
    fn run(&mut self, fail: Option<String>, patience: Option<Duration>, what: &str) {
        let from = self.next.map(|n| n.to_string()).join(",");
        let mut envs = vec![(CHILD_FROM, from)];
        envs.extend(fail.map(|fail| ("CAIRN_FAIL", fail)));
        let mut child = spawn(&self.path(), &envs);
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let clock = OsClock::new();
        let over = AtomicBool::new(false);
        let mut began = self.next;
        let mut acknowledged = self.next;
        let limit = patience.unwrap_or(Duration::from_secs(60));
        std::thread::scope(|scope| {
            let (over, child) = (&over, &mut child);
            scope.spawn(move || {
                while clock.now() < limit && !over.load(Ordering::Relaxed) {
                    clock.sleep(Duration::from_millis(1));
                }
                let _ = child.kill();
                let status = child.wait().expect("a child that ended");
                assert!(status.code().is_none(), "{what}: ended by itself, {status}");
                assert!(
                    patience.is_some() || clock.now() < limit,
                    "{what}: it never got there"
                );
            });
            for line in out.lines() {
                let line = line.expect("text");
                let mut words = line.strip_suffix('.').unwrap_or("").split(' ');
                let word = words.next();
                let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
                let (Some(writer), Some(batch)) = (number(), number()) else {
                    continue;
                };
                if word == Some("backed") {
                    self.backups += 1;
                    self.backed = batch;
                    continue;
                }
                let writer = usize::try_from(writer).expect("a writer");
                match word {
                    Some("began") => began[writer] = batch + 1,
                    Some("acknowledged") => {
                        acknowledged[writer] = batch + 1;
                        self.acknowledged += 1;
                    }
                    _ => {}
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        self.check(began, acknowledged, what);
        self.check_backups(what);
    }

    /// Verifies all backups, and restores the newest: every writer's records are those of its first
    /// so many batches.
    fn check_backups(&mut self, what: &str) {
        let (env, source, job) = (Env::os(1), backups(&self.path()), Job::default());
        if self.backed == 0 {
            return;
        }
        let listed = list_backups(&env, &source).expect("a directory of backups");
        assert!(
            listed.iter().any(|info| info.id == self.backed),
            "{what}: backup {} of {listed:?} is lost",
            self.backed
        );
        let verified = verify_backup(&env, &source, None, &job);
        verified.unwrap_or_else(|error| panic!("{what}: {error}"));
        let newest = listed.last().map_or(0, |info| info.id);
        let target = self.dir.path().join(format!("restored-{newest}"));
        if !newest.is_multiple_of(3) || env.disk.entry(&target).expect("a disk").is_some() {
            return;
        }
        let made = restore(&env, &source, &target, Some(newest), None, &small(), &job);
        made.unwrap_or_else(|error| panic!("{what}: {error}"));
        let database = open(&target, small());
        let found = COLLECTIONS.map(|(name, _)| {
            let collection = database.open_collection(name);
            // It may have been made between the two.
            collection.map_or_else(|_| Written::new(), |collection| read(&collection))
        });
        for writer in 0..WRITERS {
            let own = own_of(&found, writer);
            let mut written = Default::default();
            let is_prefix = (0..=self.next[writer]).any(|number| {
                let same = own == written;
                apply(&mut written, writer, number);
                same
            });
            assert!(
                is_prefix,
                "{what}: writer {writer} in backup {newest}: {own:?}"
            );
        }
        self.restored += 1;
    }

    /// Opens the database and holds every record against what the child said.
    fn check(&mut self, began: [u64; WRITERS], acknowledged: [u64; WRITERS], what: &str) {
        let database = open(&self.path(), small());
        let found = COLLECTIONS.map(|(name, _)| match database.open_collection(name) {
            Ok(collection) => read(&collection),
            // Killed before it was created.
            Err(error) => {
                assert!(acknowledged.iter().all(|n| *n == 0), "{what}: {error}");
                Written::new()
            }
        });
        self.records += found.iter().map(Written::len).sum::<usize>();
        for writer in 0..WRITERS {
            let found = own_of(&found, writer);
            let written = &mut self.written[writer];
            for number in self.next[writer]..acknowledged[writer] {
                apply(written, writer, number);
            }
            let mut next = acknowledged[writer];
            if found != *written && began[writer] > next {
                // It had begun one more, which may have come through, whole.
                apply(written, writer, next);
                next += 1;
            }
            assert!(
                found == *written,
                "{what}: writer {writer} acknowledged {} and began {}; found {found:?}",
                acknowledged[writer],
                began[writer]
            );
            self.next[writer] = next;
        }
        let report = database.verify(&Job::default()).expect("a report");
        assert_eq!(report.problems, []);
        database.close().expect("a healthy disk");
    }
}

/// What one writer wrote.
fn own_of(found: &[Written; 2], writer: usize) -> [Written; 2] {
    let range = key(writer, 0)..=key(writer, RING - 1);
    let own = |written: &Written| {
        let own = written.range(range.clone());
        own.map(|(key, batch)| (*key, *batch)).collect()
    };
    [own(&found[0]), own(&found[1])]
}

/// Which batch wrote each record; every vector compared, counts and a search as well.
fn read(collection: &Arc<Collection>) -> Written {
    let snapshot = collection.snapshot().expect("an open collection");
    let everything = Select {
        fields: SelectFields::All,
        vectors: true,
    };
    let mut scan = snapshot.scan(None).expect("an open collection");
    let mut written = Written::new();
    loop {
        let page = scan.next_page(500, &everything).expect("undamaged files");
        if page.is_empty() {
            break;
        }
        for record in page {
            let KeyBuf::U64(key) = record.key else {
                unreachable!("keys are numbers")
            };
            let vectors = record.vectors.expect("vectors were asked for");
            let batch = vectors[0][0] as u64;
            assert_eq!(vectors[0], vector(key, batch), "the vector of key {key}");
            assert!(written.insert(key, batch).is_none(), "a key stands once");
        }
    }
    assert_eq!(
        snapshot.count(),
        written.len() as u64,
        "the count is a recount"
    );
    for (&key, &batch) in written.iter().take(5) {
        let vector = vector(key, batch);
        let request = SearchRequest {
            effort: Effort::Exact,
            ..SearchRequest::new(&vector, 1)
        };
        let hits = snapshot.search(&request, &Stop::never()).expect("a search");
        assert_eq!(hits.keys.get(0), Key::U64(key), "found by its own vector");
    }
    written
}

#[test]
fn killed_at_each_step_of_the_commit_path() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 5));
    let mut survivor = Survivor::new();
    let mut kills = 0;
    for point in KillPoint::ALL {
        for most in [2, 2, 5, 8, 12] {
            // Each pass of these takes a graph over more than a thousand records.
            let of_graphs = matches!(point, KillPoint::K11Graph | KillPoint::K12Codes);
            let pass = 1 + rng.below(if of_graphs { 2 } else { most });
            let fail = format!("K{}:{pass}:kill", point as u8);
            let what = format!("killed at {point:?}, pass {pass}");
            survivor.run(Some(fail), None, &what);
            kills += 1;
        }
    }
    println!(
        "killed at steps: {0} kills at {1} of {1} steps, {2} batches acknowledged, none lost, \
         {3} records checked, {4} backups, {5} of them restored",
        kills,
        KillPoint::ALL.len(),
        survivor.acknowledged,
        survivor.records,
        survivor.backups,
        survivor.restored
    );
}

/// Each step of publishing a key set, as often as one can be told from those of manifests: a writer
/// changes the key after each of its batches.
#[test]
fn killed_while_the_key_changes() {
    if !crash::sealed::is_on() {
        return;
    }
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 7));
    let mut survivor = Survivor::new();
    let mut kills = 0;
    for point in 18..=21 {
        for _ in 0..5 {
            let pass = 1 + rng.below(20);
            let what = format!("killed at K{point}, pass {pass}, while the key changes");
            survivor.run(Some(format!("K{point}:{pass}:kill")), None, &what);
            kills += 1;
        }
    }
    println!(
        "killed while the key changes: {kills} kills, {} batches acknowledged, none lost",
        survivor.acknowledged
    );
}

#[test]
fn killed_at_any_moment() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 6));
    let kills = crash::number("CAIRN_KILLS", 180);
    let mut survivor = Survivor::new();
    for kill in 0..kills {
        let patience = Duration::from_millis(rng.below(160) + 5);
        let what = format!("kill {kill} after {patience:?}");
        survivor.run(None, Some(patience), &what);
    }
    println!(
        "killed from outside: {kills} kills, {} batches acknowledged, none lost, {} records \
         checked, {} backups, {} of them restored",
        survivor.acknowledged, survivor.records, survivor.backups, survivor.restored
    );
    assert!(
        survivor.acknowledged > kills,
        "killed before it could do anything"
    );
}

/// Bytes of log that recovery is timed with.
const LOG_BYTES: usize = 64 * 1024 * 1024;
const FILL_DIM: u32 = 128;
const FILL_ROWS: u64 = 1_000;

/// A memtable larger than the log, so that nothing is flushed.
fn large() -> Options {
    Options {
        memtable_bytes: 2 * LOG_BYTES,
        wal_bytes_max: 16 * LOG_BYTES as u64,
        ..Options::default()
    }
}

/// The child that leaves a long log behind.
fn fill(dir: &Path) {
    let database = open(dir, large());
    let collection = database.collection("points", Some(schema(FILL_DIM, IndexKind::Auto)));
    let collection = collection.expect("a collection");
    let mut rng = Rng::new(1);
    let dim = FILL_DIM as usize;
    let mut written = 0;
    while collection.stats().expect("it is open").wal_bytes < LOG_BYTES as u64 {
        let mut keys = Keys::new(KeyType::U64);
        for row in 0..FILL_ROWS {
            keys.push(Key::U64(written + row));
        }
        let floats = FILL_ROWS as usize * dim;
        let batch = WriteBatch {
            kind: WriteKind::Upsert,
            keys,
            vectors: vec![Some(VectorColumn {
                data: (0..floats).map(|_| rng.unit() as f32).collect(),
                present: None,
            })],
            payloads: None,
        };
        let written_now = collection.write(batch, WriteOptions::default());
        written_now.expect("a healthy disk");
        written += FILL_ROWS;
    }
    say(&format!("full {written} 0"));
    loop {
        OsClock::new().sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_long_log_is_replayed_within_a_second() {
    let mut times = Vec::new();
    for _ in 0..crash::number("CAIRN_RECOVERIES", 2) {
        let dir = TempDir::new("recovery");
        let path = dir.path().join("db");
        let mut child = spawn(&path, &[(CHILD_FILLS, "1".into())]);
        let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let full = out.find_map(|line| {
            let line = line.expect("text");
            let count = line.strip_prefix("full ")?.split(' ').next()?;
            count.parse::<u64>().ok()
        });
        child.kill().expect("a child");
        child.wait().expect("a child that ended");
        let full = full.expect("it filled the log");
        // Again and again: opening does not shorten the log.
        for _ in 0..4 {
            let clock = OsClock::new();
            let database = open(&path, large());
            times.push(clock.now());
            let collection = database.open_collection("points").expect("it is there");
            let snapshot = collection.snapshot().expect("it is open");
            assert_eq!(snapshot.count(), full, "every record");
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "recovery of {} MiB of log: {} times, p50 {:?}, p99 {:?}, {:.0} MiB/s, p99 is {:.2} of the \
         second it may take",
        LOG_BYTES >> 20,
        times.len(),
        at(50),
        at(100),
        (LOG_BYTES >> 20) as f64 / at(50).as_secs_f64(),
        at(100).as_secs_f64(),
    );
    if cfg!(not(debug_assertions)) {
        assert!(at(100) <= Duration::from_secs(1), "{times:?}");
    }
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = ["killed_at_any_moment", "killed_while_the_key_changes"];
    crash::sealed::run_again(module_path!(), &tests, &[("CAIRN_KILLS", "10")]);
}
