//! Fields of records lie in compressed blocks, and come back as they were given: through the cache,
//! past it, after a merge and after a reopen. Memory for them has a limit, and what is read once does
//! not push out what is read often.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::encryption::{Key as EncryptionKey, KeyProvider, NamedKey};
use cairn_engine::{
    BlockCacheStats, Code, Collection, Compaction, Compression, Database, Filter, IndexKind, Job,
    KeyBuf, KeyType, Keys, MetricName, Options, Payloads, Schema, Select, SelectFields, Stop,
    VectorColumn, WriteBatch, WriteKind, WriteOptions,
};
use cairn_env::Env;
use cairn_storage::SegmentReader;
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use crate::forge;
use common::{Home, WatchedDisk, keys, text};

/// Fields as they are stored, by key; empty for none.
type Model = BTreeMap<u32, Vec<u8>>;

fn key(number: u32) -> KeyBuf {
    text(format!("key {number:06}"))
}

/// A map of one field, `f`, of these bytes.
fn map(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&[0x81, 0xa1, b'f', 0xc6][..], &length.to_be_bytes(), bytes].concat()
}

const HEAD: usize = 8;

fn fields_only() -> Select {
    Select {
        fields: SelectFields::All,
        vectors: false,
    }
}

fn upsert(collection: &Arc<Collection>, rows: &[(u32, Vec<u8>)]) {
    let mut payloads = Payloads::default();
    let mut data = Vec::new();
    for (number, fields) in rows {
        payloads.push(fields);
        data.extend([*number as f32, 1.0]);
    }
    let named: Vec<KeyBuf> = rows.iter().map(|(number, _)| key(*number)).collect();
    let batch = WriteBatch {
        kind: WriteKind::Upsert,
        keys: keys(KeyType::String, &named),
        vectors: vec![Some(VectorColumn {
            data,
            present: None,
        })],
        payloads: Some(payloads),
    };
    collection.write(batch, WriteOptions::default()).unwrap();
}

fn column(numbers: impl IntoIterator<Item = u32>) -> Keys {
    let named: Vec<KeyBuf> = numbers.into_iter().map(key).collect();
    keys(KeyType::String, &named)
}

/// Random fields of every kind of size: none, an empty map, text that repeats, noise, and now and
/// then as much as a record may have.
fn random_fields(rng: &mut Rng) -> Vec<u8> {
    match rng.range(0..40) {
        0..8 => Vec::new(),
        8..10 => vec![0x80],
        10..30 => map("again and ".repeat(rng.range(0..200)).as_bytes()),
        30..38 => {
            let length = rng.range(0..3_000);
            map(&rng.bytes(length))
        }
        38 => map(&vec![b'x'; rng.range(14_000..20_000)]),
        _ => map(&vec![b'y'; (1 << 20) - HEAD - rng.range(0..3)]),
    }
}

/// Reads everything in every way and compares it.
fn compare(collection: &Arc<Collection>, model: &Model, rng: &mut Rng) {
    let snapshot = collection.snapshot().unwrap();
    assert_eq!(snapshot.count(), model.len() as u64);
    // Each key twice: the second time from the cache.
    let mut order: Vec<u32> = model.keys().chain(model.keys()).copied().collect();
    rng.shuffle(&mut order);
    for chunk in order.chunks(100) {
        let found = snapshot.get(&column(chunk.iter().copied()), &fields_only());
        for (number, record) in chunk.iter().zip(found.unwrap()) {
            let record = record.expect("a record that was written");
            assert!(record.fields == model[number], "fields of {number}");
        }
    }
    let mut scan = snapshot.scan(None).unwrap();
    let mut expected = model.iter();
    loop {
        let page = scan.next_page(77, &fields_only()).unwrap();
        if page.is_empty() {
            break;
        }
        for record in page {
            let (number, fields) = expected.next().expect("no more than were written");
            assert_eq!(record.key, key(*number));
            assert!(record.fields == *fields, "fields of {number}");
        }
    }
    assert_eq!(expected.next(), None);
}

