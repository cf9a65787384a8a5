//! What each level of durability may lose, by a kill and by the loss of power: at most what
//! `docs/durability.md` says, and what that is comes as whole batches from the end.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, Durability, KeyType, MetricName, Options, WriteKind, WriteOptions,
};
use cairn_env::Env;
use cairn_testkit::{Choice, SimDisk, sim_env};

use crate::common;
use common::{Row, batch, everything, number, plain};

const DIR: &str = "/db";

/// Rows of a batch.
const ROWS: u64 = 3;

fn open(disk: &SimDisk) -> (Arc<Database>, Arc<Collection>) {
    let env: Env = sim_env(disk);
    let database = Database::open(env, Path::new(DIR), Options::default()).unwrap();
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.collection("c", Some(schema)).unwrap();
    (database, collection)
}

fn write(collection: &Arc<Collection>, number_of_batch: u64, durability: Durability) {
    let row = |at| Row::new(number(number_of_batch * ROWS + at), &[at as f32, 1.0]);
    let rows: Vec<Row> = (0..ROWS).map(row).collect();
    let upsert = batch(collection.schema(), WriteKind::Upsert, &rows);
    let options = WriteOptions {
        durability: Some(durability),
        ..WriteOptions::default()
    };
    collection.write(upsert, options).unwrap();
}

/// How many batches are there again, whole, from the first one on.
fn found(disk: &SimDisk) -> u64 {
    let (_database, collection) = open(disk);
    let snapshot = collection.snapshot().unwrap();
    let mut scan = snapshot.scan(None).unwrap();
    let records = scan.next_page(10_000, &everything()).unwrap();
    for (at, record) in (0..).zip(&records) {
        assert_eq!(
            record.key,
            number(at),
            "batches are missing from the end only"
        );
    }
    let records = records.len() as u64;
    assert_eq!(records % ROWS, 0, "a batch is torn");
    records / ROWS
}

/// Batches that a kill, and the worst loss of power, leave of `acknowledged` ones; at every moment
/// of the disk behind the last acknowledgement.
fn left(disk: &SimDisk) -> (u64, u64) {
    let at = disk.op_count();
    let killed = found(&disk.kill_image(at));
    let lost = found(&disk.crash_image(at, &mut Choice::lose_all()));
    let mut least = lost;
    for image in disk.random_images(at, 40, 7) {
        least = least.min(found(&image.disk));
    }
    (killed, least)
}

#[test]
fn sync_loses_nothing() {
    let disk = SimDisk::new();
    let (_database, collection) = open(&disk);
    for n in 0..20 {
        write(&collection, n, Durability::Sync);
        assert_eq!(left(&disk), (n + 1, n + 1));
    }
}

#[test]
fn os_loses_nothing_to_a_kill_and_to_power_what_no_sync_covered() {
    let disk = SimDisk::new();
    let (_database, collection) = open(&disk);
    for n in 0..5 {
        write(&collection, n, Durability::Sync);
    }
    for n in 5..15 {
        write(&collection, n, Durability::Os);
        let (killed, lost) = left(&disk);
        assert_eq!(killed, n + 1, "the kernel has it");
        assert!(lost >= 5, "what was synced before is there");
    }
    // A later synced write covers all before it.
    write(&collection, 15, Durability::Sync);
    assert_eq!(left(&disk), (16, 16));
    write(&collection, 16, Durability::Os);
    collection.commit().unwrap();
    assert_eq!(left(&disk), (17, 17), "and so does a commit");
}

#[test]
fn memory_loses_what_no_flush_or_commit_covered_and_no_more() {
    let disk = SimDisk::new();
    let (_database, collection) = open(&disk);
    for n in 0..5 {
        write(&collection, n, Durability::Sync);
    }
    for n in 5..15 {
        write(&collection, n, Durability::Memory);
        let (killed, lost) = left(&disk);
        assert!(killed >= 5 && lost >= 5, "what was synced before is there");
    }
    collection.commit().unwrap();
    assert_eq!(left(&disk), (15, 15), "a commit covers them");
    for n in 15..20 {
        write(&collection, n, Durability::Memory);
    }
    write(&collection, 20, Durability::Sync);
    // A write that is synced is there whatever happens; those in memory alone before it need not be.
    let lost = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
    let (_database, again) = open(&lost);
    let snapshot = again.snapshot().unwrap();
    for at in (0..15 * ROWS).chain(20 * ROWS..21 * ROWS) {
        assert!(snapshot.has(number(at).as_key()).unwrap(), "row {at}");
    }
}

#[test]
fn closing_covers_every_level() {
    let disk = SimDisk::new();
    let (database, collection) = open(&disk);
    for (n, durability) in (0..).zip([Durability::Memory, Durability::Os, Durability::Sync]) {
        write(&collection, n, durability);
    }
    write(&collection, 3, Durability::Memory);
    database.close().unwrap();
    assert_eq!(left(&disk), (4, 4));
}
