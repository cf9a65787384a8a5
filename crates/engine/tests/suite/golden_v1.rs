//! A database of the first format opens for good, reads back exactly, and is not touched by it.
//!
//! `golden/v1` was written by the first version: four collections with string and number keys,
//! every metric, one and two vector fields, segments with and without a graph, a deletion
//! file, and logs with puts and removals. `golden/v1-blocks` is the same, written when fields had come
//! to lie in blocks. `golden/v1-codes` has three collections with what stands over vectors since: an HNSW graph with
//! codes, a quantised graph, and lists. `CAIRN_WRITE_GOLDEN=1` writes the newest anew, which is right only before a release, or
//! for a new format in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, Durability, Effort, Extra, HnswSettings, IndexKind, Job, KeyType,
    MetricName, Options, Quantize, Schema, SearchRequest, Select, SelectFields, Stop, VectorField,
    VectorKind, WriteKind,
};
use cairn_env::{Access, Disk, DiskFile, EntryKind, OsDisk};
use cairn_testkit::SimDisk;

use crate::crash;
use crash::data::{self, Fields, Planned, Rec, Row, State, Value};
use crash::files;
use crash::lanes::Machine;

const DIR: &str = "/golden";

/// A folder of files, and the collections in it.
struct Fixture {
    folder: &'static str,
    names: &'static [&'static str],
}

const FIRST: &[&str] = &["graph", "numbers", "strings", "two"];

/// Oldest first.
const FIXTURES: [Fixture; 3] = [
    Fixture {
        folder: "v1",
        names: FIRST,
    },
    Fixture {
        folder: "v1-blocks",
        names: FIRST,
    },
    Fixture {
        folder: "v1-codes",
        names: &["coded", "listed", "quantised"],
    },
];

fn schema(name: &str) -> Schema {
    let field = |name: &str, dim, metric, index| VectorField {
        name: name.into(),
        dim,
        metric,
        index,
        kind: VectorKind::F32,
        quantize: Quantize::None,
    };
    let (auto, flat) = (IndexKind::Auto, IndexKind::Flat);
    let hnsw = IndexKind::Hnsw(HnswSettings::for_m(4));
    let (key, vectors) = match name {
        "graph" => (KeyType::U64, vec![field("v", 2, MetricName::L2, hnsw)]),
        "numbers" => (KeyType::U64, vec![field("v", 3, MetricName::Cosine, auto)]),
        "strings" => (KeyType::String, vec![field("v", 2, MetricName::L1, flat)]),
        "coded" => {
            let quantize = Quantize::Sq8;
            let coded = field("v", 4, MetricName::L2, hnsw);
            (KeyType::U64, vec![VectorField { quantize, ..coded }])
        }
        "listed" => {
            let listed = field("v", 3, MetricName::L2, IndexKind::Ivf);
            (KeyType::U64, vec![listed])
        }
        "quantised" => {
            let quantised = field("v", 4, MetricName::L2, IndexKind::Qg);
            (KeyType::U64, vec![quantised])
        }
        _ => (
            KeyType::String,
            vec![
                field("a", 2, MetricName::Dot, auto.clone()),
                field("b", 5, MetricName::Cosine, auto),
            ],
        ),
    };
    Schema {
        key,
        vectors,
        fields: Vec::new(),
        extra: Extra::Allow,
        expires_at: None,
    }
}

/// The record that round `round` writes under key `number`.
fn row(schema: &Schema, number: u64, round: u8) -> Row {
    let component = |at: u32| number as f32 * 0.25 + at as f32 + f32::from(round) + 0.5;
    let mut fields = Fields::new();
    fields.insert("round".into(), Value::Small(round));
    if number.is_multiple_of(3) {
        fields.insert("text".into(), Value::Text(format!("number {number}")));
    }
    Row {
        key: data::key(schema.key, number),
        fields: (number % 5 != 4).then_some(fields),
        vectors: schema
            .vectors
            .iter()
            .map(|field| Some((0..field.dim).map(component).collect()))
            .collect(),
    }
}

/// What was done to a collection: keys put or removed in each round, and how the round ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Flushed and merged.
    Compacted,
    /// Flushed, so that deletions of the segment before are in a file of their own.
    Flushed,
    /// In the log.
    Logged,
}

/// What stands over the vectors of the first segment.
fn index(name: &str) -> &'static str {
    match name {
        "graph" | "coded" => "hnsw",
        "listed" => "ivf",
        "quantised" => "qg",
        _ => "flat",
    }
}

fn rounds(name: &str) -> Vec<(Vec<u64>, Vec<u64>, End)> {
    let many = if index(name) == "flat" { 20 } else { 1_100 };
    vec![
        ((0..many).collect(), vec![], End::Compacted),
        (vec![3, 4, many], vec![5], End::Flushed),
        (vec![4, many + 1], vec![6, many + 7], End::Logged),
        (vec![7], vec![], End::Logged),
    ]
}

fn planned(schema: &Schema, keys: &[u64], kind: WriteKind, round: u8) -> Planned {
    Planned {
        kind,
        rows: keys.iter().map(|&key| row(schema, key, round)).collect(),
        durability: Durability::Sync,
        if_version: None,
        idempotency_key: None,
    }
}

