//! Every value of a manifest is what somebody else counts over the same records: how many rows, which
//! keys and versions, where the vectors lie, what is deleted, how long the files are; after flushes,
//! deletions, replacements, merges and restarts, for both types of keys and every metric.
//!
//! The manifest is decoded here, field by field, and one that is not known fails the test. What it says
//! is counted from what was written, not from what is stored; segments are asked for the keys and
//! versions of their rows alone.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Collection, Compaction, Database, Durability, IndexKind, Job, KeyBuf, KeyType, MetricName,
    Options, Schema, VectorField, VectorKind, WriteKind, WriteOptions, multi_vector, sparse_vector,
};
use cairn_storage::{SectionId, SegmentReader, crc32c, load, read_current};
use cairn_testkit::{Rng, SimDisk, seed_from_env, sim_env};
use serde::Deserialize;

use crate::common;
use crate::forge::KINDS;
use common::{Home, Row, batch, number, removal, schema, text, vector_field};

const ROOT: &str = "/db/collections/0000000000000001";
const KEYS: u32 = 2;
const VERSIONS: u32 = 3;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u64,
    collection: u64,
    flushed_lsn: u64,
    segments: Vec<Segment>,
    #[serde(default)]
    unlogged_lsn: u64,
    outcomes: Option<Outcomes>,
    #[serde(default)]
    stretch: Vec<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    id: [u8; 16],
    file: File,
    rows: u32,
    lsn_min: u64,
    lsn_max: u64,
    key_min: StoredKey,
    key_max: StoredKey,
    spread: Vec<Spread>,
    deletions: Option<Deletions>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bytes: u64,
    checksum: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletions {
    file: File,
    lsn: u64,
    rows: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcomes {
    file: File,
    lsn: u64,
    count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spread {
    centroid: Vec<f32>,
    radius: f32,
}

#[derive(Debug, Deserialize)]
enum StoredKey {
    Str(String),
    U64(u64),
}

impl StoredKey {
    fn to_key(&self) -> KeyBuf {
        match self {
            Self::Str(key) => text(key.as_str()),
            Self::U64(key) => number(*key),
        }
    }
}

/// Every metric over every type of vectors that it can have.
fn shape(key: KeyType, index: &IndexKind) -> Schema {
    let fields = [
        (VectorKind::F32, 5, MetricName::Cosine),
        (VectorKind::F32, 3, MetricName::L2),
        (VectorKind::F32, 4, MetricName::Dot),
        (VectorKind::F32, 6, MetricName::L1),
        (VectorKind::F16, 3, MetricName::Cosine),
        (VectorKind::F16, 2, MetricName::L2),
        (VectorKind::I8, 4, MetricName::Cosine),
        (VectorKind::I8, 3, MetricName::L1),
        (VectorKind::Binary, 16, MetricName::Hamming),
        (VectorKind::Sparse, 9, MetricName::Dot),
        (VectorKind::Multi, 2, MetricName::L2),
    ];
    let field = |(number, (kind, dim, metric)): (usize, _)| {
        let index = match kind {
            VectorKind::Sparse | VectorKind::Multi => IndexKind::Auto,
            _ => index.clone(),
        };
        VectorField {
            kind,
            ..vector_field(&format!("v{number}"), dim, metric, index)
        }
    };
    schema(key, fields.into_iter().enumerate().map(field).collect())
}

/// A vector that every type stores as it is, and that is not zero.
fn vector(rng: &mut Rng, field: &VectorField) -> Vec<f32> {
    let dim = field.dim as usize;
    let mut whole = |len: usize| -> Vec<f32> {
        let mut vector: Vec<f32> = (0..len).map(|_| rng.below(100) as f32 - 50.0).collect();
        vector[0] = 1.0 + rng.below(50) as f32;
        vector
    };
    match field.kind {
        VectorKind::F32 => (whole(dim).into_iter()).map(|x| x / 7.0).collect(),
        VectorKind::F16 | VectorKind::I8 => whole(dim),
        VectorKind::Binary => (0..dim / 8).map(|_| rng.below(256) as f32).collect(),
        VectorKind::Sparse => sparse_vector(&[0, 3, 8], &whole(3)),
        VectorKind::Multi => multi_vector(&whole(3 * dim), dim),
    }
}

/// One record written or removed.
struct Change {
    version: u64,
    key: KeyBuf,
    vectors: Option<Vec<Vec<f32>>>,
}

struct Life {
    home: Home,
    database: Arc<Database>,
    collection: Arc<Collection>,
    rng: Rng,
    key: fn(u64) -> KeyBuf,
    /// In the order in which they came.
    changes: Vec<Change>,
    /// Versions of writes with an idempotency key.
    keyed: Vec<u64>,
    /// Versions of writes that only memory had, and what was flushed then.
    unlogged: Vec<u64>,
    /// The last manifest that was looked at.
    manifest: u64,
}

fn options() -> Options {
    Options {
        // Merges when it is told.
        compaction: Compaction::None,
        ..Options::default()
    }
}

impl Life {
    fn begin(seed: u64, key_type: KeyType, index: &IndexKind) -> Self {
        let home = Home::on(sim_env(&SimDisk::new()));
        let database = home.open(options());
        let collection = database.create_collection("c", shape(key_type, index));
        Self {
            collection: collection.unwrap(),
            home,
            database,
            rng: Rng::new(seed),
            key: match key_type {
                // Not in the order of their numbers.
                KeyType::String => |n| text(format!("{:x}", n.wrapping_mul(0x9e37_79b9))),
                KeyType::U64 => |n| number(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            },
            changes: Vec::new(),
            keyed: Vec::new(),
            unlogged: Vec::new(),
            manifest: 0,
        }
    }

    fn put(&mut self, keys: impl Iterator<Item = u64>, durability: Durability) {
        let schema = self.collection.schema().clone();
        let rows: Vec<Row> = keys
            .map(|key| {
                let fields = schema.vectors.iter();
                let vectors = fields.map(|field| Some(vector(&mut self.rng, field)));
                Row::of((self.key)(key), vectors.collect())
            })
            .collect();
        let upsert = batch(&schema, WriteKind::Upsert, &rows);
        let is_keyed = self.rng.chance(0.5);
        let options = WriteOptions {
            durability: Some(durability),
            idempotency_key: is_keyed.then(|| format!("write {}", self.changes.len())),
            ..WriteOptions::default()
        };
        let version = self.collection.write(upsert, options).unwrap().version;
        if is_keyed {
            self.keyed.push(version);
        }
        if durability == Durability::Memory {
            self.unlogged.push(version);
        }
        self.changes.extend(rows.into_iter().map(|row| Change {
            version,
            key: row.key,
            vectors: Some(row.vectors.into_iter().flatten().collect()),
        }));
    }

    fn remove(&mut self, keys: impl Iterator<Item = u64>) {
        let gone: Vec<KeyBuf> = keys.map(self.key).collect();
        let batch = removal(self.collection.schema(), &gone);
        let done = self.collection.write(batch, WriteOptions::default());
        let version = done.unwrap().version;
        self.changes.extend(gone.into_iter().map(|key| Change {
            version,
            key,
            vectors: None,
        }));
    }

    /// A flush: of something that only memory has.
    fn flush(&mut self) {
        self.put(std::iter::once(1_000_000), Durability::Memory);
        self.collection.commit().unwrap();
    }

    fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = self.home.open(options());
        self.collection = self.database.open_collection("c").unwrap();
    }

    /// The manifest that counts.
    fn read(&self) -> Manifest {
        let (env, root) = (&self.home.env, Path::new(ROOT));
        let version = read_current(env, root).unwrap().unwrap();
        let body = load(env, root, "manifest", "man", version).unwrap();
        let manifest: Manifest = rmp_serde::from_slice(&body).unwrap();
        assert_eq!(manifest.version, version);
        manifest
    }

    /// Which version of which key lived last, at `lsn`.
    fn live_at(&self, lsn: u64) -> BTreeMap<KeyBuf, u64> {
        let mut live = BTreeMap::new();
        for change in self.changes.iter().filter(|it| it.version <= lsn) {
            match change.vectors {
                Some(_) => live.insert(change.key.clone(), change.version),
                None => live.remove(&change.key),
            };
        }
        live
    }

    /// Compares the manifest with all that was written, and returns how many segments it lists.
    fn check(&mut self, what: &str) -> usize {
        let manifest = self.read();
        assert!(
            manifest.version >= self.manifest,
            "{what}: they are counted"
        );
        self.manifest = manifest.version;
        assert_eq!(manifest.collection, 1, "{what}");
        assert!(manifest.stretch.is_empty(), "{what}: nobody tuned anything");
        let flushed = manifest.flushed_lsn;
        let newest = |versions: &[u64]| {
            let flushed = versions.iter().copied().filter(|it| *it <= flushed);
            flushed.max().unwrap_or(0)
        };
        // A flush takes all that was written until then; of each, something only memory had.
        assert_eq!(manifest.unlogged_lsn, newest(&self.unlogged), "{what}");
        let remembered = self.keyed.iter().filter(|it| **it <= flushed).count();
        match &manifest.outcomes {
            None => assert_eq!(remembered, 0, "{what}"),
            Some(outcomes) => {
                assert_eq!(outcomes.count as usize, remembered, "{what}");
                assert_eq!(outcomes.lsn, newest(&self.keyed), "{what}");
                let path = Path::new(ROOT).join(format!("idem/{:020}.idm", outcomes.lsn));
                self.check_file(&path, &outcomes.file, what);
            }
        }
        let mut live = BTreeMap::new();
        for (number, segment) in manifest.segments.iter().enumerate() {
            let what = format!("{what}, segment {number}");
            for (key, version) in self.check_segment(segment, flushed, &what) {
                let before = live.insert(key, version);
                assert_eq!(before, None, "{what}: a key is alive once");
            }
        }
        assert!(live == self.live_at(flushed), "{what}: at {flushed}");
        manifest.segments.len()
    }

    /// Returns the rows that live.
    fn check_segment(&self, segment: &Segment, flushed: u64, what: &str) -> Vec<(KeyBuf, u64)> {
        let id = ulid(segment.id);
        let path = Path::new(ROOT).join(format!("seg/{id}.seg"));
        self.check_file(&path, &segment.file, what);
        let rows = self.rows_of(&path, segment.rows as usize);
        let keys: BTreeSet<&KeyBuf> = rows.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), segment.rows as usize, "{what}");
        assert_eq!(segment.key_min.to_key(), **keys.first().unwrap(), "{what}");
        assert_eq!(segment.key_max.to_key(), **keys.last().unwrap(), "{what}");
        let mut versions: Vec<u64> = rows.iter().map(|(_, version)| *version).collect();
        versions.sort_unstable();
        assert_eq!(Some(&segment.lsn_min), versions.first(), "{what}");
        assert_eq!(Some(&segment.lsn_max), versions.last(), "{what}");
        assert!(segment.lsn_max <= flushed, "{what}");

        let written: BTreeMap<(&KeyBuf, u64), &Vec<Vec<f32>>> = (self.changes.iter())
            .filter_map(|it| Some(((&it.key, it.version), it.vectors.as_ref()?)))
            .collect();
        let records: Vec<&Vec<Vec<f32>>> = (rows.iter())
            .map(|(key, version)| written[&(key, *version)])
            .collect();
        let fields = &self.collection.schema().vectors;
        assert_eq!(segment.spread.len(), fields.len(), "{what}");
        for (number, (field, spread)) in fields.iter().zip(&segment.spread).enumerate() {
            let vectors: Vec<&[f32]> = records.iter().map(|it| &it[number][..]).collect();
            let what = format!("{what}: {:?} under {:?}", field.kind, field.metric);
            check_spread(field, &vectors, spread, &what);
        }

        let live = self.live_at(flushed);
        let (kept, dead): (Vec<_>, Vec<_>) =
            (rows.into_iter()).partition(|(key, version)| live.get(key) == Some(version));
        match &segment.deletions {
            None => assert_eq!(dead.len(), 0, "{what}: {dead:?}"),
            Some(deletions) => {
                assert_eq!(deletions.rows as usize, dead.len(), "{what}");
                assert!(deletions.rows > 0 && deletions.lsn <= flushed, "{what}");
                let path = format!("del/{id}-{:020}.del", deletions.lsn);
                self.check_file(&Path::new(ROOT).join(path), &deletions.file, what);
            }
        }
        kept
    }

    /// Keys and versions, as FORMAT.md says that they are stored.
    fn rows_of(&self, path: &Path, rows: usize) -> Vec<(KeyBuf, u64)> {
        let reader = SegmentReader::open(&self.home.env, path, None, &KINDS).unwrap();
        let read = |kind| reader.read(SectionId { kind, field: 0 }).unwrap();
        let (keys, versions) = (read(KEYS), read(VERSIONS));
        assert_eq!(versions.len(), 8 * rows);
        let long = |at: &[u8]| u64::from_le_bytes(at.try_into().unwrap());
        let keys: Vec<KeyBuf> = match self.collection.schema().key {
            KeyType::U64 => keys.chunks(8).map(|bytes| number(long(bytes))).collect(),
            KeyType::String => {
                let (ends, bytes) = keys.split_at(4 * rows);
                let end = |at: &[u8]| u32::from_le_bytes(at.try_into().unwrap()) as usize;
                let ends: Vec<usize> = ends.chunks(4).map(end).collect();
                let starts = std::iter::once(0).chain(ends.iter().copied());
                starts
                    .zip(&ends)
                    .map(|(start, end)| text(str::from_utf8(&bytes[start..*end]).unwrap()))
                    .collect()
            }
        };
        keys.into_iter().zip(versions.chunks(8).map(long)).collect()
    }

    /// Its length, and the checksum of its header and footer: at its end, and computed once more.
    fn check_file(&self, path: &Path, file: &File, what: &str) {
        let all = self.home.files();
        let (_, bytes) = all.iter().find(|(it, _)| it == path).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes, "{what}: {}", path.display());
        let trailer = &bytes[bytes.len() - 48..];
        let long = |at: usize| u64::from_le_bytes(trailer[at..at + 8].try_into().unwrap()) as usize;
        let stored = u32::from_le_bytes(trailer[40..44].try_into().unwrap());
        let (from, length) = (long(16), long(24));
        let summed = [&bytes[..64], &bytes[from..from + length]].concat();
        let path = path.display();
        assert_eq!(file.checksum, stored, "{what}: {path}");
        assert_eq!(file.checksum, crc32c(&summed), "{what}: {path}");
    }
}

