//! After a failure that leaves open what the disk has, a collection writes nothing more, says so,
//! and answers nothing that it cannot know.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::ErrorKind;
use std::sync::mpsc;
use std::time::Duration;

use cairn_engine::{
    Code, Collection, Durability, KeyType, MetricName, Options, WriteBatch, WriteKind,
    WriteOptions, WriteResult,
};
use cairn_env::{Env, FaultAction, KillPoint};
use cairn_testkit::{SimDisk, sim_env};

use crate::common;
use common::{Home, Row, batch, number, plain, put, removal, small};

fn row(n: u64) -> Row {
    Row::new(number(n), &[n as f32; 32])
}

fn durable(durability: Durability) -> WriteOptions {
    WriteOptions {
        durability: Some(durability),
        ..WriteOptions::default()
    }
}

fn upsert(collection: &Collection, rows: impl Iterator<Item = u64>) -> WriteBatch {
    let rows: Vec<Row> = rows.map(row).collect();
    batch(collection.schema(), WriteKind::Upsert, &rows)
}

#[test]
fn writes_after_a_failed_publication_leave_no_files() {
    let disk = SimDisk::new();
    let home = Home::on(sim_env(&disk));
    let database = home.open(small());
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let faults = home.env.faults.clone();
    let pass = faults.hits(KillPoint::K20Renamed) + 1;
    faults.arm(
        KillPoint::K20Renamed,
        pass,
        FaultAction::Error(ErrorKind::Other),
    );
    for n in 0..1_000 {
        if collection
            .write(upsert(&collection, n..n + 1), WriteOptions::default())
            .is_err()
        {
            break;
        }
    }
    common::within(10, "the failed flush is noticed", || {
        collection.stats().unwrap().poisoned
    });
    let segments = || {
        disk.paths()
            .iter()
            .filter(|path| path.ends_with(".seg"))
            .count()
    };
    let before = segments();
    for n in 0..50 {
        let error = collection.write(upsert(&collection, n..n + 1), WriteOptions::default());
        assert_eq!(error.unwrap_err().code(), Code::Closed);
    }
    assert_eq!(segments(), before);
}

#[test]
fn a_log_that_fails_as_the_memtable_fills_answers_everybody() {
    // On a thread of its own: a leader that turns in circles would keep this one.
    let answers = std::thread::Builder::new()
        .spawn(fill_a_memtable_of_a_log_that_fails)
        .unwrap();
    common::within(60, "everybody is answered", || answers.is_finished());
    answers.join().unwrap();
}

fn fill_a_memtable_of_a_log_that_fails() {
    for durability in [Durability::Os, Durability::Memory, Durability::Sync] {
        let disk = SimDisk::new();
        let home = Home::on(sim_env(&disk));
        let database = home.open(small());
        let schema = plain(KeyType::U64, 32, MetricName::L2);
        let collection = database.create_collection("c", schema).unwrap();
        let write = |n| collection.write(upsert(&collection, n..n + 1), durable(durability));
        assert!((0..250).all(|n| write(n).is_ok()));
        // The sync of the log, at the end of the memtable where there is none before.
        let faults = home.env.faults.clone();
        let pass = faults.hits(KillPoint::K5SyncIssued) + 1;
        faults.arm(
            KillPoint::K5SyncIssued,
            pass,
            FaultAction::Error(ErrorKind::Other),
        );
        let refused = (250..2_000).filter(|&n| write(n).is_err()).count();
        if durability != Durability::Memory {
            assert!(refused > 1_000, "{durability:?}: {refused} refused");
            assert_eq!(write(0).unwrap_err().code(), Code::Closed);
        }
        // It ends; what it says is told elsewhere.
        drop(database.close());
    }
}

