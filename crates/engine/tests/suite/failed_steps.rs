//! The error that a step of the commit path met is what its caller is told, what follows from it is what
//! is documented, and nothing that was acknowledged is lost to it.
//!
//! A script passes the steps. At each of them, each time it is passed, each of four errors strikes
//! once: a full disk, an exhausted quota, a disk that breaks, a file that may not be written. As long
//! as nothing was written that may count, a full disk is `ERR_NO_SPACE` and all else `ERR_IO`: nothing
//! has happened, and the same call works when it is made again. After that nobody knows what the disk
//! has, whatever the error was: a write answers `ERR_OUTCOME_UNKNOWN`, any other call `ERR_IO`, and
//! then `ERR_CLOSED` until the database is opened again.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    BackupOptions, Code, Collection, Compaction, Database, Durability, Job, KeyType, MetricName,
    Options, Result, WriteKind, WriteOptions,
};
use cairn_env::{FaultAction, KillPoint};
use cairn_testkit::{Choice, SimDisk, sim_env, sim_env_seeded};

use crate::common;
use common::{Home, Row, batch, everything, key_of, number, plain, removal};

const NAME: &str = "rows";
const BACKUPS: &str = "/backups";

const ERRORS: [ErrorKind; 4] = [
    ErrorKind::StorageFull,
    ErrorKind::QuotaExceeded,
    ErrorKind::Other,
    ErrorKind::PermissionDenied,
];

/// One call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Create,
    Write(u64, Durability),
    Remove(u64),
    Commit,
    Compact,
    Snapshot,
    Backup,
}

/// Every step is passed by these: two log files and more, a flush, a merge of segments with
/// deletions, a version and a backup of it.
const SCRIPT: [Call; 14] = [
    Call::Create,
    Call::Write(1, Durability::Sync),
    Call::Write(2, Durability::Sync),
    Call::Write(3, Durability::Os),
    Call::Commit,
    Call::Write(4, Durability::Memory),
    Call::Commit,
    Call::Write(5, Durability::Sync),
    Call::Remove(1),
    Call::Compact,
    Call::Write(6, Durability::Sync),
    Call::Snapshot,
    Call::Backup,
    Call::Write(7, Durability::Sync),
];

/// What becomes of a call in which a step fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// What was asked for is done. What could not be cleaned up, or was tried once more, is told in the
    /// statistics at most.
    Done,
    /// It answers that; nothing has happened, and it works when it is made once more.
    Refused(Code),
    /// It answers that, and the collection, or the database, takes no more until it is opened again.
    Closed(Code),
}

