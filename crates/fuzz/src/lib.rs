//! What the fuzz targets share: a small database in memory with every kind of file, taken apart and put
//! together again, and a reader that looks at everything.
//!
//! Under `--cfg fuzzing` every checksum is zero, so that what is changed gets past them: what is tested
//! is what stands behind. A target fails by a panic, by taking too much memory, or by not ending.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use cairn_engine::encryption::{KEY_BYTES, Key, NamedKey, key_id};
use cairn_engine::{
    BackupOptions, Code, Collection, Compaction, Database, DeclaredField, Durability, Extra,
    Highlight, HnswSettings, IndexKind, Job, KeyType, Keys, Language, MetricName, Options,
    Payloads, Quantize, RepairOptions, Schema, SearchRequest, Select, SelectFields, Sources, Stop,
    TextSettings, Unarchive, Unlocked, VectorColumn, VectorField, VectorKind, VerifyOptions,
    WordSource, WriteBatch, WriteKind, WriteOptions, list_backups, prune_backups, repair, restore,
    verify_backup, verify_directory,
};
use cairn_env::{Access, EntryKind, Env, InlineThreads, MemoryDisk, SeededEntropy};
use cairn_storage::{KEYS_DIR, KEYS_EXTENSION, KEYS_SUB, load, publish, read_current};
use cairn_testkit::SimClock;

/// Where the database stands.
pub const DIR: &str = "/db";

/// Fields of the rows: `{"a": 1, "t": "the sea"}` in MessagePack.
pub const FIELDS: [u8; 14] = *b"\x82\xa1a\x01\xa1t\xa7the sea";

