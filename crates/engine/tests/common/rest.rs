//! A database at rest after a crash, with files of every kind, and what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, HnswSettings, IndexKind, Job, KeyBuf, KeyType, MetricName, Options,
    Record, Result, Schema, VectorField, VectorKind, VerifyOptions, WriteKind, WriteOptions,
};
use cairn_testkit::SimDisk;

use crate::common::{Row, batch, everything, number, put, remove, schema, text, vector_field};
use crate::crash::lanes::Machine;
use crate::crash::sealed;

/// Where it is.
pub const DIR: &str = "/data/db";

/// Version, fields and vectors, as they are stored.
pub type Rec = (u64, Vec<u8>, Vec<Vec<u32>>);
pub type State = BTreeMap<KeyBuf, Rec>;

/// What each collection holds, by name.
pub type Contents = BTreeMap<String, State>;

pub struct Rest {
    pub disk: SimDisk,
    pub contents: Contents,
    /// Every record that ever was.
    pub history: BTreeMap<String, BTreeSet<(KeyBuf, Rec)>>,
}

pub fn options() -> Options {
    Options {
        wal_bytes_max: 16_000,
        memtable_bytes: 0,
        encryption: sealed::provider(),
        ..Options::default()
    }
}

/// How it is checked: with its key, where it is encrypted.
pub fn checks() -> VerifyOptions {
    VerifyOptions {
        encryption: sealed::provider(),
    }
}

fn words() -> Schema {
    let hnsw = IndexKind::Hnsw(HnswSettings {
        ef_construction: 16,
        ..HnswSettings::for_m(4)
    });
    schema(
        KeyType::String,
        vec![
            vector_field("body", 4, MetricName::L2, hnsw),
            VectorField {
                kind: VectorKind::F16,
                ..vector_field("title", 3, MetricName::Cosine, IndexKind::Flat)
            },
        ],
    )
}

fn numbers() -> Schema {
    schema(
        KeyType::U64,
        vec![vector_field("vector", 2, MetricName::Dot, IndexKind::Auto)],
    )
}

fn word(n: u32, turn: u32) -> Row {
    let (x, y) = (n as f32, turn as f32);
    let body = vec![x, y, x * 0.5, 1.0 / (x + 1.0)];
    let title = vec![1.0 + y, x + 0.25, -2.0];
    let row = Row::of(text(format!("word-{n}")), vec![Some(body), Some(title)]);
    if n.is_multiple_of(3) {
        row.with("n", i64::from(n)).with("turn", i64::from(turn))
    } else {
        row
    }
}

/// Upserts under an idempotency key of its own.
fn put_once(collection: &Arc<Collection>, rows: &[Row]) {
    let version = collection.snapshot().expect("it is open").version();
    let options = WriteOptions {
        idempotency_key: Some(format!("after {version}")),
        ..WriteOptions::default()
    };
    let upsert = batch(collection.schema(), WriteKind::Upsert, rows);
    let written = collection.write(upsert, options);
    written.expect("an upsert of good rows works");
}

/// All records of a collection.
pub fn read(collection: &Arc<Collection>) -> Result<State> {
    let snapshot = collection.snapshot()?;
    let mut scan = snapshot.scan(None)?;
    let mut state = State::new();
    loop {
        let page: Vec<Record> = scan.next_page(1_000, &everything())?;
        if page.is_empty() {
            return Ok(state);
        }
        for record in page {
            let bits = |vector: &Vec<f32>| vector.iter().map(|x| x.to_bits()).collect();
            let vectors = record.vectors.iter().flatten().map(bits).collect();
            state.insert(record.key, (record.version, record.fields, vectors));
        }
    }
}

impl Rest {
    pub fn new() -> Self {
        Self::made(false)
    }

    /// One with a recorded version, which alone holds a collection that was dropped and a segment
    /// that was merged.
    pub fn with_version() -> Self {
        Self::made(true)
    }

    fn made(versioned: bool) -> Self {
        let disk = SimDisk::new();
        let machine = Machine::on(&disk, 7);
        let database =
            Database::open(machine.env.clone(), Path::new(DIR), options()).expect("a new database");
        let a = database.create_collection("words", words()).expect("words");
        let b = database
            .create_collection("numbers", numbers())
            .expect("numbers");
        let mut rest = Self {
            disk: disk.clone(),
            contents: Contents::new(),
            history: BTreeMap::new(),
        };
        let rows = |from: u32, to: u32, turn| (from..to).map(|n| word(n, turn)).collect::<Vec<_>>();
        put(&a, &rows(0, 1_100, 0));
        rest.note(&a);
        a.compact(&Job::default()).expect("a segment with a graph");
        for turn in 1..3 {
            if versioned && turn == 2 {
                let gone = database
                    .create_collection("gone", numbers())
                    .expect("another");
                put(&gone, &[Row::new(number(1), &[1.0, 2.0])]);
                database.snapshot(Some("kept")).expect("a version");
                database.drop_collection("gone").expect("it is there");
            }
            let gone: Vec<KeyBuf> = (turn * 50..turn * 50 + 20)
                .map(|n| text(format!("word-{n}")))
                .collect();
            remove(&a, &gone);
            put_once(&a, &rows(turn * 200, turn * 200 + 60, turn));
            let row = |n: u32| Row::new(number(u64::from(n)), &[n as f32, turn as f32]);
            put_once(&b, &(0..150).map(row).collect::<Vec<_>>());
            rest.note(&a);
            rest.note(&b);
        }
        b.compact(&Job::default()).expect("a segment");
        // From here on nothing is flushed: what follows is in the log alone, in several files.
        machine.lanes.defer(true);
        for turn in 3..8 {
            for part in 0..6 {
                put(
                    &a,
                    &rows(turn * 100 + part * 15, turn * 100 + part * 15 + 45, turn),
                );
                rest.note(&a);
            }
            remove(&a, &[text(format!("word-{}", turn * 7))]);
            rest.note(&a);
            put_once(
                &b,
                &[Row::new(number(u64::from(turn)), &[9.0, turn as f32])],
            );
            rest.note(&b);
        }
        rest.disk = disk.kill_image(disk.op_count());
        // The process that goes on has work to end before it may close.
        machine.lanes.drain();
        rest
    }

    fn note(&mut self, collection: &Arc<Collection>) {
        let state = read(collection).expect("what was just written");
        let history = self.history.entry(collection.name()).or_default();
        for (key, rec) in &state {
            history.insert((key.clone(), rec.clone()));
        }
        self.contents.insert(collection.name(), state);
    }

    /// The disk anew.
    pub fn copy(&self) -> SimDisk {
        self.disk.kill_image(self.disk.op_count())
    }
}

/// What kind of file a path names.
pub fn kind(path: &str) -> &'static str {
    let kinds = [
        ("/catalog/", "catalog"),
        ("/keys/set/", "keys"),
        ("/versions/", "version"),
        ("/manifest/", "manifest"),
        ("/wal/next", "leftover"),
        ("/wal/spare", "leftover"),
        ("/wal/", "log"),
        ("/seg/", "segment"),
        ("/del/", "deletions"),
        ("/idem/", "outcomes"),
        ("/LOCK", "lock"),
        ("/CURRENT", "pointer"),
    ];
    let found = kinds.iter().find(|(part, _)| path.contains(part));
    found.map_or("other", |(_, kind)| kind)
}