/// What may become of a call in which `error` strikes at `point`.
fn expected(point: KillPoint, error: ErrorKind, call: Call) -> Vec<Outcome> {
    use Outcome::{Closed, Done, Refused};
    let is_full = matches!(error, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let code = if is_full { Code::NoSpace } else { Code::Io };
    match (point as u8, call) {
        // Shown, answered, cleaned up.
        (7 | 8 | 22 | 24..=26, _) => vec![Done],
        // A version waits for the flush that its cut began, and flushes by itself if that has failed.
        (9..=17, Call::Snapshot) => vec![Done],
        // Nothing was written, or nothing that counts.
        (1 | 9..=17 | 27..=30, _) => vec![Refused(code)],
        // The log: bytes that a restart may find.
        (2..=4, _) => vec![Closed(Code::OutcomeUnknown)],
        (5 | 6, Call::Write(..) | Call::Remove(_)) => vec![Closed(Code::OutcomeUnknown)],
        (5 | 6, _) => vec![Closed(Code::Io)],
        // A new log file has its name: the write that needed it has not begun.
        (23, _) => vec![Closed(Code::Io)],
        // A manifest, a catalog or the record of a version before anything names it.
        (18 | 19, Call::Snapshot) if is_full => vec![Done, Refused(code)],
        (18 | 19, _) if is_full => vec![Refused(code)],
        (18, Call::Snapshot) => vec![Closed(Code::Closed), Refused(code)],
        (18, Call::Backup) => vec![Refused(code)],
        // And then: either may be found. Of a new collection the first manifest is named by no catalog yet.
        (18..=21, Call::Create) => vec![Closed(Code::Io), Refused(Code::Io)],
        // The flush that its cut began has closed the collection.
        (18..=21, Call::Snapshot) => vec![Closed(Code::Closed)],
        (18..=21, _) => vec![Closed(Code::Io)],
        (other, _) => panic!("nobody has said what K{other} is"),
    }
}

fn options() -> Options {
    Options {
        // Merges when it is told.
        compaction: Compaction::None,
        ..Options::default()
    }
}

/// What was answered about each record.
#[derive(Clone, Default)]
struct Promises {
    /// Survive a loss of power.
    durable: BTreeSet<u64>,
    /// Survive the process.
    handed_over: BTreeSet<u64>,
    /// Are seen as long as it lives.
    in_memory: BTreeSet<u64>,
    /// May be there or not, when it is opened again.
    unknown: BTreeSet<u64>,
}

impl Promises {
    fn take(&mut self, call: Call, answer: &Result<()>) {
        let is_done = match answer {
            Ok(()) => true,
            Err(error) if error.code() == Code::OutcomeUnknown => false,
            Err(_) => return,
        };
        match call {
            Call::Write(key, _) | Call::Remove(key) if !is_done => {
                self.unknown.insert(key);
            }
            Call::Write(key, Durability::Memory) => {
                self.in_memory.insert(key);
            }
            Call::Write(key, Durability::Os) => {
                self.handed_over.insert(key);
            }
            Call::Write(key, _) => {
                // One log, one sync.
                self.durable.append(&mut self.handed_over);
                self.durable.insert(key);
            }
            Call::Remove(key) => {
                self.durable.remove(&key);
            }
            Call::Commit | Call::Compact | Call::Snapshot | Call::Backup => {
                self.durable.append(&mut self.handed_over);
                self.durable.append(&mut self.in_memory);
            }
            Call::Create => {}
        }
    }

    fn seen(&self) -> BTreeSet<u64> {
        let all = self.durable.iter().chain(&self.handed_over);
        all.chain(&self.in_memory).copied().collect()
    }
}

struct Life {
    disk: SimDisk,
    home: Home,
    database: Arc<Database>,
    collection: Option<Arc<Collection>>,
    promises: Promises,
}

impl Life {
    fn begin() -> Self {
        let disk = SimDisk::new();
        let home = Home::on(sim_env(&disk));
        let database = home.open(options());
        Self {
            disk,
            home,
            database,
            collection: None,
            promises: Promises::default(),
        }
    }

    fn call(&mut self, call: Call) -> Result<()> {
        let answer = self.answer(call);
        self.promises.take(call, &answer);
        answer
    }

    fn answer(&mut self, call: Call) -> Result<()> {
        if call == Call::Create {
            let schema = plain(KeyType::U64, 2, MetricName::L2);
            self.collection = Some(self.database.create_collection(NAME, schema)?);
            return Ok(());
        }
        let collection = self.collection.as_ref().unwrap();
        match call {
            Call::Write(key, durability) => write(collection, key, durability),
            Call::Remove(key) => {
                let batch = removal(collection.schema(), &[number(key)]);
                collection.write(batch, WriteOptions::default()).map(drop)
            }
            Call::Commit => collection.commit().map(drop),
            Call::Compact => collection.compact(&Job::default()),
            Call::Snapshot => self.database.snapshot(Some("kept")).map(drop),
            Call::Backup => {
                let (env, options) = (&self.home.env, BackupOptions::default());
                let made = self
                    .database
                    .backup(env, BACKUPS.as_ref(), &options, &Job::default());
                made.map(drop)
            }
            Call::Create => unreachable!("answered above"),
        }
    }

    /// Reads go on, and show what was acknowledged, no less and no more.
    fn check_in_place(&self, what: &str) {
        if let Some(collection) = &self.collection {
            assert_eq!(
                keys_of(collection),
                self.promises.seen(),
                "{what}: in place"
            );
        }
    }

    /// What a restart finds, of the process and of the machine; both take writes again.
    fn check_restarts(&self, what: &str) {
        let promises = &self.promises;
        let at = self.disk.op_count();
        let survives_kill: BTreeSet<u64> = promises
            .durable
            .union(&promises.handed_over)
            .copied()
            .collect();
        let allowed: BTreeSet<u64> = promises.seen().union(&promises.unknown).copied().collect();
        let mut images = vec![
            (self.disk.kill_image(at), &survives_kill, "killed"),
            (
                self.disk.crash_image(at, &mut Choice::lose_all()),
                &promises.durable,
                "without power",
            ),
        ];
        for seed in 0..2 {
            let image = self.disk.crash_image(at, &mut Choice::seeded(seed));
            images.push((image, &promises.durable, "with some of it"));
        }
        for (image, promised, how) in images {
            let home = Home::on(sim_env_seeded(&image, 9));
            let database = Database::open(home.env.clone(), Path::new("/db"), options());
            let database = database.unwrap_or_else(|error| panic!("{what}, {how}: {error}"));
            let schema = plain(KeyType::U64, 2, MetricName::L2);
            let collection = database.collection(NAME, Some(schema));
            let collection = collection.unwrap_or_else(|error| panic!("{what}, {how}: {error}"));
            let found = keys_of(&collection);
            let is_promised = promised
                .iter()
                .all(|key| found.contains(key) || promises.unknown.contains(key));
            assert!(
                is_promised && found.is_subset(&allowed),
                "{what}, {how}: {found:?} of {promised:?}, {allowed:?} at most"
            );
            write(&collection, 100, Durability::Sync).unwrap();
            collection.compact(&Job::default()).unwrap();
            database.close().unwrap();
        }
    }
}

fn write(collection: &Arc<Collection>, key: u64, durability: Durability) -> Result<()> {
    let row = Row::new(number(key), &[key as f32, 1.0]);
    let upsert = batch(collection.schema(), WriteKind::Upsert, &[row]);
    let options = WriteOptions {
        durability: Some(durability),
        ..WriteOptions::default()
    };
    collection.write(upsert, options).map(drop)
}

/// All keys, each with the vector it was written with.
fn keys_of(collection: &Arc<Collection>) -> BTreeSet<u64> {
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let page = scan.next_page(1_000, &everything()).unwrap();
    let key = |record: cairn_engine::Record| {
        let key = key_of(record.key.as_key());
        assert_eq!(record.vectors, Some(vec![vec![key as f32, 1.0]]));
        key
    };
    page.into_iter().map(key).collect()
}

/// Runs the script, with `error` at the `pass`-th pass of `point` in it. Returns what became of it,
/// or `None` if the step is not passed as often.
fn strike(point: KillPoint, pass: u64, error: ErrorKind) -> Option<Outcome> {
    let mut what = format!("{error:?} at pass {pass} of {point:?}");
    let mut life = Life::begin();
    let faults = life.home.env.faults.clone();
    let armed = faults.hits(point) + pass;
    faults.arm(point, armed, FaultAction::Error(error));
    let mut rest = SCRIPT.iter().copied();
    let (call, told) = rest.find_map(|call| {
        let answer = life.call(call);
        let has_struck = faults.hits(point) >= armed;
        assert!(has_struck || answer.is_ok(), "{what}, before: {answer:?}");
        has_struck.then_some((call, answer.err()))
    })?;
    what += &format!(", in {call:?}");
    life.check_in_place(&what);
    life.check_restarts(&what);
    let outcome = match told {
        None => Outcome::Done,
        Some(told) => {
            let code = told.code();
            let retryable = matches!(code, Code::NoSpace | Code::OutcomeUnknown);
            assert_eq!(told.retryable(), retryable, "{what}: {told}");
            match life.call(call) {
                Ok(()) => Outcome::Refused(code),
                Err(again) => {
                    assert_eq!(again.code(), Code::Closed, "{what}: {told}, then {again}");
                    Outcome::Closed(code)
                }
            }
        }
    };
    let due = expected(point, error, call);
    assert!(due.contains(&outcome), "{what}: {outcome:?} is not {due:?}");
    if point == KillPoint::K24WalRemoved {
        let stats = life.collection.as_ref().unwrap().stats().unwrap();
        assert!(
            stats.last_background_error.is_some(),
            "{what}: told nowhere"
        );
    }
    if let Outcome::Closed(_) = outcome {
        if let Some(collection) = &life.collection {
            let refused = write(collection, 99, Durability::Memory).unwrap_err();
            assert_eq!(refused.code(), Code::Closed, "{what}: {refused}");
            assert!(collection.stats().unwrap().poisoned, "{what}");
        }
    } else {
        for call in rest {
            let done = life.call(call);
            done.unwrap_or_else(|error| panic!("{what}, then {call:?}: {error}"));
        }
    }
    life.check_in_place(&what);
    life.check_restarts(&what);
    Some(outcome)
}

#[test]
fn each_error_at_each_step_is_told_as_what_it_is() {
    let mut table: BTreeMap<KillPoint, BTreeMap<String, u64>> = BTreeMap::new();
    for point in KillPoint::ALL {
        for error in ERRORS {
            for pass in 1.. {
                let Some(outcome) = strike(point, pass, error) else {
                    assert!(pass > 1 || is_of_graphs(point), "{point:?} is never passed");
                    break;
                };
                let row = table.entry(point).or_default();
                *row.entry(format!("{outcome:?}")).or_default() += 1;
            }
        }
    }
    for (point, outcomes) in &table {
        println!("{:20} {outcomes:?}", format!("{point:?}"));
    }
}

/// Steps of graphs, which so few records have not: `crash_kill_points` passes them.
fn is_of_graphs(point: KillPoint) -> bool {
    matches!(point, KillPoint::K11Graph | KillPoint::K12Codes)
}