/// An environment without threads, time or chance.
#[must_use]
pub fn env() -> Env {
    Env {
        disk: Arc::new(MemoryDisk::new()),
        clock: Arc::new(SimClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        threads: InlineThreads::shared(),
        faults: Default::default(),
        sealing: None,
    }
}

/// Opens the database that is there.
///
/// # Errors
/// What the engine says.
pub fn open(env: &Env) -> Result<Arc<Database>, cairn_engine::Error> {
    let options = Options {
        compaction: Compaction::None,
        memtable_bytes: 64 * 1024,
        ..Options::default()
    };
    Database::open(env.clone(), Path::new(DIR), options)
}

/// The schema of the collections: string keys, one vector field of two floats, one field of texts.
#[must_use]
pub fn schema(graph: bool) -> Schema {
    let hnsw = HnswSettings {
        ef_construction: 40,
        ..HnswSettings::for_m(4)
    };
    Schema {
        key: KeyType::String,
        vectors: vec![VectorField {
            name: "v".into(),
            dim: 2,
            metric: MetricName::L2,
            index: if graph {
                IndexKind::Hnsw(hnsw)
            } else {
                IndexKind::Auto
            },
            kind: VectorKind::F32,
            quantize: if graph { Quantize::Sq8 } else { Quantize::None },
        }],
        fields: vec![DeclaredField {
            name: "t".into(),
            kind: "text".into(),
            text: TextSettings {
                language: Language::English,
                weight: 2.0,
            },
        }],
        extra: Extra::Allow,
        expires_at: None,
    }
}

fn batch(kind: WriteKind, keys: std::ops::Range<u32>) -> WriteBatch {
    let mut column = Keys::new(KeyType::String);
    let mut payloads = Payloads::default();
    let mut data = Vec::new();
    for key in keys {
        column.push(cairn_engine::Key::Str(&format!("k{key}")));
        payloads.push(&FIELDS);
        data.extend([key as f32, -1.0]);
    }
    let removes = kind == WriteKind::Delete;
    let vectors = Some(VectorColumn {
        data,
        present: None,
    });
    WriteBatch {
        kind,
        keys: column,
        vectors: if removes { Vec::new() } else { vec![vectors] },
        payloads: (!removes).then_some(payloads),
    }
}

fn write(
    collection: &Arc<Collection>,
    kind: WriteKind,
    keys: std::ops::Range<u32>,
    at: Durability,
) {
    let options = WriteOptions {
        durability: Some(at),
        ..WriteOptions::default()
    };
    collection
        .write(batch(kind, keys), options)
        .expect("a good write");
}

/// A database with a catalog, manifests, segments with and without a graph, a deletion file and a log.
fn build() -> Env {
    let env = env();
    let database = open(&env).expect("a new database");
    fill(&database, &[("small", false, 20), ("graph", true, 1_100)]);
    database.close().expect("a close");
    env
}

/// Makes collections: name, whether it has a graph, rows.
fn fill(database: &Arc<Database>, collections: &[(&str, bool, u32)]) {
    for &(name, graph, rows) in collections {
        let collection = database
            .create_collection(name, schema(graph))
            .expect("a new collection");
        write(&collection, WriteKind::Upsert, 0..rows, Durability::Sync);
        collection.compact(&Job::default()).expect("a compaction");
        // Kept in memory alone, they are flushed by the commit: the deletions get a file.
        write(&collection, WriteKind::Delete, 3..6, Durability::Memory);
        collection.commit().expect("a commit");
        write(&collection, WriteKind::Upsert, 7..12, Durability::Sync);
        write(&collection, WriteKind::Delete, 8..10, Durability::Sync);
    }
}

/// The database's directories and files; those of locks left out.
pub struct Files {
    /// Parents first.
    pub dirs: Vec<PathBuf>,
    /// Each with its bytes.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// The files of a small database.
pub static SEED: LazyLock<Files> = LazyLock::new(|| {
    let found = files_below(&build(), DIR);
    assert!(found.files.len() > 8, "{} files", found.files.len());
    found
});

fn files_below(env: &Env, dir: &str) -> Files {
    let mut found = Files {
        dirs: vec![PathBuf::from(dir)],
        files: Vec::new(),
    };
    let mut next = 0;
    while let Some(dir) = found.dirs.get(next).cloned() {
        for entry in env.disk.list(&dir).expect("a listing") {
            let path = dir.join(&entry.name);
            match entry.kind {
                EntryKind::Dir => found.dirs.push(path),
                _ if entry.name == "LOCK" || entry.name == "holder" => {}
                _ => {
                    let mut bytes = read(env, &path);
                    if path.extension().is_some_and(|extension| extension == "wal") {
                        // Most of the room that a log reserves is of no interest.
                        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
                        bytes.truncate(used + 512);
                    }
                    found.files.push((path, bytes));
                }
            }
        }
        next += 1;
    }
    found
}

fn read(env: &Env, path: &Path) -> Vec<u8> {
    let file = env.disk.open(path, Access::Read).expect("a file");
    let length = usize::try_from(file.len().expect("a length")).expect("a small file");
    let mut bytes = vec![0; length];
    file.read_exact_at(0, &mut bytes).expect("its bytes");
    bytes
}

/// Writes a file anew.
pub fn put(env: &Env, path: &Path, bytes: &[u8]) {
    let _ = env.disk.remove_file(path);
    let file = env.disk.create(path).expect("a new file");
    file.write_at(0, bytes).expect("room");
}

/// The small database in an environment of its own. Files are changed by `change` first.
pub fn place(change: impl FnMut(usize, &mut Vec<u8>)) -> Env {
    place_all(&SEED, change)
}

fn place_all(files: &Files, mut change: impl FnMut(usize, &mut Vec<u8>)) -> Env {
    let env = env();
    for dir in &files.dirs {
        let _ = env.disk.create_dir(dir);
    }
    for (index, (path, bytes)) in files.files.iter().enumerate() {
        let mut bytes = bytes.clone();
        change(index, &mut bytes);
        put(&env, path, &bytes);
    }
    env
}

/// Opens what is there, reads all of it in every way, writes a little, and opens it again.
pub fn look_at_everything(env: &Env) {
    for round in 0..2 {
        let Ok(database) = open(env) else {
            return;
        };
        for info in database.collections().expect("a listing") {
            let Ok(collection) = database.open_collection(&info.name) else {
                continue;
            };
            let _ = collection.verify(&Job::default());
            let _ = collection.stats();
            read_all(&collection);
            // In the one with a graph this would take all the time there is.
            if round == 0 && collection.schema() == &schema(false) {
                let _ = collection.write(batch(WriteKind::Upsert, 5..9), WriteOptions::default());
                read_all(&collection);
                let _ = collection.compact(&Job::default());
            }
        }
        let _ = database.close();
    }
}

/// The small database with some bytes changed. Five bytes a patch: file, place (2), kind, byte.
#[must_use]
pub fn patched(bytes: &[u8]) -> Env {
    patch(&SEED, bytes)
}

fn patch(files: &Files, bytes: &[u8]) -> Env {
    let patches = bytes.as_chunks::<5>().0;
    place_all(files, |index, file| {
        for &[which, low, high, kind, byte] in patches.iter().take(16) {
            if usize::from(which) % files.files.len() != index || file.is_empty() {
                continue;
            }
            // Both ends of a file are within reach: headers at one, footers at the other.
            let near = usize::from(u16::from_le_bytes([low, high]));
            let at = match kind % 8 {
                0..=3 => near % file.len(),
                4..=6 => file.len() - 1 - near % file.len(),
                _ => {
                    file.truncate(near % file.len());
                    continue;
                }
            };
            file[at] = byte;
        }
    })
}

/// Bytes of a header of a tar, and what contents are filled up to.
const TAR_BLOCK: usize = 512;

/// An archive of a database with one small collection.
pub static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let env = env();
    let database = open(&env).expect("a new database");
    fill(&database, &[("small", false, 20)]);
    let mut archive = database.archive(None).expect("an archive");
    let mut all = Vec::new();
    loop {
        let part = archive.next(64 * 1024).expect("whole files");
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
});

/// The archive with some bytes changed and the sums of its headers right. Four bytes a patch: which header or,
/// from 128 on, the contents behind it; place (2); byte.
#[must_use]
pub fn patched_archive(bytes: &[u8]) -> Vec<u8> {
    let mut archive = ARCHIVE.clone();
    let headers = tar_headers(&archive);
    for &[which, low, high, byte] in bytes.as_chunks::<4>().0.iter().take(16) {
        let (header, next) = headers[usize::from(which % 128) % headers.len()];
        let range = if which < 128 {
            header..header + TAR_BLOCK
        } else {
            header + TAR_BLOCK..next
        };
        let place = usize::from(u16::from_le_bytes([low, high]));
        if let Some(part) = archive.get_mut(range).filter(|part| !part.is_empty()) {
            part[place % part.len()] = byte;
        }
    }
    for (header, _) in headers {
        let block = &mut archive[header..header + TAR_BLOCK];
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}

/// Where each header of a good archive begins, and the next one.
fn tar_headers(archive: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while archive[at..at + TAR_BLOCK].iter().any(|&byte| byte != 0) {
        let digits = std::str::from_utf8(&archive[at + 124..at + 135]).expect("digits");
        let bytes = usize::from_str_radix(digits, 8).expect("a length");
        let next = at + TAR_BLOCK + bytes.next_multiple_of(TAR_BLOCK);
        found.push((at, next));
        at = next;
    }
    found
}

/// Makes a database of an archive, in pieces of `piece` bytes, and looks at everything in it.
pub fn unpack(archive: &[u8], piece: usize) {
    let env = env();
    let dir = Path::new(DIR);
    let mut reader = Unarchive::new(&env, dir, &Options::default()).expect("an empty place");
    let taken = archive
        .chunks(piece.max(1))
        .try_for_each(|part| reader.write(part));
    let made = taken.and_then(|()| reader.finish());
    match made {
        Ok(_) => look_at_everything(&env),
        Err(error) => {
            assert_ne!(error.code(), Code::Internal, "{error}");
            assert_eq!(
                env.disk.entry(dir).expect("an answer"),
                None,
                "something was left"
            );
        }
    }
}

/// Where the backups stand.
const BACKUPS: &str = "/backups";

/// A directory with two backups of a small database, the second of which shares files with the first.
static BACKUPS_SEED: LazyLock<Files> = LazyLock::new(|| {
    let env = env();
    let database = open(&env).expect("a new database");
    fill(&database, &[("small", false, 20)]);
    for _ in 0..2 {
        let (target, options) = (Path::new(BACKUPS), BackupOptions::default());
        database
            .backup(&env, target, &options, &Job::default())
            .expect("a backup");
        let collection = database.open_collection("small").expect("it is there");
        write(&collection, WriteKind::Upsert, 15..25, Durability::Sync);
    }
    let found = files_below(&env, BACKUPS);
    assert!(found.files.len() > 3, "{} files", found.files.len());
    found
});

/// A directory of backups with patches as in [`patched`]: lists, checks, restores and prunes them.
pub fn look_at_backups(bytes: &[u8]) {
    let env = patch(&BACKUPS_SEED, bytes);
    let (target, job, options) = (Path::new(BACKUPS), Job::default(), Options::default());
    let is_bug = |error: &cairn_engine::Error| error.code() == Code::Internal;
    let _ = verify_backup(&env, target, None, &job).inspect_err(|error| assert!(!is_bug(error)));
    let listed = list_backups(&env, target).expect("a listing of any damage");
    for info in &listed {
        let into = Path::new(DIR);
        let restored = restore(&env, target, into, Some(info.id), None, &options, &job);
        match restored {
            Ok(_) => look_at_everything(&env),
            Err(error) => assert!(!is_bug(&error), "{error}"),
        }
        remove_all(&env, into);
    }
    let _ = prune_backups(&env, target, 1, &options).inspect_err(|error| assert!(!is_bug(error)));
}

fn remove_all(env: &Env, dir: &Path) {
    for entry in env.disk.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Dir {
            remove_all(env, &path);
        } else {
            env.disk.remove_file(&path).expect("a file that is there");
        }
    }
    let _ = env.disk.remove_dir(dir);
}

/// The key of the encrypted database.
fn key() -> NamedKey {
    NamedKey {
        id: "fuzz".to_owned(),
        key: Key::new(&[7; KEY_BYTES]),
    }
}

fn sealed_options() -> Options {
    Options {
        encryption: Some(Arc::new(key())),
        compaction: Compaction::None,
        ..Options::default()
    }
}

/// A small database that is encrypted.
static SEALED_SEED: LazyLock<Files> = LazyLock::new(|| {
    let env = env();
    let database =
        Database::open(env.clone(), Path::new(DIR), sealed_options()).expect("a new one");
    fill(&database, &[("small", false, 20)]);
    database.close().expect("a close");
    files_below(&env, DIR)
});

/// The body of its key set.
#[must_use]
pub fn key_set() -> Vec<u8> {
    let env = place_all(&SEALED_SEED, |_, _| {});
    let dir = Path::new(DIR).join(KEYS_DIR);
    let version = read_current(&env, &dir).expect("an answer").expect("a set");
    load(&env, &dir, KEYS_SUB, KEYS_EXTENSION, version).expect("its body")
}

/// Opens the encrypted database with another body of its key set, with a key and without.
pub fn open_with_key_set(body: &[u8]) {
    let env = place_all(&SEALED_SEED, |_, _| {});
    let (root, dir) = (Path::new(DIR), Path::new(DIR).join(KEYS_DIR));
    let version = read_current(&env, &dir).expect("an answer").expect("a set");
    publish(&env, &dir, KEYS_SUB, KEYS_EXTENSION, version + 1, body).expect("room");
    let _ = key_id(&env, root);
    for options in [sealed_options(), Options::default()] {
        match Database::open(env.clone(), root, options) {
            Ok(database) => {
                let opened = database.open_collection("small").expect("it is there");
                read_all(&opened);
                database.close().expect("a close");
            }
            Err(error) => assert_ne!(error.code(), Code::Internal, "{error}"),
        }
    }
    let report = verify_directory(&env, root, &VerifyOptions::default(), &Job::default());
    let _ = report.inspect_err(|error| assert_ne!(error.code(), Code::Internal, "{error}"));
}

/// Checks what is there, and saves what is left of it into a new database, which must be a good one.
pub fn check_and_repair(env: &Env) {
    let (dir, saved) = (Path::new(DIR), Path::new("/saved"));
    let (checks, job) = (VerifyOptions::default(), Job::default());
    let report = verify_directory(env, dir, &checks, &job).expect("a report of any damage");
    let sealed = report.encryption != Unlocked::Clear;
    assert!(!sealed, "nothing is encrypted here");
    let repaired = match repair(env, dir, saved, &RepairOptions::default(), &job) {
        Ok(repaired) => repaired,
        Err(error) => {
            assert_ne!(error.code(), Code::Internal, "{error}");
            return;
        }
    };
    let report = verify_directory(env, saved, &checks, &job).expect("a report");
    assert!(report.is_ok(), "{:?}", report.problems);
    let database = Database::open(env.clone(), saved, Options::default()).expect("it opens");
    for collection in &repaired.collections {
        let opened = database
            .open_collection(&collection.name)
            .expect("it opens");
        let count = opened.snapshot().expect("it is open").count();
        assert_eq!(count, collection.records, "records are counted");
        read_all(&opened);
    }
}

fn read_all(collection: &Arc<Collection>) {
    let Ok(snapshot) = collection.snapshot() else {
        return;
    };
    let everything = Select {
        fields: SelectFields::All,
        vectors: true,
    };
    let mut rows = 0;
    if let Ok(mut scan) = snapshot.scan(None) {
        while let Ok(page) = scan.next_page(64, &everything)
            && !page.is_empty()
        {
            rows += page.len();
        }
    }
    assert!(rows <= 4_000, "{rows} rows out of nowhere");
    for field in snapshot.schema().vectors.iter().take(1) {
        if field.dim > 16 {
            continue;
        }
        let query = vec![0.5; field.dim as usize];
        let request = SearchRequest {
            select: everything.clone(),
            ..SearchRequest::new(&query, 5)
        };
        match snapshot.search(&request, &Stop::never()) {
            Ok(hits) => assert!(hits.keys.len() <= 5),
            Err(error) => assert_ne!(error.code(), Code::Internal, "{error}"),
        }
    }
    let sources = Sources {
        vectors: Vec::new(),
        words: Some(WordSource {
            words: "seas \"the sea\" s* -x",
            fields: None,
            weight: 1.0,
            highlight: Some(Highlight::Searched),
        }),
        rrf_k: 60.0,
    };
    let request = SearchRequest {
        sources: Some(&sources),
        ..SearchRequest::new(&[], 5)
    };
    match snapshot.search(&request, &Stop::never()) {
        Ok(hits) => assert!(hits.keys.len() <= 5),
        Err(error) => assert_ne!(error.code(), Code::Internal, "{error}"),
    }
}

/// A graph over `rows` rows, with the number of rows before it.
#[must_use]
pub fn graph(rows: u8) -> Vec<u8> {
    use cairn_index::{Graph, HnswConfig, Metric, Progress, SingleThread, Vectors};
    struct Silent;
    impl Progress for Silent {
        fn advance(&self, _rows: usize) {}
        fn cancelled(&self) -> bool {
            false
        }
    }
    let mut vectors = Vectors::with_capacity(2, usize::from(rows));
    for row in 0..rows {
        vectors.push(&[f32::from(row % 7), f32::from(row / 7)]);
    }
    let config = HnswConfig {
        m: 3,
        m0: 6,
        m_max: 3,
        ..HnswConfig::default()
    };
    let graph = Graph::build(&vectors, Metric::L2, &config, &SingleThread, &Silent);
    [&[rows], &graph.expect("a graph").to_bytes()[..]].concat()
}

/// Codes of `rows` rows, with the number of rows before them.
#[must_use]
pub fn coded(rows: u8) -> Vec<u8> {
    use cairn_index::{Coded, Metric, Quantisation, SingleThread, Vectors};
    let mut vectors = Vectors::with_capacity(3, usize::from(rows));
    for row in 0..rows {
        vectors.push(&[f32::from(row % 7), f32::from(row / 7), 1.0]);
    }
    let coded = Coded::new(&vectors, Metric::L2, Quantisation::Sq8, &SingleThread, &());
    let mut bytes = vec![rows];
    let put = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok::<(), std::convert::Infallible>(())
    };
    match coded.expect("codes").write(put) {
        Ok(()) => bytes,
    }
}