/// What every collection must hold, and the versions that wrote it.
fn expected(name: &str, first_version: u64) -> State {
    let (schema, mut state, mut version) = (schema(name), State::new(), first_version);
    for (round, (put, removed, end)) in (0..).zip(rounds(name)) {
        for &number in &put {
            let Row {
                key,
                fields,
                vectors,
            } = row(&schema, number, round);
            let rec = Rec {
                version,
                fields: fields.unwrap_or_default(),
                vectors: vectors.into_iter().flatten().collect(),
            };
            state.insert(key, rec);
        }
        version += 1;
        if !removed.is_empty() {
            for &number in &removed {
                state.remove(&data::key(schema.key, number));
            }
            version += 1;
        }
        if end == End::Flushed {
            version += 2;
        }
    }
    state
}

/// Batches that one collection takes: puts of four rounds, removals of two of them, and two that
/// make it flush.
const BATCHES: u64 = 8;

fn write_golden() {
    let disk = SimDisk::new();
    let machine = Machine::on(&disk, 0x601d);
    let database = Database::open(machine.env, Path::new(DIR), Options::default());
    let database = database.expect("a new database");
    let [.., newest] = &FIXTURES;
    for &name in newest.names {
        let schema = schema(name);
        let made = database.create_collection(name, schema.clone());
        let collection = made.expect("a new collection");
        for (round, (put, removed, end)) in (0..).zip(rounds(name)) {
            let plans = [(put, WriteKind::Upsert), (removed, WriteKind::Delete)];
            for (keys, kind) in plans.into_iter().filter(|(keys, _)| !keys.is_empty()) {
                let plan = planned(&schema, &keys, kind, round);
                let written = collection.write(plan.batch(&schema), plan.options());
                written.expect("a healthy disk");
            }
            match end {
                End::Compacted => collection.compact(&Job::default()).expect("a healthy disk"),
                End::Flushed => {
                    // What only memory has makes a commit flush. It is gone before that.
                    flush(&collection, &schema);
                }
                End::Logged => {}
            }
        }
    }
    drop(database);
    let os = OsDisk;
    for (path, mut bytes) in files::dump(&disk) {
        let below = path.strip_prefix(DIR).expect("all files are below it");
        let name = Path::new(below).file_name().expect("a file's name");
        if name == "LOCK" || name == "spare" {
            continue;
        }
        if path.ends_with(".wal") {
            // Blocks that were reserved and never written.
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            bytes.truncate((used + 1).next_multiple_of(512));
        }
        let target = golden_dir(newest.folder).join(below.trim_start_matches('/'));
        make_dirs(&os, target.parent().expect("a directory"));
        let _ = os.remove_file(&target);
        let file = os.create(&target).expect("a new file");
        file.write_at(0, &bytes).expect("room");
    }
}

fn flush(collection: &Arc<Collection>, schema: &Schema) {
    for kind in [WriteKind::Upsert, WriteKind::Delete] {
        let mut plan = planned(schema, &[60_000], kind, 0);
        plan.durability = Durability::Memory;
        let written = collection.write(plan.batch(schema), plan.options());
        written.expect("memory takes it");
    }
    collection.commit().expect("a healthy disk");
}

fn make_dirs(os: &OsDisk, dir: &Path) {
    if os.entry(dir).expect("readable").is_none() {
        make_dirs(os, dir.parent().expect("below the root"));
        os.create_dir(dir).expect("a new directory");
    }
}

fn golden_dir(fixture: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    golden.join(fixture)
}

/// The committed files, as they stand on a disk of their own.
fn committed(fixture: &str) -> files::Files {
    let mut files = Vec::new();
    let mut to_visit = vec![PathBuf::new()];
    while let Some(dir) = to_visit.pop() {
        for entry in OsDisk
            .list(&golden_dir(fixture).join(&dir))
            .expect("golden files")
        {
            let below = dir.join(&entry.name);
            if entry.kind == EntryKind::Dir {
                to_visit.push(below);
                continue;
            }
            let file = OsDisk.open(&golden_dir(fixture).join(&below), Access::Read);
            let file: Arc<dyn DiskFile> = file.expect("a golden file");
            let length = file.len().expect("its length");
            let mut bytes = vec![0; usize::try_from(length).expect("a small file")];
            file.read_exact_at(0, &mut bytes).expect("its bytes");
            let path = Path::new(DIR).join(below);
            files.push((path.display().to_string(), bytes));
        }
    }
    files.sort();
    files
}

fn disk_of(fixture: &Fixture, files: &files::Files) -> SimDisk {
    // Directories that hold nothing are not committed.
    let roots = (1..=fixture.names.len()).map(|id| format!("{DIR}/collections/{id:016x}"));
    let dirs: Vec<String> = roots
        .flat_map(|root| ["wal", "seg", "del", "manifest"].map(|dir| format!("{root}/{dir}")))
        .collect();
    let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
    files::load(files, &dirs)
}