#[test]
fn a_lost_mark_loses_no_acknowledgement_and_takes_no_more_writes() {
    let disk = SimDisk::new();
    let home = Home::on(sim_env(&disk));
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &[row(1)]);
    // A look at the room, the write of the group, the sync, and then the mark behind it.
    disk.fail_nth(disk.calls() + 5, ErrorKind::Other);
    put(&collection, &[row(2)]);
    let memory = durable(Durability::Memory);
    let refused = collection.write(upsert(&collection, 3..4), memory);
    assert_eq!(refused.unwrap_err().code(), Code::Closed);
    database.close().unwrap();
    let database = home.open(Options::default());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), 2);
}

#[test]
fn answers_that_rest_on_a_failed_log_are_unknown() {
    let home = Home::on(Env::memory(2));
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    put(&collection, &[row(1), row(2)]);
    // The leader sleeps in its group while the next one queues.
    let faults = home.env.faults.clone();
    let pass = faults.hits(KillPoint::K5SyncIssued) + 1;
    faults.arm(KillPoint::K5SyncIssued, pass, FaultAction::SleepMs(300));
    faults.arm(
        KillPoint::K5SyncIssued,
        pass + 1,
        FaultAction::Error(ErrorKind::Other),
    );
    let (send, receive) = mpsc::channel();
    let submit = |name: &'static str, batch: WriteBatch| {
        let send = send.clone();
        let done = move |result: cairn_engine::Result<WriteResult>| {
            send.send((name, result.map_err(|error| error.code())))
                .unwrap();
        };
        collection.submit(batch, WriteOptions::default(), Box::new(done));
    };
    submit("first", upsert(&collection, 3..4));
    common::within(10, "the first group is under way", || {
        faults.hits(KillPoint::K5SyncIssued) == pass
    });
    submit("unrelated", removal(&schema, &[number(9)]));
    submit("removes", removal(&schema, &[number(1)]));
    submit("finds it gone", removal(&schema, &[number(1)]));
    submit("adds", batch(&schema, WriteKind::Add, &[row(5)]));
    submit("finds it there", batch(&schema, WriteKind::Add, &[row(5)]));
    let mut answers = Vec::new();
    while answers.len() < 6 {
        answers.push(receive.recv_timeout(Duration::from_secs(10)).unwrap());
    }
    for (name, answer) in answers {
        match name {
            "first" | "unrelated" => assert!(answer.is_ok(), "{name}: {answer:?}"),
            _ => assert_eq!(answer, Err(Code::OutcomeUnknown), "{name}"),
        }
    }
}

#[test]
fn a_poisoned_collection_is_told_from_one_that_was_dropped_meanwhile() {
    let home = Home::on(Env::memory(2));
    let database = home.open(small());
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let poisoned = database
        .create_collection("poisoned", schema.clone())
        .unwrap();
    let faults = home.env.faults.clone();
    let pass = faults.hits(KillPoint::K5SyncIssued) + 1;
    faults.arm(
        KillPoint::K5SyncIssued,
        pass,
        FaultAction::Error(ErrorKind::Other),
    );
    let failed = poisoned.write(upsert(&poisoned, 0..1), WriteOptions::default());
    assert_eq!(failed.unwrap_err().code(), Code::OutcomeUnknown);

    std::thread::scope(|scope| {
        let drops = scope.spawn(|| {
            for n in 0..100 {
                let name = format!("short-lived-{n}");
                let collection = database.create_collection(&name, schema.clone()).unwrap();
                put(&collection, &[row(n)]);
                database.drop_collection(&name).unwrap();
            }
        });
        while !drops.is_finished() {
            // Its own failure is told, and nothing of those that are gone.
            assert_eq!(database.commit().unwrap_err().code(), Code::Closed);
            let named = database.stats().unwrap().collections;
            let known = |(name, stats): &&(String, _)| {
                let stats: &cairn_engine::CollectionStats = stats;
                name == "poisoned" && stats.poisoned
            };
            assert_eq!(named.iter().filter(known).count(), 1);
        }
    });
}
