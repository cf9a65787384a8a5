//! What the tests of this crate share: schemas, batches, homes, and a slow, obvious oracle.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unused_imports, reason = "each test file uses its own part of this")]

pub mod disk;
pub mod fields;
pub mod model;
pub mod threads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, Extra, IndexKind, Key, KeyBuf, KeyType, Keys, MetricName, Options,
    Payloads, Quantize, Schema, Select, SelectFields, VectorColumn, VectorField, VectorKind,
    WriteBatch, WriteKind, WriteOptions,
};
use cairn_env::{Disk, EntryKind, Env, OsDisk};
use cairn_testkit::TempDir;

pub use disk::WatchedDisk;
pub use fields::{Fields, Value, decode, encode};
pub use model::Model;
pub use threads::{BusyThreads, HeldThreads};

/// Every metric of a schema.
pub const METRICS: [MetricName; 4] = [
    MetricName::Cosine,
    MetricName::L2,
    MetricName::Dot,
    MetricName::L1,
];

/// A vector field.
pub fn vector_field(name: &str, dim: u32, metric: MetricName, index: IndexKind) -> VectorField {
    VectorField {
        name: name.into(),
        dim,
        metric,
        index,
        kind: VectorKind::F32,
        quantize: Quantize::None,
    }
}

/// A schema of these vector fields.
pub fn schema(key: KeyType, vectors: Vec<VectorField>) -> Schema {
    Schema {
        key,
        vectors,
        fields: Vec::new(),
        extra: Extra::Allow,
        expires_at: None,
    }
}

/// A schema of one vector field, `vector`.
pub fn plain(key: KeyType, dim: u32, metric: MetricName) -> Schema {
    schema(
        key,
        vec![vector_field("vector", dim, metric, IndexKind::Auto)],
    )
}

/// A string key.
pub fn text(key: impl Into<String>) -> KeyBuf {
    KeyBuf::Str(key.into().into())
}

/// A number key.
pub fn number(key: u64) -> KeyBuf {
    KeyBuf::U64(key)
}

/// One row of a batch, as a caller thinks of it.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: KeyBuf,
    /// One entry for each vector field of the schema.
    pub vectors: Vec<Option<Vec<f32>>>,
    pub fields: Option<Fields>,
}

impl Row {
    /// A row of a schema with one vector field.
    pub fn new(key: KeyBuf, vector: &[f32]) -> Self {
        Self::of(key, vec![Some(vector.to_vec())])
    }

    pub fn of(key: KeyBuf, vectors: Vec<Option<Vec<f32>>>) -> Self {
        Self {
            key,
            vectors,
            fields: None,
        }
    }

    /// With one more field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let fields = self.fields.get_or_insert_default();
        fields.insert(name.into(), value.into());
        self
    }
}

/// A column of keys.
pub fn keys<'a>(key_type: KeyType, keys: impl IntoIterator<Item = &'a KeyBuf>) -> Keys {
    let mut column = Keys::new(key_type);
    for key in keys {
        column.push(key.as_key());
    }
    column
}

/// Rows as one batch. A column of which no row has anything is left out.
pub fn batch(schema: &Schema, kind: WriteKind, rows: &[Row]) -> WriteBatch {
    let vectors = schema.vectors.iter().enumerate().map(|(field, _)| {
        let present: Vec<bool> = rows.iter().map(|r| r.vectors[field].is_some()).collect();
        let given = rows.iter().filter_map(|r| r.vectors[field].as_ref());
        let data: Vec<f32> = given.flatten().copied().collect();
        present.iter().any(|&p| p).then(|| VectorColumn {
            data,
            present: present.contains(&false).then_some(present),
        })
    });
    let payloads = rows.iter().any(|row| row.fields.is_some()).then(|| {
        let mut payloads = Payloads::default();
        for row in rows {
            let encoded = row.fields.as_ref().map(encode).unwrap_or_default();
            payloads.push(&encoded);
        }
        payloads
    });
    WriteBatch {
        kind,
        keys: keys(schema.key, rows.iter().map(|row| &row.key)),
        vectors: if kind == WriteKind::Delete {
            Vec::new()
        } else {
            vectors.collect()
        },
        payloads,
    }
}

/// Keys to be removed, as one batch.
pub fn removal(schema: &Schema, gone: &[KeyBuf]) -> WriteBatch {
    WriteBatch {
        kind: WriteKind::Delete,
        keys: keys(schema.key, gone),
        vectors: Vec::new(),
        payloads: None,
    }
}