/// The mean and the largest distance from it, in double precision.
fn check_spread(field: &VectorField, vectors: &[&[f32]], spread: &Spread, what: &str) {
    if matches!(
        field.kind,
        VectorKind::Binary | VectorKind::Sparse | VectorKind::Multi
    ) {
        assert_eq!(
            (&spread.centroid[..], spread.radius),
            (&[][..], 0.0),
            "{what}"
        );
        return;
    }
    let prepared: Vec<Vec<f64>> = (vectors.iter())
        .map(|vector| {
            let numbers: Vec<f64> = vector.iter().map(|x| f64::from(*x)).collect();
            let length = match field.metric {
                MetricName::Cosine => numbers.iter().map(|x| x * x).sum::<f64>().sqrt(),
                _ => 1.0,
            };
            numbers.iter().map(|x| x / length).collect()
        })
        .collect();
    let dim = field.dim as usize;
    assert_eq!(spread.centroid.len(), dim, "{what}");
    let mean = |at: usize| prepared.iter().map(|it| it[at]).sum::<f64>() / prepared.len() as f64;
    let mean: Vec<f64> = (0..dim).map(mean).collect();
    let largest = (prepared.iter().flatten()).fold(0.0_f64, |most, x| most.max(x.abs()));
    for (stored, mean) in spread.centroid.iter().zip(&mean) {
        let off = (f64::from(*stored) - mean).abs();
        assert!(off <= 1e-6 * largest, "{what}: {stored} for {mean}");
    }
    let distance = |vector: &Vec<f64>| {
        let squares = vector.iter().zip(&mean).map(|(x, m)| (x - m) * (x - m));
        squares.sum::<f64>().sqrt()
    };
    let radius = prepared.iter().map(distance).fold(0.0, f64::max);
    let off = (f64::from(spread.radius) - radius).abs();
    assert!(
        off <= 1e-5 * radius.max(largest),
        "{what}: {} for {radius}",
        spread.radius
    );
}

