//! Names after a crash: what may be lost, and what must stay together.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use cairn_env::{Access, Disk};

use super::SimDisk;

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A synced file with a synced name.
fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) {
    disk.put(name, bytes).unwrap();
}

/// Every set of files that some image holds, with contents, now.
fn outcomes(disk: &SimDisk) -> BTreeSet<Vec<(String, Vec<u8>)>> {
    let mut images = disk.enumerate_images(disk.op_count(), 16);
    let seen = images
        .by_ref()
        .map(|image| {
            let with_bytes = |name: String| {
                let bytes = image.disk.read_all(&name).unwrap();
                (name, bytes)
            };
            image.disk.paths().into_iter().map(with_bytes).collect()
        })
        .collect();
    let coverage = images.coverage();
    assert_eq!(coverage.covered, coverage.subsets, "{coverage}");
    seen
}

/// The same, names alone, written as in a listing.
fn listings(disk: &SimDisk) -> Vec<String> {
    let names = outcomes(disk)
        .into_iter()
        .map(|files| {
            let names: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
            names.join(" ")
        })
        .collect::<BTreeSet<String>>();
    names.into_iter().collect()
}

#[test]
fn a_new_name_may_be_lost_until_its_directory_is_synced() -> io::Result<()> {
    let disk = SimDisk::new();
    let file = disk.create(path("/a"))?;
    file.write_at(0, b"x")?;
    file.sync_data()?;
    assert_eq!(listings(&disk), ["", "/a"]);
    disk.sync_dir(path("/"))?;
    assert_eq!(listings(&disk), ["/a"]);
    Ok(())
}

#[test]
fn a_synced_directory_may_hang_in_the_air() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create_dir(path("/d"))?;
    disk.create(path("/d/a"))?;
    disk.sync_dir(path("/d"))?;
    assert_eq!(listings(&disk), ["", "/d/a"]);
    disk.sync_dir(path("/"))?;
    assert_eq!(listings(&disk), ["/d/a"]);
    Ok(())
}

#[test]
fn a_rename_over_a_durable_file_leaves_the_old_or_the_new() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"old");
    durable(&disk, "/b", b"new");
    disk.rename(path("/b"), path("/a"))?;
    let old = vec![
        ("/a".to_owned(), b"old".to_vec()),
        ("/b".to_owned(), b"new".to_vec()),
    ];
    let new = vec![("/a".to_owned(), b"new".to_vec())];
    assert_eq!(outcomes(&disk), BTreeSet::from([old, new.clone()]));
    disk.sync_dir(path("/"))?;
    assert_eq!(outcomes(&disk), BTreeSet::from([new]));
    Ok(())
}

#[test]
fn a_rename_does_not_bring_the_contents_along() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/CURRENT", b"1");
    let file = disk.create(path("/CURRENT.tmp"))?;
    file.write_at(0, b"2")?;
    disk.rename(path("/CURRENT.tmp"), path("/CURRENT"))?;
    disk.sync_dir(path("/"))?;
    let seen: BTreeSet<Vec<u8>> = outcomes(&disk)
        .into_iter()
        .map(|files| files[0].1.clone())
        .collect();
    assert_eq!(
        seen,
        BTreeSet::from([b"".to_vec(), b"\0".to_vec(), b"2".to_vec()])
    );
    Ok(())
}

#[test]
fn the_old_target_survives_a_lost_source() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"old");
    disk.create(path("/t"))?;
    disk.rename(path("/t"), path("/a"))?;
    // Neither; the create alone; both. Never "/t" beside a new "/a", never no "/a" at all.
    assert_eq!(listings(&disk), ["/a", "/a /t"]);
    assert_eq!(outcomes(&disk).len(), 3);
    Ok(())
}

#[test]
fn a_file_renamed_twice_has_exactly_one_of_its_names() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"x");
    disk.rename(path("/a"), path("/b"))?;
    disk.rename(path("/b"), path("/c"))?;
    assert_eq!(listings(&disk), ["/a", "/b", "/c"]);
    Ok(())
}

#[test]
fn a_freed_name_cannot_be_taken_before_it_is_free() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"x");
    disk.rename(path("/a"), path("/b"))?;
    disk.create(path("/a"))?;
    assert_eq!(listings(&disk), ["/a", "/a /b", "/b"]);
    for files in outcomes(&disk) {
        let holds = |bytes: &[u8]| files.iter().any(|(_, held)| held == bytes);
        assert!(holds(b"x"), "the durable file is somewhere in {files:?}");
    }
    Ok(())
}