fn all_options() -> Vec<Options> {
    let sealed: Arc<dyn KeyProvider> = Arc::new(NamedKey {
        id: "k".to_owned(),
        key: EncryptionKey::new(&[7; 32]),
    });
    let mut all = Vec::new();
    for compression in [Compression::Lz4, Compression::None] {
        for encryption in [None, Some(Arc::clone(&sealed))] {
            for block_cache_bytes in [0, 300_000, 256 << 20] {
                all.push(Options {
                    compression,
                    encryption: encryption.clone(),
                    block_cache_bytes,
                    ..common::small()
                });
            }
        }
    }
    all
}

#[test]
fn each_record_has_its_own_fields_from_the_cache_and_after_a_reopen() {
    let seed = seed_from_env("CAIRN_SEED", 1);
    for options in all_options() {
        let mut rng = Rng::new(seed);
        let home = Home::memory();
        let database = home.open(options.clone());
        let mut models = [Model::new(), Model::new()];
        let names = ["one", "two"];
        for name in names {
            database.create_collection(name, shape()).unwrap();
        }
        for round in 0..6 {
            for (name, model) in names.iter().zip(&mut models) {
                let collection = database.open_collection(name).unwrap();
                let rows: BTreeMap<u32, Vec<u8>> = (0..60)
                    .map(|_| (rng.range(0..300) as u32, random_fields(&mut rng)))
                    .collect();
                let rows: Vec<(u32, Vec<u8>)> = rows.into_iter().collect();
                upsert(&collection, &rows);
                model.extend(rows);
                if round == 4 {
                    collection.compact(&Job::default()).unwrap();
                }
            }
        }
        for (name, model) in names.iter().zip(&models) {
            let collection = database.open_collection(name).unwrap();
            home.at_rest(&collection);
            compare(&collection, model, &mut rng);
        }
        let stats = database.stats().unwrap().block_cache;
        assert!(stats.bytes <= options.block_cache_bytes as u64, "{stats:?}");
        assert_eq!(stats.hits > 0, options.block_cache_bytes > 0, "{stats:?}");
        database.close().unwrap();
        drop(database);
        let database = home.open(options);
        for (name, model) in names.iter().zip(&models) {
            let collection = database.open_collection(name).unwrap();
            compare(&collection, model, &mut rng);
            let report = collection.verify(&Job::default()).unwrap();
            assert_eq!(report.problems, []);
        }
    }
}

fn shape() -> Schema {
    let field = common::vector_field("vector", 2, MetricName::L2, IndexKind::Flat);
    common::schema(KeyType::String, vec![field])
}

/// A collection of `rows` records with texts that look alike, in segments of a thousand.
fn filled(home: &Home, database: &Database, name: &str, rows: u32) -> Arc<Collection> {
    let collection = database.create_collection(name, shape()).unwrap();
    let all: Vec<(u32, Vec<u8>)> = (0..rows).map(|n| (n, sentence(n))).collect();
    for chunk in all.chunks(1_000) {
        upsert(&collection, chunk);
    }
    home.at_rest(&collection);
    collection
}

fn sentence(number: u32) -> Vec<u8> {
    let text = format!("record {number} of a collection whose records all say about the same; ");
    map(text.repeat(4).as_bytes())
}

fn unmerged() -> Options {
    Options {
        compaction: Compaction::None,
        ..common::small()
    }
}

fn segment_bytes(collection: &Arc<Collection>) -> u64 {
    let stats = collection.stats().unwrap();
    stats.segments.iter().map(|it| it.bytes_disk).sum()
}

#[test]
fn fields_that_look_alike_take_a_fraction_and_noise_takes_no_more() {
    let mut sizes = Vec::new();
    for (noise, compression) in [
        (false, Compression::None),
        (false, Compression::Lz4),
        (true, Compression::None),
        (true, Compression::Lz4),
    ] {
        let home = Home::memory();
        let database = home.open(Options {
            compression,
            ..unmerged()
        });
        let collection = if noise {
            let mut rng = Rng::new(3);
            let collection = database.create_collection("c", shape()).unwrap();
            let noise = |n| (n, map(&rng.bytes(300)));
            upsert(&collection, &(0..4_000).map(noise).collect::<Vec<_>>());
            collection
        } else {
            filled(&home, &database, "c", 4_000)
        };
        collection.compact(&Job::default()).unwrap();
        sizes.push(segment_bytes(&collection));
    }
    println!(
        "4,000 records of 300 bytes: {} bytes plain, {} with LZ4; of noise {} and {}",
        sizes[0], sizes[1], sizes[2], sizes[3]
    );
    // Vectors, keys, versions and a graph take room, too.
    assert!(sizes[1] * 3 < sizes[0], "{sizes:?}");
    assert_eq!(sizes[3], sizes[2]);
}