/// A file's name: 128 bits in Crockford's base 32.
fn ulid(id: [u8; 16]) -> String {
    let number = u128::from_be_bytes(id);
    let digit =
        |place: u32| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> (5 * place) & 31) as usize];
    (0..26)
        .rev()
        .map(|place| char::from(digit(place)))
        .collect()
}

fn live(key_type: KeyType, index: &IndexKind, rows: u64) {
    let seed = seed_from_env("CAIRN_SEED", 31);
    println!("CAIRN_SEED={seed} {key_type:?} {index:?}");
    let mut life = Life::begin(seed, key_type, index);
    assert_eq!(life.check("empty"), 0);
    for from in (0..rows).step_by(100) {
        life.put(from..rows.min(from + 100), Durability::Sync);
    }
    assert_eq!(life.check("written, not flushed"), 0);
    life.flush();
    assert_eq!(life.check("flushed"), 1);

    life.remove(5..25);
    life.put(20..60, Durability::Sync);
    assert_eq!(life.check("deleted and replaced, not flushed"), 1);
    life.reopen();
    life.check("opened again, with a log");
    life.put(rows..rows + 30, Durability::Os);
    life.flush();
    let before = life.check("with deletions");
    assert!(before >= 2, "{before}");
    life.remove(60..70);
    life.flush();
    life.check("with more deletions");

    life.collection.compact(&Job::default()).unwrap();
    assert_eq!(life.check("merged"), 1);
    life.remove(rows - 20..rows);
    life.put(70..75, Durability::Sync);
    life.flush();
    assert_eq!(life.check("deleted after a merge"), 2);
    life.reopen();
    assert_eq!(life.check("opened again"), 2);
    life.collection.compact(&Job::default()).unwrap();
    assert_eq!(life.check("merged again"), 1);
}

#[test]
fn every_value_of_a_manifest_is_what_is_counted_otherwise() {
    live(KeyType::String, &IndexKind::Flat, 300);
    live(KeyType::U64, &IndexKind::Flat, 300);
}

/// Vectors are gathered for graphs, and measured on the way.
#[test]
fn every_value_is_the_same_count_where_graphs_are_built() {
    live(KeyType::U64, &IndexKind::Auto, 1_100);
}
