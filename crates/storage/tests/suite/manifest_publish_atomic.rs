//! Power is lost at any moment while manifests are published one after another. The disk comes
//! back with the last one that was acknowledged or the one being published, complete; never
//! with an older one, never with none, and what else lies about can be swept away.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are test code"
)]

use std::io::ErrorKind;
use std::path::Path;

use cairn_env::Env;
use cairn_storage::{
    Result, StorageError, leftovers, list_versions, load, publish, read_current, remove_leftovers,
    remove_version,
};
use cairn_testkit::{Choice, SimDisk, seed_from_env, sim_env};

use crate::common;
use common::*;

const DIR: &str = "/db";

fn body(version: u64) -> Vec<u8> {
    Owned::new(version, 100 + 1500 * version as usize).body
}

fn publish_version(env: &Env, version: u64) -> Result<()> {
    publish(
        env,
        Path::new(DIR),
        "manifest",
        "man",
        version,
        &body(version),
    )
}

fn make_dirs(env: &Env) {
    let dir = Path::new(DIR);
    env.disk.create_dir(dir).unwrap();
    env.disk.create_dir(&dir.join("manifest")).unwrap();
    env.disk.sync_dir(dir).unwrap();
    env.disk.sync_dir(Path::new("/")).unwrap();
}

/// The version found, whose body must be the one that was published.
#[track_caller]
fn found(disk: &SimDisk, what: &str) -> u64 {
    let (env, dir) = (sim_env(disk), Path::new(DIR));
    let current = read_current(&env, dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let Some(version) = current else {
        return 0;
    };
    let loaded = load(&env, dir, "manifest", "man", version);
    let loaded = loaded.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(loaded, body(version), "{what}");
    version
}

/// Sweeps, then publishes once more.
fn go_on(disk: &SimDisk, what: &str) {
    let (env, dir) = (sim_env(disk), Path::new(DIR));
    let current = read_current(&env, dir).unwrap();
    remove_leftovers(&env, dir, "manifest", "man", current).unwrap();
    assert!(
        leftovers(&env, dir, "manifest", "man", current)
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        found(disk, what),
        current.unwrap_or(0),
        "{what}: swept too much"
    );
    let next = current.unwrap_or(0) + 1;
    publish_version(&env, next).unwrap();
    let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
    assert_eq!(found(&image, what), next, "{what}");
}

#[test]
fn old_or_new_never_neither() {
    let seed = seed_from_env("CAIRN_SEED", 0x3a4);
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_dirs(&env);
    let (mut started, mut done) = (vec![disk.op_count()], vec![disk.op_count()]);
    for version in 1..=5 {
        started.push(disk.op_count());
        publish_version(&env, version).unwrap();
        done.push(disk.op_count());
        if version > 2 {
            remove_version(&env, Path::new(DIR), "manifest", "man", version - 2).unwrap();
        }
    }
    let base = done[0];
    for at in base..=disk.op_count() {
        let oldest = done.iter().filter(|ops| **ops <= at).count() as u64 - 1;
        let newest = started.iter().filter(|ops| **ops <= at).count() as u64 - 1;
        let random = disk.random_images(at, rounds(100), seed);
        for image in disk.enumerate_images(at, 8).chain(random) {
            let version = found(&image.disk, &image.to_string());
            assert!(
                (oldest..=newest).contains(&version),
                "version {version}: {image}"
            );
            go_on(&image.disk, &image.to_string());
        }
    }
}

#[test]
fn every_call_fails_once() {
    for call in 1.. {
        let disk = SimDisk::new();
        let env = sim_env(&disk);
        make_dirs(&env);
        publish_version(&env, 1).unwrap();
        let start = disk.calls();
        disk.fail_nth(start + call, ErrorKind::Other);
        let result = publish_version(&env, 2);
        if disk.calls() < start + call {
            result.unwrap();
            assert!(call > 10);
            break;
        }
        disk.clear_faults();
        let images = [
            disk.crash_image(disk.op_count(), &mut Choice::lose_all()),
            disk.kill_image(disk.op_count()),
        ];
        for image in images {
            let what = format!("call {call}");
            let version = found(&image, &what);
            assert!(version == 2 || (version == 1 && result.is_err()), "{what}");
            go_on(&image, &what);
        }
    }
}

#[test]
fn no_room_means_that_nothing_happened() {
    for call in 1.. {
        let disk = SimDisk::new();
        let env = sim_env(&disk);
        make_dirs(&env);
        publish_version(&env, 1).unwrap();
        let start = disk.calls();
        disk.fail_nth(start + call, ErrorKind::StorageFull);
        let result = publish_version(&env, 2);
        if disk.calls() < start + call {
            result.unwrap();
            break;
        }
        if let Err(StorageError::NoSpace { .. }) = result {
            assert_eq!(found(&disk, "no room"), 1, "call {call}");
            let swept = leftovers(&env, Path::new(DIR), "manifest", "man", Some(1)).unwrap();
            assert!(swept.is_empty(), "call {call}: {swept:?}");
            // The same process goes on with the same version.
            publish_version(&env, 2).unwrap();
            let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
            assert_eq!(found(&image, "room again"), 2, "call {call}");
        }
    }
}

#[test]
fn versions_only_rise() {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_dirs(&env);
    publish_version(&env, 5).unwrap();
    for version in [0, 4, 5] {
        let refused = publish_version(&env, version);
        assert!(
            matches!(refused, Err(StorageError::Limit { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(found(&disk, "refused"), 5);
    assert_eq!(
        list_versions(&env, Path::new(DIR), "manifest", "man").unwrap(),
        [5]
    );
}

#[test]
fn a_directory_without_current_has_published_nothing() {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_dirs(&env);
    assert_eq!(read_current(&env, Path::new(DIR)).unwrap(), None);
    let missing = load(&env, Path::new(DIR), "manifest", "man", 1);
    assert!(matches!(missing, Err(StorageError::Missing { .. })));
}