fn cache_of(database: &Database) -> BlockCacheStats {
    database.stats().unwrap().block_cache
}

#[test]
fn what_is_asked_for_again_comes_from_memory() {
    let home = Home::memory();
    let database = home.open(unmerged());
    let collection = filled(&home, &database, "c", 3_000);
    collection.compact(&Job::default()).unwrap();
    let snapshot = collection.snapshot().unwrap();
    let before = cache_of(&database);
    assert_eq!((before.hits, before.misses, before.bytes), (0, 0, 0));
    let all = column(0..3_000);
    snapshot.get(&all, &fields_only()).unwrap();
    let cold = cache_of(&database);
    let blocks = 3_000 * sentence(1_000).len() as u64 / (16 * 1024);
    assert!(cold.misses.abs_diff(blocks) <= blocks / 10, "{cold:?}");
    assert_eq!(cold.hits + cold.misses, 3_000);
    snapshot.get(&all, &fields_only()).unwrap();
    let warm = cache_of(&database);
    assert_eq!(warm.misses, cold.misses);
    assert_eq!(warm.hits, cold.hits + 3_000);
    assert_eq!(warm.bytes, cold.bytes);
    assert_eq!(warm.bytes_max, 256 << 20);
}

#[test]
fn the_cache_stays_inside_the_memory_budget() {
    let home = Home::memory();
    let database = home.open(Options {
        memory_budget: 4 << 20,
        ..unmerged()
    });
    assert_eq!(cache_of(&database).bytes_max, 1 << 20);
    let collection = filled(&home, &database, "c", 10_000);
    let snapshot = collection.snapshot().unwrap();
    for from in (0..10_000).step_by(500) {
        let some = column(from..from + 500);
        snapshot.get(&some, &fields_only()).unwrap();
        let stats = cache_of(&database);
        assert!(stats.bytes <= stats.bytes_max, "{stats:?}");
    }
    assert!(cache_of(&database).bytes > 900_000);
}