/// Lists over `rows` rows: what the target `lists` takes apart.
#[must_use]
pub fn lists(rows: u8) -> Vec<u8> {
    use cairn_index::ivf::{Config, Ivf, Region};
    use cairn_index::{Metric, SingleThread, Vectors};
    let mut vectors = Vectors::with_capacity(3, usize::from(rows));
    for row in 0..rows {
        vectors.push(&[f32::from(row % 7), f32::from(row / 7), 1.0]);
    }
    let config = Config {
        lists: Some(4),
        seed: 1,
    };
    let built = Ivf::build(&vectors, Metric::L2, &config, &SingleThread, &()).expect("lists");
    let mut head = Vec::new();
    let put = |part: &[u8]| {
        head.extend_from_slice(part);
        Ok::<(), std::convert::Infallible>(())
    };
    match built.head().write_head(put) {
        Ok(()) => {}
    }
    let length = u16::try_from(head.len()).expect("a small head");
    // Components less one, and the metric.
    let mut bytes = [&[rows, 2, 1][..], &length.to_le_bytes(), &head].concat();
    for region in [Region::Coarse, Region::Fine] {
        let put = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok::<(), std::convert::Infallible>(())
        };
        let written = built.write_region(region, &vectors, &SingleThread, &(), put);
        written.expect("memory");
    }
    bytes
}

