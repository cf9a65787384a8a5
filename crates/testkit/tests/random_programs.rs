//! Promise: whatever a program does, images follow from the seed alone, hold what was synced,
//! and the past can be visited at any time.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use cairn_env::{Access, Disk};
use cairn_testkit::{Choice, Rng, SimDisk};

const DIRS: [&str; 4] = ["", "/d", "/e", "/d/f"];

/// A random program over a few names, files and directories. Many of its calls fail.
fn random_program(seed: u64, steps: usize) -> SimDisk {
    let disk = SimDisk::new();
    let mut rng = Rng::new(seed);
    for dir in &DIRS[1..] {
        disk.create_dir(Path::new(dir)).unwrap();
    }
    for _ in 0..steps {
        let _ = random_step(&disk, &mut rng);
    }
    disk
}

fn random_step(disk: &SimDisk, rng: &mut Rng) -> io::Result<()> {
    let mut pick = || {
        let dir = DIRS[rng.range(0..DIRS.len())];
        format!("{dir}/{}", ["a", "b", "c"][rng.range(0..3)])
    };
    let (one, other) = (pick(), pick());
    let (one, other) = (Path::new(&one), Path::new(&other));
    match rng.below(10) {
        0 | 1 => disk.create(one).map(drop),
        2 => disk.rename(one, other),
        3 => disk.remove_file(one),
        4 => disk.sync_dir(Path::new(DIRS[rng.range(0..DIRS.len())])),
        5 => disk.rename(Path::new("/e"), Path::new("/d/e")),
        6 => disk.rename(Path::new("/d/e"), Path::new("/e")),
        _ => {
            let file = disk.open(one, Access::Write)?;
            let count = rng.range(1..3000);
            file.write_at(rng.below(9000), &rng.bytes(count))?;
            if rng.chance(0.3) {
                file.set_len(rng.below(9000))?;
            }
            if rng.chance(0.3) {
                file.sync_data()?;
            }
            Ok(())
        }
    }
}

/// Everything on a disk, as bytes.
fn fingerprint(disk: &SimDisk) -> Vec<u8> {
    let mut all = Vec::new();
    for name in disk.paths() {
        all.extend_from_slice(name.as_bytes());
        all.push(0);
        all.extend(disk.read_all(&name).unwrap());
    }
    all
}

#[test]
fn one_seed_gives_one_set_of_images() {
    let prints = || -> Vec<Vec<u8>> {
        let disk = random_program(5, 300);
        let images = (0..=disk.op_count()).flat_map(|at| disk.random_images(at, 4, 9));
        images.map(|image| fingerprint(&image.disk)).collect()
    };
    let (first, second) = (prints(), prints());
    assert!(first == second);
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 300);
}

#[test]
fn an_image_can_be_had_again_from_its_record() {
    let disk = random_program(6, 200);
    for at in 0..=disk.op_count() {
        for image in disk.random_images(at, 3, 1) {
            let again = disk.crash_image(at, &mut image.choice());
            assert!(fingerprint(&again) == fingerprint(&image.disk), "{image}");
        }
    }
}

#[test]
fn the_past_can_be_visited_in_any_order() {
    let disk = random_program(7, 400);
    let at = |at| fingerprint(&disk.kill_image(at));
    let forwards: Vec<_> = (0..=disk.op_count()).map(at).collect();
    let mut backwards: Vec<_> = (0..=disk.op_count()).rev().map(at).collect();
    backwards.reverse();
    assert!(forwards == backwards);
    assert!(forwards[0].is_empty());
    assert!(forwards.last() == Some(&fingerprint(&disk)));
}

#[test]
fn what_is_synced_is_in_every_image() {
    for seed in 0..20 {
        let disk = random_program(seed, 150);
        for name in disk.paths() {
            let file = disk.open(Path::new(&name), Access::Read).unwrap();
            file.sync_data().unwrap();
        }
        for dir in ["/", "/d", "/e", "/d/e", "/d/f"] {
            // One of the two places of "e" does not exist.
            let _ = disk.sync_dir(Path::new(dir));
        }
        let at = disk.op_count();
        let expected = fingerprint(&disk);
        for image in disk.random_images(at, 10, seed) {
            assert!(fingerprint(&image.disk) == expected, "seed={seed} {image}");
        }
        let lost = disk.crash_image(at, &mut Choice::lose_all());
        assert!(fingerprint(&lost) == expected);
    }
}

#[test]
fn durable_files_never_vanish_by_renames() -> io::Result<()> {
    for seed in 0..40 {
        let disk = SimDisk::new();
        let mut rng = Rng::new(seed);
        for dir in &DIRS[1..] {
            disk.create_dir(Path::new(dir))?;
        }
        for dir in ["/", "/d"] {
            disk.sync_dir(Path::new(dir))?;
        }
        for name in ["/d/a", "/e/b", "/d/f/c"] {
            disk.put(name, name.as_bytes())?;
        }
        for step in 0..12 {
            move_something(&disk, &mut rng, step);
            for image in disk.random_images(disk.op_count(), 20, seed) {
                let read = |name: &String| image.disk.read_all(name).unwrap();
                let mut found: Vec<Vec<u8>> = image.disk.paths().iter().map(read).collect();
                found.sort();
                assert_eq!(
                    found,
                    [&b"/d/a"[..], b"/d/f/c", b"/e/b"],
                    "seed={seed} {image}\n{:#?}",
                    disk.trace()
                );
            }
        }
    }
    Ok(())
}

/// Moves files and directories to fresh names, new directories among them, with a sync now
/// and then. Some of it is impossible and does not happen.
fn move_something(disk: &SimDisk, rng: &mut Rng, step: usize) {
    let paths = disk.paths();
    let mut pick = || Path::new(&paths[rng.range(0..paths.len())]);
    let (from, target) = (pick(), pick().parent().unwrap());
    let from = if rng.chance(0.4) {
        from.parent().unwrap()
    } else {
        from
    };
    let _ = disk.rename(from, &target.join(format!("n{step}")));
    if rng.chance(0.3) {
        let _ = disk.create_dir(&target.join(format!("m{step}")));
        let _ = disk.rename(from, &target.join(format!("m{step}/x")));
    }
    if rng.chance(0.2) {
        let _ = disk.sync_dir(target);
    }
}