#[test]
fn scans_filters_and_merges_leave_the_cache_alone() {
    let home = Home::memory();
    let database = home.open(unmerged());
    let collection = filled(&home, &database, "c", 5_000);
    let snapshot = collection.snapshot().unwrap();
    snapshot.get(&column(0..50), &fields_only()).unwrap();
    let before = cache_of(&database);
    assert!(before.bytes > 0);
    let mut scan = snapshot.scan(None).unwrap();
    let mut rows = 0;
    while let page = scan.next_page(100, &fields_only()).unwrap()
        && !page.is_empty()
    {
        rows += page.len();
    }
    assert_eq!(rows, 5_000);
    assert_eq!(cache_of(&database), before);
    let filter = Filter::parse(br#"{"f":{"gte":0}}"#).unwrap();
    let matching = snapshot.count_matching(&filter, &Stop::never()).unwrap();
    assert_eq!(matching, 0, "it holds bytes, and they were all read");
    assert_eq!(cache_of(&database), before);
    // The old segments stay for the snapshot; their blocks, too.
    collection.compact(&Job::default()).unwrap();
    assert_eq!(cache_of(&database), before);
}

#[test]
fn blocks_leave_the_cache_with_their_segment() {
    let home = Home::memory();
    let database = home.open(unmerged());
    let collection = filled(&home, &database, "c", 3_000);
    let other = filled(&home, &database, "other", 1_000);
    let read = |collection: &Arc<Collection>| {
        let snapshot = collection.snapshot().unwrap();
        snapshot.get(&column(0..1_000), &fields_only()).unwrap();
    };
    read(&other);
    let others = cache_of(&database).bytes;
    assert!(others > 0);
    read(&collection);
    assert!(cache_of(&database).bytes > others);
    collection.compact(&Job::default()).unwrap();
    home.idle();
    common::eventually("the last reader lets go", || {
        cache_of(&database).bytes == others
    });
    drop(other);
    database.drop_collection("other").unwrap();
    home.idle();
    common::eventually("a collection goes with its blocks", || {
        cache_of(&database).bytes == 0
    });
}

#[test]
fn who_goes_through_all_rows_reads_far_ahead() {
    let disk = WatchedDisk::new();
    let home = Home::on(disk.env(2));
    let database = home.open(Options {
        compression: Compression::None,
        memtable_bytes: 64 << 20,
        ..unmerged()
    });
    let collection = filled(&home, &database, "c", 20_000);
    collection.compact(&Job::default()).unwrap();
    let rows = 20_000 * sentence(10_000).len();
    let snapshot = collection.snapshot().unwrap();
    let reads = || std::mem::take(&mut *disk.watch.segment_reads.lock());
    reads();
    let mut scan = snapshot.scan(None).unwrap();
    while !scan.next_page(1_000, &fields_only()).unwrap().is_empty() {}
    let scanned = reads();
    let bytes: usize = scanned.iter().sum();
    println!(
        "{rows} bytes of fields in {} reads of {bytes} bytes",
        scanned.len()
    );
    assert!(bytes < rows + rows / 10, "each byte about once");
    let large = scanned.iter().filter(|&&read| read >= 256 * 1024).count();
    assert!(large + 1 >= scanned.len(), "{scanned:?}");
    // One record costs its block.
    reads();
    snapshot.get(&column([12_345]), &fields_only()).unwrap();
    let one = reads();
    assert!(one.len() == 1 && one[0] <= 24 * 1024, "{one:?}");
}

const BLOCKS: u32 = 11;
const BLOCK_TABLE: u32 = 12;

/// Puts other bytes in the place of two sections.
fn forge(env: &Env, path: &Path, blocks: &[u8], table: &[u8]) {
    forge::forge(env, path, &|kind, body| match kind {
        BLOCKS => Some(blocks.to_vec()),
        BLOCK_TABLE => Some(table.to_vec()),
        _ => Some(body),
    });
}

/// An entry of the table.
fn entry(offset: u64, words: [u32; 5]) -> Vec<u8> {
    let mut bytes = offset.to_le_bytes().to_vec();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend([0; 4]);
    bytes
}

fn ends(ends: &[u32]) -> Vec<u8> {
    ends.iter().flat_map(|end| end.to_le_bytes()).collect()
}

/// LZ4 that says: one letter, then itself again so many times.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut packed = vec![0x1f, b'x', 1, 0];
    packed.extend(vec![0xff; bytes / 255]);
    // The last bytes of a block are literals.
    packed.extend([0, 0x50, b'x', b'x', b'x', b'x', b'x']);
    packed
}