/// Compares everything, and returns how many records there are.
fn reads_back(fixture: &Fixture, database: &Database) -> usize {
    let report = database.verify(&Job::default()).expect("a report");
    assert_eq!(report.problems, []);
    let mut records = 0;
    for (first, &name) in (0..).zip(fixture.names) {
        let collection = database.open_collection(name).expect("a golden one");
        assert_eq!(*collection.schema(), schema(name), "{name}");
        let snapshot = collection.snapshot().expect("an open collection");
        let everything = Select {
            fields: SelectFields::All,
            vectors: true,
        };
        let scan = snapshot.scan(None).expect("an open collection");
        let page = { scan }.next_page(5_000, &everything).expect("its records");
        let found: State = page.into_iter().map(data::rec).collect();
        let expected = expected(name, first * BATCHES + 1);
        let difference = crash::model::difference(&expected, &found);
        assert!(found == expected, "{name}: {difference}");
        assert_eq!(snapshot.count(), expected.len() as u64);
        assert_eq!(snapshot.version(), (first + 1) * BATCHES);
        records += found.len();
        for (key, rec) in expected.iter().step_by(expected.len() / 7) {
            let request = SearchRequest {
                effort: Effort::EfSearch(200),
                ..SearchRequest::new(&rec.vectors[0], 40)
            };
            let hits = snapshot.search(&request, &Stop::never()).expect("a search");
            let keys: Vec<_> = hits.keys.iter().map(|key| key.to_buf()).collect();
            assert!(keys.contains(key) || name == "two", "{name}: {key:?}");
        }
        let stats = collection.stats().expect("an open collection");
        assert_eq!(stats.segments[0].index, index(name), "{name}");
        assert_eq!(stats.code_bytes > 0, name == "coded", "{name}");
        assert_eq!(stats.segments.len(), 2, "{name}");
    }
    records
}

#[test]
fn a_reader_reads_the_first_format_and_writes_nothing() {
    for fixture in &FIXTURES {
        let disk = disk_of(fixture, &committed(fixture.folder));
        let before = disk.op_count();
        let machine = Machine::on(&disk, 1);
        let reader = Database::open_read_only(machine.env, Path::new(DIR), Options::default());
        let reader = reader.expect("the first format opens");
        reads_back(fixture, &reader);
        reader.refresh().expect("nothing new");
        assert_eq!(disk.op_count(), before);
    }
}

#[test]
fn the_first_format_reads_back_exactly_and_is_not_touched() {
    if std::env::var_os("CAIRN_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    for fixture in &FIXTURES {
        let files = committed(fixture.folder);
        let disk = disk_of(fixture, &files);
        let before = disk.op_count();
        let machine = Machine::on(&disk, 1);
        let database = Database::open(machine.env, Path::new(DIR), Options::default());
        let database = database.expect("the first format opens");
        let records = reads_back(fixture, &database);
        drop(database);
        let touched: Vec<String> = disk
            .trace()
            .split_off(before)
            .into_iter()
            .filter(|line| !line.contains("/LOCK") && !line.contains("sync_dir"))
            .collect();
        assert!(touched.is_empty(), "reading writes nothing: {touched:?}");
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        println!(
            "golden {}: {} files, {bytes} bytes, {records} records",
            fixture.folder,
            files.len()
        );
    }
}

#[test]
fn the_first_format_is_written_to_and_goes_on() {
    for fixture in &FIXTURES {
        goes_on(fixture);
    }
}

fn goes_on(fixture: &Fixture) {
    let disk = disk_of(fixture, &committed(fixture.folder));
    let open = |seed| {
        let machine = Machine::on(&disk, seed);
        let opened = Database::open(machine.env, Path::new(DIR), Options::default());
        opened.expect("the first format opens")
    };
    let database = open(1);
    for &name in fixture.names {
        let collection = database.open_collection(name).expect("a golden one");
        let plan = planned(&schema(name), &[0, 50_000], WriteKind::Upsert, 9);
        let written = collection.write(plan.batch(&schema(name)), plan.options());
        let written = written.expect("a healthy disk");
        assert_eq!((written.inserted, written.updated), (1, 1), "{name}");
        collection.compact(&Job::default()).expect("a healthy disk");
    }
    drop(database);
    let database = open(2);
    for (first, &name) in (0..).zip(fixture.names) {
        let collection = database.open_collection(name).expect("a golden one");
        let snapshot = collection.snapshot().expect("open");
        let mut before = expected(name, first * BATCHES + 1);
        assert_eq!(snapshot.count(), before.len() as u64 + 1);
        // What was not written to has gone through a merge, fields and all.
        let everything = Select {
            fields: SelectFields::All,
            vectors: true,
        };
        let scan = snapshot.scan(None).expect("an open collection");
        let page = { scan }.next_page(5_000, &everything).expect("its records");
        let mut found: State = page.into_iter().map(data::rec).collect();
        for key in [0, 50_000] {
            let key = data::key(schema(name).key, key);
            found.remove(&key);
            before.remove(&key);
        }
        assert!(found == before, "{name}");
    }
}