#[test]
fn removals_may_come_back_until_the_directory_is_synced() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"x");
    durable(&disk, "/b", b"y");
    disk.remove_file(path("/a"))?;
    disk.remove_file(path("/b"))?;
    assert_eq!(listings(&disk), ["", "/a", "/a /b", "/b"]);
    disk.sync_dir(path("/"))?;
    assert_eq!(listings(&disk), [""]);
    Ok(())
}

#[test]
fn a_rename_between_directories_is_decided_by_the_target() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create_dir(path("/d"))?;
    disk.create_dir(path("/e"))?;
    disk.sync_dir(path("/"))?;
    durable(&disk, "/d/a", b"x");
    disk.rename(path("/d/a"), path("/e/a"))?;
    disk.sync_dir(path("/d"))?;
    assert_eq!(listings(&disk), ["/d/a", "/e/a"]);
    disk.sync_dir(path("/e"))?;
    assert_eq!(listings(&disk), ["/e/a"]);
    Ok(())
}

#[test]
fn a_rename_into_a_new_directory_takes_the_directory_along() -> io::Result<()> {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"x");
    disk.create_dir(path("/d"))?;
    disk.create_dir(path("/d/e"))?;
    disk.rename(path("/a"), path("/d/e/a"))?;
    assert_eq!(listings(&disk), ["/a", "/d/e/a"]);
    disk.sync_dir(path("/d/e"))?;
    assert_eq!(listings(&disk), ["/d/e/a"]);
    Ok(())
}

#[test]
fn a_removed_directory_was_empty() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create_dir(path("/d"))?;
    disk.sync_dir(path("/"))?;
    durable(&disk, "/d/a", b"x");
    disk.rename(path("/d/a"), path("/a"))?;
    disk.remove_dir(path("/d"))?;
    assert_eq!(listings(&disk), ["/a", "/d/a"]);
    disk.sync_dir(path("/"))?;
    assert_eq!(listings(&disk), ["/a"]);
    Ok(())
}

#[test]
fn moved_directories_keep_their_contents_and_form_no_ring() -> io::Result<()> {
    let disk = SimDisk::new();
    for dir in ["/a", "/b"] {
        disk.create_dir(path(dir))?;
    }
    disk.sync_dir(path("/"))?;
    durable(&disk, "/a/x", b"x");
    durable(&disk, "/b/y", b"y");
    disk.rename(path("/b"), path("/a/b"))?;
    disk.rename(path("/a/b"), path("/c"))?;
    disk.rename(path("/a"), path("/c/a"))?;
    assert_eq!(
        listings(&disk),
        ["/a/b/y /a/x", "/a/x /b/y", "/a/x /c/y", "/c/a/x /c/y"]
    );
    Ok(())
}

#[test]
fn a_failed_sync_of_a_directory_is_not_healed_by_the_next() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create(path("/a"))?;
    disk.fail_sync_nth(1, io::ErrorKind::Other);
    assert!(disk.sync_dir(path("/")).is_err());
    disk.sync_dir(path("/"))?;
    assert_eq!(listings(&disk), ["", "/a"]);
    disk.remove_file(path("/a"))?;
    disk.sync_dir(path("/"))?;
    assert_eq!(listings(&disk), [""]);
    Ok(())
}

#[test]
fn a_replaced_directory_was_empty() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create_dir(path("/d"))?;
    disk.create_dir(path("/e"))?;
    disk.sync_dir(path("/"))?;
    durable(&disk, "/d/a", b"x");
    disk.rename(path("/d/a"), path("/a"))?;
    disk.rename(path("/e"), path("/d"))?;
    assert_eq!(listings(&disk), ["/a", "/d/a"]);
    Ok(())
}

#[test]
fn what_an_image_decides_has_nothing_to_do_with_the_log_before_it() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.create(path("/a"))?; // operation 1 there ...
    disk.sync_dir(path("/"))?;
    let image = disk.kill_image(disk.op_count());
    image.create(path("/z"))?; // ... and operation 1 here
    image.open(path("/a"), Access::Write)?.write_at(0, b"x")?;
    let alone = vec![("/a".to_owned(), b"x".to_vec())];
    assert!(outcomes(&image).contains(&alone));
    Ok(())
}