#[test]
fn blocks_that_are_not_what_they_say_are_refused() {
    let both = |home: &Home| -> (PathBuf, Vec<u8>, Vec<u8>) {
        let files = home.files().into_iter();
        let mut segments = files.filter(|(path, _)| path.extension().is_some_and(|e| e == "seg"));
        let (path, _) = segments.next().unwrap();
        let reader = SegmentReader::open(&home.env, &path, None, &forge::KINDS).unwrap();
        let section = |kind| {
            let found = reader.sections().iter().find(|it| it.id.kind == kind);
            reader.read(found.unwrap().id).unwrap()
        };
        (path.clone(), section(BLOCKS), section(BLOCK_TABLE))
    };
    let written = || {
        let home = Home::memory();
        let database = home.open(unmerged());
        let collection = database.create_collection("c", shape()).unwrap();
        let long = map(&[b'z'; 2_000]);
        upsert(&collection, &[(1, long.clone()), (2, long.clone())]);
        collection.compact(&Job::default()).unwrap();
        database.close().unwrap();
        home
    };
    let (_, blocks, table) = both(&written());
    let (stored, plain) = (blocks.len() as u32, 2 * (2_000 + HEAD as u32));
    let row = plain / 2;
    assert_eq!(
        table,
        [entry(0, [0, 2, stored, plain, 1]), ends(&[row, plain])].concat(),
        "as FORMAT.md says"
    );

    let one = |words: [u32; 5]| [entry(0, words), ends(&[row, plain])].concat();
    let mebibyte = 1 << 20;
    let large = bomb(64 << 10);
    let at_open = [
        (
            "more than a record may have",
            blocks.clone(),
            one([0, 2, stored, mebibyte + 1, 1]),
        ),
        (
            "four gigabytes",
            blocks.clone(),
            one([0, 2, stored, u32::MAX, 1]),
        ),
        (
            "nothing saved",
            blocks.clone(),
            one([0, 2, stored, stored, 1]),
        ),
        (
            "plain, and shorter",
            blocks.clone(),
            one([0, 2, stored, plain, 0]),
        ),
        ("no rows", blocks.clone(), one([0, 0, stored, plain, 1])),
        (
            "rows of others",
            blocks.clone(),
            one([0, 3, stored, plain, 1]),
        ),
        (
            "from another row",
            blocks.clone(),
            one([1, 1, stored, plain, 1]),
        ),
        (
            "less than there is",
            blocks.clone(),
            one([0, 2, stored - 1, plain, 1]),
        ),
        (
            "more than there is",
            blocks.clone(),
            one([0, 2, stored + 1, plain, 1]),
        ),
        (
            "too many rows",
            blocks.clone(),
            one([0, u32::MAX, stored, plain, 1]),
        ),
        (
            "behind the end",
            blocks.clone(),
            [
                entry(u64::MAX, [0, 2, stored, plain, 1]),
                ends(&[row, plain]),
            ]
            .concat(),
        ),
        (
            "ends that fall",
            blocks.clone(),
            [entry(0, [0, 2, stored, plain, 1]), ends(&[plain, row])].concat(),
        ),
        (
            "half an entry",
            blocks.clone(),
            table[..table.len() - 4].to_vec(),
        ),
        ("no table", blocks.clone(), Vec::new()),
        ("no blocks", Vec::new(), table.clone()),
    ];
    for (about, blocks, table) in at_open {
        let home = written();
        let (path, ..) = both(&home);
        forge(&home.env, &path, &blocks, &table);
        let database = home.open(unmerged());
        let opened = database.open_collection("c").map(drop);
        assert_eq!(opened.unwrap_err().code(), Code::Corrupt, "{about}");
    }
    // What is zero is not read.
    let home = written();
    let (path, ..) = both(&home);
    let mut later = table.clone();
    later[28..32].fill(0xff);
    forge(&home.env, &path, &blocks, &later);
    let database = home.open(unmerged());
    let collection = database.open_collection("c").unwrap();
    let snapshot = collection.snapshot().unwrap();
    let found = snapshot.get(&column([2]), &fields_only()).unwrap();
    assert!(found[0].as_ref().unwrap().fields == map(&[b'z'; 2_000]));

    let unknown = {
        let home = written();
        let (path, ..) = both(&home);
        forge(&home.env, &path, &blocks, &one([0, 2, stored, plain, 2]));
        let database = home.open(unmerged());
        database.open_collection("c").map(drop).unwrap_err().code()
    };
    assert_eq!(unknown, Code::UnsupportedFormat);

    // What only decompression can tell: a check finds it, and reading says so.
    let bombs = [
        ("more than it says", large.clone(), large.len() as u32),
        ("less than it says", bomb(255), bomb(255).len() as u32),
        ("no LZ4", vec![0xff; 50], 50),
        (
            "back before its begin",
            vec![0x1f, b'x', 9, 0, 0, 0x10, b'y'],
            7,
        ),
    ];
    for (about, blocks, stored) in bombs {
        let home = written();
        let (path, ..) = both(&home);
        forge(&home.env, &path, &blocks, &one([0, 2, stored, plain, 1]));
        let database = home.open(unmerged());
        let collection = database.open_collection("c").expect(about);
        let snapshot = collection.snapshot().unwrap();
        let read = snapshot.get(&column([1]), &fields_only());
        let error = read.expect_err(about);
        assert_eq!(error.code(), Code::Corrupt, "{about}");
        let scanned = snapshot.scan(None).unwrap().next_page(5, &fields_only());
        assert_eq!(scanned.unwrap_err().code(), Code::Corrupt, "{about}");
        let report = collection.verify(&Job::default()).unwrap();
        let sections: Vec<_> = report.problems.iter().map(|it| &it.section).collect();
        assert_eq!(sections, [&Some("BLOCKS".to_owned())], "{about}");
        assert_eq!(cache_of(&database).bytes, 0, "{about}");
    }
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crate::crash::planted::expect_all_found(module_path!());
    }
}