/// The usual update: merges fields, fails for a missing key.
pub const UPDATE: WriteKind = WriteKind::Update {
    replace_fields: false,
    skip_missing: false,
};

/// Writes rows and expects that to work.
pub fn put(collection: &Arc<Collection>, rows: &[Row]) -> cairn_engine::WriteResult {
    let upsert = batch(collection.schema(), WriteKind::Upsert, rows);
    collection
        .write(upsert, WriteOptions::default())
        .expect("an upsert of good rows works")
}

/// Removes keys and expects that to work.
pub fn remove(collection: &Arc<Collection>, gone: &[KeyBuf]) -> cairn_engine::WriteResult {
    let delete = removal(collection.schema(), gone);
    collection
        .write(delete, WriteOptions::default())
        .expect("a delete works")
}

/// All fields and all vectors.
pub fn everything() -> Select {
    Select {
        fields: SelectFields::All,
        vectors: true,
    }
}

/// The smallest memtable there is, so that flushes and compactions are many.
pub fn small() -> Options {
    Options {
        memtable_bytes: 64 * 1024,
        ..Options::default()
    }
}

/// A place for a database: memory, or a directory that is removed at the end.
pub struct Home {
    pub env: Env,
    path: PathBuf,
    threads: BusyThreads,
    _dir: Option<TempDir>,
}

impl Home {
    pub fn memory() -> Self {
        Self::on(Env::memory(2))
    }

    pub fn directory(name: &str) -> Self {
        let dir = TempDir::new(name);
        Self {
            path: dir.path().join("db"),
            _dir: Some(dir),
            ..Self::on(Env::os(2))
        }
    }

    /// On any environment whose root directory takes a database.
    pub fn on(env: Env) -> Self {
        let threads = BusyThreads::around(Arc::clone(&env.threads));
        Self {
            env: Env {
                threads: Arc::new(threads.clone()),
                ..env
            },
            path: PathBuf::from("/db"),
            threads,
            _dir: None,
        }
    }

    /// Waits until no thread works for it.
    pub fn idle(&self) {
        within(120, "background work ends", || self.threads.is_idle());
    }

    /// Waits until all background work has ended, none of it with an error.
    pub fn at_rest(&self, collection: &Arc<Collection>) {
        self.idle();
        let stats = collection.stats().expect("statistics");
        assert_eq!(stats.last_background_error, None);
        assert_eq!(stats.frozen_memtables, 0);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn open(&self, options: Options) -> Arc<Database> {
        Database::open(self.env.clone(), &self.path, options).expect("the home opens")
    }

    /// Every file below the database, with its contents.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        gather(&*self.env.disk, &self.path, &mut files);
        files
    }
}

/// The first segment of a database.
pub fn segment(home: &Home) -> PathBuf {
    let files = home.files().into_iter().map(|(path, _)| path);
    let mut segments = files.filter(|path| path.extension().is_some_and(|it| it == "seg"));
    segments.next().expect("a segment")
}

/// The key of a collection that is keyed by numbers.
pub fn key_of(key: Key<'_>) -> u64 {
    match key {
        Key::U64(key) => key,
        Key::Str(key) => panic!("{key}"),
    }
}

/// Reciprocal ranks of the best hundred of each list.
pub fn fused(lists: &[Vec<u64>]) -> BTreeMap<u64, f64> {
    let mut scores = BTreeMap::new();
    for list in lists {
        for (rank, key) in (1..).zip(list.iter().take(100)) {
            *scores.entry(*key).or_insert(0.0) += 1.0 / (60.0 + f64::from(rank));
        }
    }
    scores
}

/// Appends every file below `dir`, with its contents.
pub fn gather(disk: &dyn Disk, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in disk.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Dir => gather(disk, &path, files),
            EntryKind::Other => {}
            EntryKind::File => {
                // A background job may remove a file between the listing and here.
                let Ok(file) = disk.open(&path, cairn_env::Access::Read) else {
                    continue;
                };
                let length = usize::try_from(file.len().expect("a length")).expect("a small file");
                let mut bytes = vec![0; length];
                let read = file.read_at(0, &mut bytes).expect("a readable file");
                bytes.truncate(read);
                files.push((path, bytes));
            }
        }
    }
}

/// Waits until `condition` holds, half a minute at most.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(30, what, condition);
}

/// Waits until `condition` holds, so many seconds at most.
pub fn within(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    use cairn_env::Clock;
    let clock = cairn_env::OsClock::new();
    while !condition() {
        assert!(clock.now().as_secs() < seconds, "waited in vain: {what}");
        clock.sleep(std::time::Duration::from_millis(2));
    }
}
