//! Every figure of the statistics equals one that is counted another way: after inserts,
//! deletions, flushes, compactions and restarts.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_engine::{
    Collection, Database, Durability, IndexKind, Job, KeyBuf, KeyType, MetricName, Options,
    SelectFields, WriteKind, WriteOptions,
};
use cairn_testkit::{Rng, data, seed_from_env};

use crate::common;
use common::{
    Home, Row, WatchedDisk, batch, everything, number, plain, put, remove, schema, small, text,
};

/// Counts by reading everything.
fn recount(collection: &Arc<Collection>) -> u64 {
    let select = cairn_engine::Select {
        fields: SelectFields::None,
        vectors: false,
    };
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let mut count = 0;
    loop {
        let page = scan.next_page(1_000, &select).unwrap();
        if page.is_empty() {
            return count;
        }
        count += page.len() as u64;
    }
}

fn check(home: &Home, database: &Arc<Database>, collection: &Arc<Collection>) {
    home.at_rest(collection);
    let stats = collection.stats().unwrap();
    let counted = recount(collection);
    assert_eq!(stats.count, counted);
    assert_eq!(collection.snapshot().unwrap().count(), counted);
    let listed = database.collections().unwrap();
    assert_eq!(listed[0].count, counted);
    let all = database.stats().unwrap();
    assert_eq!(all.collections[0].1.count, counted);
    assert!(all.version >= stats.version);
    assert_eq!(all.pid, std::process::id());

    let live: u64 = stats.segments.iter().map(|s| s.live).sum();
    assert!(live <= counted && counted <= live + stats.memtable_rows);
    assert!(stats.segments.iter().all(|s| s.live <= s.rows));
    let on_disk: u64 = stats.segments.iter().map(|s| s.bytes_disk).sum();
    assert_eq!(stats.live_bytes + stats.dead_bytes, on_disk);
    let files: u64 = home
        .files()
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "seg" || e == "del"))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert_eq!(on_disk, files, "bytes of segments and deletion files");
    let in_memory: u64 = stats.segments.iter().map(|s| s.bytes_memory).sum();
    let parts = stats.vector_bytes + stats.graph_bytes + stats.key_bytes + stats.key_index_bytes;
    assert!(in_memory >= parts);
    let rows: u64 = stats.segments.iter().map(|s| s.rows).sum();
    assert!(stats.key_index_bytes <= 16 * rows.max(1));
    assert_eq!(stats.last_background_error, None);
    assert!(!stats.poisoned);
}

#[test]
fn figures_follow_a_random_life() {
    let home = Home::directory("statistics");
    let mut database = home.open(small());
    let schema = plain(KeyType::String, 6, MetricName::Cosine);
    let mut collection = database.create_collection("c", schema).unwrap();
    let seed = seed_from_env("CAIRN_STATISTICS_SEED", 0x57a7);
    let mut rng = Rng::new(seed);
    for round in 0..24 {
        let key = |rng: &mut Rng| text(format!("key {}", rng.below(3_000)));
        match rng.below(4) {
            0 | 1 => {
                let rows: Vec<Row> = (0..rng.range(1..400))
                    .map(|_| {
                        Row::new(
                            key(&mut rng),
                            &[1.0, rng.normal() as f32, 0.0, 1.0, 2.0, 3.0],
                        )
                    })
                    .collect();
                put(&collection, &rows);
            }
            2 => {
                let gone: Vec<KeyBuf> = (0..rng.range(1..600)).map(|_| key(&mut rng)).collect();
                remove(&collection, &gone);
            }
            _ => collection.compact(&Job::default()).unwrap(),
        }
        if round % 6 == 5 {
            database.close().unwrap();
            database = home.open(small());
            collection = database.open_collection("c").unwrap();
        }
        check(&home, &database, &collection);
    }
}

