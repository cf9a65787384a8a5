//! Files that change under an open database, disks that lie about their syncs, and older files put
//! back among newer ones: what is answered is right, or the damage is named. Nothing is mapped
//! into memory here, so nothing of this ends the process; `memory_map.rs` has what is.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::{Code, Collection, Database, Error, Fact, Job, KeyType, MetricName, Options};
use cairn_env::{Access, Disk, OsDisk};
use cairn_testkit::{Choice, SimDisk, sim_env};
use common::{Home, Row, everything, keys, number, plain, put, small};

const DIR: &str = "/db";
const ROOT: &str = "/db/collections/0000000000000001";

fn row(n: u64) -> Row {
    let text = format!("text of {n} ").repeat(20);
    Row::new(number(n), &[n as f32, 1.0]).with("text", &*text)
}

fn all(collection: &Arc<Collection>) -> Result<Vec<u64>, Error> {
    let snapshot = collection.snapshot()?;
    let mut scan = snapshot.scan(None)?;
    let mut found = Vec::new();
    loop {
        let page = scan.next_page(1_000, &everything())?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page.iter().map(|record| match record.key.as_key() {
            cairn_engine::Key::U64(key) => key,
            cairn_engine::Key::Str(_) => unreachable!("keys are numbers"),
        }));
    }
}

fn names(error: &Error, path: &Path) -> bool {
    let text = path.display().to_string();
    let details = error.details();
    details
        .iter()
        .any(|(_, fact)| matches!(fact, Fact::Text(t) if *t == text))
}

#[test]
fn a_segment_that_is_cut_or_overwritten_under_an_open_database_is_named() {
    for how in ["cut", "overwritten", "removed"] {
        let home = Home::directory("ground");
        let database = home.open(Options::default());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.create_collection("c", schema).unwrap();
        put(&collection, &(0..2_000).map(row).collect::<Vec<_>>());
        collection.compact(&Job::default()).unwrap();
        let is_segment =
            |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|e| e == "seg");
        let (path, bytes) = home.files().into_iter().find(is_segment).unwrap();
        let file = OsDisk.open(&path, Access::Write).unwrap();
        match how {
            "cut" => file.set_len(bytes.len() as u64 / 2).unwrap(),
            "overwritten" => file.write_at(0, &vec![0xa5; bytes.len()]).unwrap(),
            _ => OsDisk.remove_file(&path).unwrap(),
        }
        let wanted = keys(KeyType::U64, &[number(1_999)]);
        let one = collection.snapshot().unwrap().get(&wanted, &everything());
        if how == "removed" {
            // Whoever holds a file open reads on.
            assert!(one.unwrap()[0].is_some());
            assert_eq!(all(&collection).unwrap().len(), 2_000);
        } else {
            for error in [
                one.map(drop).unwrap_err(),
                all(&collection).map(drop).unwrap_err(),
            ] {
                assert_eq!(error.code(), Code::Corrupt, "{how}: {error}");
                assert!(names(&error, &path), "{how}: {error}");
            }
        }
        // Writes go on, and what they wrote is there.
        put(&collection, &[row(5_000)]);
        assert!(
            collection
                .snapshot()
                .unwrap()
                .has(number(5_000).as_key())
                .unwrap()
        );
        let _ = database.close();
    }
}

/// A disk that answers a sync and does nothing: no promise can be kept, but nothing is invented.
#[test]
fn a_disk_that_lies_loses_the_end_or_is_found_out() {
    let (mut shorter, mut refused) = (0, 0);
    for seed in 0..60 {
        let disk = SimDisk::new();
        let open = |disk: &SimDisk| Database::open(sim_env(disk), Path::new(DIR), small());
        let database = open(&disk).unwrap();
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.create_collection("c", schema).unwrap();
        for n in 0..10 {
            put(&collection, &[row(n)]);
        }
        disk.lie_on_sync(true);
        for n in 10..30 {
            put(&collection, &[row(n)]);
            if n == 20 && seed % 2 == 0 {
                collection.compact(&Job::default()).unwrap();
            }
        }
        let image = disk.crash_image(disk.op_count(), &mut Choice::seeded(seed));
        let read = open(&image).and_then(|database| all(&database.open_collection("c")?));
        match read {
            Ok(found) => {
                let expected: Vec<u64> = (0..found.len() as u64).collect();
                assert_eq!(found, expected, "records from the end only: seed {seed}");
                // A log that a merge released may be gone while the segment that replaced it
                // never came to be: that is the promise that such a disk breaks.
                let merged = seed % 2 == 0;
                assert!(merged || found.len() >= 10, "seed {seed}: {found:?}");
                shorter += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Corrupt, "seed {seed}: {error}");
                refused += 1;
            }
        }
    }
    println!("{shorter} lost an end, {refused} were found out");
    assert!(shorter > 0 && refused > 0);
}

/// A manifest of before is put back beside the segments and logs of now.
#[test]
fn an_older_manifest_among_newer_files_is_found_out() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &(0..500).map(row).collect::<Vec<_>>());
    collection.compact(&Job::default()).unwrap();
    let of_manifest = |(path, _): &(PathBuf, Vec<u8>)| {
        path.starts_with(ROOT)
            && (path.ends_with("CURRENT") || path.extension().is_some_and(|e| e == "man"))
    };
    let older: Vec<_> = home.files().into_iter().filter(of_manifest).collect();
    put(&collection, &(500..1_500).map(row).collect::<Vec<_>>());
    collection.compact(&Job::default()).unwrap();
    put(&collection, &[row(9_000)]);
    database.close().unwrap();
    let disk = &*home.env.disk;
    for (path, bytes) in older {
        let _ = disk.remove_file(&path);
        disk.create(&path).unwrap().write_at(0, &bytes).unwrap();
    }
    let database = home.open(small());
    let error = database.open_collection("c").map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Corrupt, "{error}");
}