/// A log of two files with two frames each, the length of the first before them.
#[must_use]
pub fn log() -> Vec<u8> {
    use cairn_storage::{FrameToWrite, Wal, WalOptions};
    let (env, dir) = (env(), Path::new("/wal"));
    env.disk.create_dir(dir).expect("a directory");
    let options = WalOptions {
        collection: 1,
        preallocate_bytes_min: 512,
        ..WalOptions::default()
    };
    let (wal, _) = Wal::open(&env, dir, options, 0, &mut |_| Ok(())).expect("a new log");
    for lsn in 1..=4 {
        let frame = FrameToWrite {
            lsn,
            kind: 1,
            body: &[b"a body"],
        };
        wal.append(&[frame], true).expect("room");
        if lsn == 2 {
            wal.rotate().expect("another file");
        }
    }
    let [first, second] = [1, 3].map(|lsn| read(&env, &dir.join(format!("{lsn:020}.wal"))));
    let length = u16::try_from(first.len())
        .expect("a small file")
        .to_le_bytes();
    [&length[..], &first[..], &second[..]].concat()
}

/// A small index of two fields, with terms that have full blocks and terms that have none.
#[must_use]
pub fn text() -> cairn_text::TextIndex {
    use cairn_text::{Analyzer, IndexBuilder, Language};
    let analyzers = [Analyzer::default(), Analyzer::new(Language::English)];
    let mut builder = IndexBuilder::new(&analyzers);
    for row in 0..140 {
        let many = format!("common word{} {}", row % 7, "often ".repeat(row % 5));
        builder.push(&[&[&many, "twice common"], &["the tides were running"]]);
    }
    builder.finish()
}