#[test]
fn a_key_costs_at_most_sixteen_bytes_of_index() {
    let home = Home::memory();
    let database = home.open(Options::default());
    // Sizes just above and below where a table of the index doubles.
    for rows in [1, 5, 409, 410, 820, 6_553, 6_554, 20_000] {
        for key in [KeyType::U64, KeyType::String] {
            let name = format!("c{rows}{key:?}");
            let field = common::vector_field("vector", 1, MetricName::L2, IndexKind::Flat);
            let schema = schema(key, vec![field]);
            let collection = database.create_collection(&name, schema).unwrap();
            let make = |n: u64| match key {
                KeyType::U64 => number(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                KeyType::String => text(format!("{n:x}")),
            };
            let rows_of: Vec<Row> = (0..rows).map(|n| Row::new(make(n), &[n as f32])).collect();
            put(&collection, &rows_of);
            collection.compact(&Job::default()).unwrap();
            let stats = collection.stats().unwrap();
            assert_eq!(stats.segments.len(), 1);
            assert!(
                stats.key_index_bytes <= 16 * rows,
                "rows={rows} bytes={}",
                stats.key_index_bytes
            );
        }
    }
}

#[test]
fn memtable_figures_rise_with_writes_and_fall_with_a_flush() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let mut last = 0;
    for round in 0..10 {
        let rows: Vec<Row> = (0..100)
            .map(|n| Row::new(number(round * 100 + n), &[1.0; 32]).with("n", n as i64))
            .collect();
        put(&collection, &rows);
        let stats = collection.stats().unwrap();
        assert_eq!(stats.memtable_rows, (round + 1) * 100);
        assert!(stats.memtable_bytes >= last + 100 * (32 * 4 + 8));
        assert!(stats.memtable_bytes <= last + 100 * 400);
        assert!(stats.wal_bytes >= stats.memtable_rows * 32 * 4);
        assert_eq!(stats.memtable_bytes_max, 64 * 1024 * 1024);
        last = stats.memtable_bytes;
    }
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!((stats.memtable_rows, stats.memtable_bytes), (0, 0));
    assert_eq!(stats.count, 1_000);
    assert!(stats.wal_bytes < 1_024);
}

#[test]
fn syncs_of_the_log_are_those_the_disk_has_seen() {
    let disk = WatchedDisk::new();
    let home = Home::on(disk.env(2));
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let syncs = || collection.stats().unwrap().wal_syncs;
    let put_with = |n: u64, durability| {
        let upsert = batch(
            &schema,
            WriteKind::Upsert,
            &[Row::new(number(n), &[0.0; 2])],
        );
        let options = WriteOptions {
            durability: Some(durability),
            ..WriteOptions::default()
        };
        collection.write(upsert, options).unwrap();
    };
    assert_eq!(syncs(), 0);
    put_with(0, Durability::Sync);
    let seen = || disk.watch.wal_syncs.load(Ordering::Relaxed);
    // The first write makes a file, whose header is synced, too.
    let headers = seen() - 1;
    for n in 1..10 {
        put_with(n, Durability::Sync);
    }
    assert_eq!((syncs(), seen() - headers), (10, 10));
    put_with(10, Durability::Os);
    put_with(11, Durability::Memory);
    assert_eq!((syncs(), seen() - headers), (10, 10));
    put_with(12, Durability::Os);
    put_with(13, Durability::Sync);
    assert_eq!((syncs(), seen() - headers), (11, 11), "one sync for both");
}

#[test]
fn bytes_of_vectors_and_graph_are_those_of_the_formula() {
    // Rows are padded to 16 floats: 24 dims take 32 floats, 128 bytes. A graph of m 16 has 32
    // links of four bytes on layer 0 and a fraction above.
    const ROWS: usize = 4_000;
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 24, MetricName::Cosine);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::uniform(3, ROWS, 24);
    let rows: Vec<Row> = vectors
        .chunks(24)
        .zip(0..)
        .map(|(vector, n)| Row::new(number(n), vector))
        .collect();
    put(&collection, &rows);
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    let per_row = |bytes: u64| bytes as f64 / ROWS as f64;
    println!(
        "vectors={} graph={} keys={} index={}",
        per_row(stats.vector_bytes),
        per_row(stats.graph_bytes),
        per_row(stats.key_bytes),
        per_row(stats.key_index_bytes)
    );
    assert!((128.0..128.0 * 1.15).contains(&per_row(stats.vector_bytes)));
    assert!((32.0 * 4.0..32.0 * 4.0 * 1.5).contains(&per_row(stats.graph_bytes)));
    assert_eq!(stats.key_bytes, ROWS as u64 * 8);
    let record = collection
        .snapshot()
        .unwrap()
        .get(&common::keys(KeyType::U64, &[number(7)]), &everything())
        .unwrap();
    assert!(record[0].is_some());
}
