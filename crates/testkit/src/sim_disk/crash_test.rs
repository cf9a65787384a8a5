//! File contents after a crash, and counts worked out by hand.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cairn_env::{Access, Disk, DiskFile};

use super::{Choice, Fate, SimDisk, Tear};

const LOG: &str = "/log";

/// A disk with an empty, durable file.
fn disk_with_log() -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    disk.put(LOG, b"").unwrap();
    let file = disk.open(Path::new(LOG), Access::Write).unwrap();
    (disk, file)
}

/// Contents of the file in every image, now.
fn contents(disk: &SimDisk) -> BTreeSet<Vec<u8>> {
    let images = disk.enumerate_images(disk.op_count(), 16);
    images
        .map(|image| image.disk.read_all(LOG).unwrap())
        .collect()
}

fn one_of(alternatives: &[&[u8]]) -> BTreeSet<Vec<u8>> {
    alternatives.iter().map(|bytes| bytes.to_vec()).collect()
}

#[test]
fn synced_bytes_stay_and_others_may_go() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"ab")?;
    assert_eq!(contents(&disk), one_of(&[b"", b"\0\0", b"ab"]));
    file.sync_data()?;
    assert_eq!(contents(&disk), one_of(&[b"ab"]));
    file.write_at(1, b"cd")?;
    // The last one is the data without the longer length.
    assert_eq!(contents(&disk), one_of(&[b"ab", b"ab\0", b"acd", b"ac"]));
    Ok(())
}

#[test]
fn a_sector_holds_what_the_cache_held_at_some_time() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"____")?;
    file.sync_data()?;
    file.write_at(0, b"1")?;
    file.write_at(1, b"2")?;
    // "_2__" was never in the cache, so it cannot be on the disk.
    assert_eq!(contents(&disk), one_of(&[b"____", b"1___", b"12__"]));
    Ok(())
}

#[test]
fn writes_to_different_sectors_arrive_in_any_order() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, &[0; 1024])?;
    file.sync_data()?;
    file.write_at(0, b"1")?;
    file.write_at(512, b"2")?;
    let seen: BTreeSet<(u8, u8)> = contents(&disk)
        .into_iter()
        .map(|bytes| (bytes[0], bytes[512]))
        .collect();
    let expected = [(0, 0), (b'1', 0), (0, b'2'), (b'1', b'2')];
    assert_eq!(seen, BTreeSet::from(expected));
    Ok(())
}

#[test]
fn a_torn_write_is_a_mixture_of_whole_sectors() -> io::Result<()> {
    const WRITTEN: std::ops::Range<usize> = 100..100 + 12 * 1024;
    let (disk, file) = disk_with_log();
    file.write_at(0, &[1; 16 * 1024])?;
    file.sync_data()?;
    file.write_at(WRITTEN.start as u64, &[2; 12 * 1024])?;
    let mut mixtures = 0;
    for sector_bytes in [512, 4096] {
        for pattern in 0..1u32 << 4 {
            let tear = Tear {
                sector_bytes,
                kept: (0..25).map(|n| pattern >> (n % 4) & 1 == 1).collect(),
                length: false,
            };
            let mut choice = Choice::fates(vec![Fate::Torn(tear)]);
            let image = disk.crash_image(disk.op_count(), &mut choice);
            let bytes = image.read_all(LOG)?;
            for (at, &byte) in bytes.iter().enumerate() {
                let sector = at / sector_bytes as usize;
                let arrived = WRITTEN.contains(&at) && pattern >> (sector % 4) & 1 == 1;
                assert_eq!(byte, if arrived { 2 } else { 1 }, "at={at}");
            }
            mixtures += usize::from(bytes[WRITTEN].contains(&1) && bytes.contains(&2));
        }
    }
    assert_eq!(mixtures, 2 * 14, "all but the empty and the full pattern");
    Ok(())
}

#[test]
fn random_tears_reach_every_sector_subset() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, &[0; 2048])?;
    file.sync_data()?;
    file.write_at(0, &[1; 2048])?;
    let seen: BTreeSet<[u8; 4]> = disk
        .random_images(disk.op_count(), 2000, 11)
        .map(|image| {
            let bytes = image.disk.read_all(LOG).unwrap();
            [bytes[0], bytes[512], bytes[1024], bytes[1536]]
        })
        .collect();
    assert_eq!(seen.len(), 16);
    Ok(())
}

#[test]
fn a_lost_cut_takes_what_came_after_along() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"old!")?;
    file.sync_data()?;
    file.set_len(0)?;
    file.write_at(0, b"new")?;
    assert_eq!(contents(&disk), one_of(&[b"old!", b"", b"new", b"\0\0\0"]));
    Ok(())
}

#[test]
fn what_was_cut_off_does_not_come_back_when_the_file_grows() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, &[7; 10_000])?;
    file.sync_data()?;
    file.set_len(100)?;
    file.set_len(10_000)?;
    let image = disk.kill_image(disk.op_count());
    let bytes = image.read_all(LOG)?;
    assert_eq!((&bytes[..100], bytes.len()), (&[7; 100][..], 10_000));
    assert!(bytes[100..].iter().all(|&byte| byte == 0));
    Ok(())
}

#[test]
fn data_behind_a_lost_length_is_gone_for_good() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"secret")?;
    let tear = Tear {
        sector_bytes: 512,
        kept: vec![true],
        length: false,
    };
    let mut choice = Choice::fates(vec![Fate::Torn(tear)]);
    let image = disk.crash_image(disk.op_count(), &mut choice);
    image.open(Path::new(LOG), Access::Write)?.set_len(6)?;
    assert_eq!(image.read_all(LOG)?, [0; 6]);
    Ok(())
}

#[test]
fn preallocated_space_reads_zeros_until_data_arrives() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.preallocate(4)?;
    assert_eq!(contents(&disk), one_of(&[b"", b"\0\0\0\0"]));
    file.sync_data()?;
    file.write_at(1, b"x")?;
    assert_eq!(contents(&disk), one_of(&[b"\0\0\0\0", b"\0x\0\0"]));
    Ok(())
}

#[test]
fn counts_are_as_worked_out_by_hand() -> io::Result<()> {
    let disk = SimDisk::new();
    let file = disk.create(Path::new("/a"))?;
    file.write_at(0, &[7; 1024])?;
    let mut images = disk.enumerate_images(2, 8);
    // Subsets: nothing; the name; name and write. The write without the name is nothing again.
    // Tears: first sector, second sector, no sector, each with the length; at 4096 there is
    // only one sector. The name has to be there, so there is one surrounding.
    assert_eq!(images.by_ref().count(), 3 + 3);
    assert_eq!(
        images.coverage().to_string(),
        "covered 4/4 subsets of 2 undecided operations (1 coincide), 3 torn variants"
    );

    // Three independent names and nothing to tear.
    let disk = SimDisk::new();
    for name in ["/a", "/b", "/c"] {
        disk.create(Path::new(name))?;
    }
    assert_eq!(disk.enumerate_images(3, 8).count(), 8);
    assert_eq!(disk.enumerate_images(2, 8).count(), 4);
    assert_eq!(disk.enumerate_images(0, 8).count(), 1);
    // The two youngest in all ways, the oldest kept in one pass and lost in the other.
    assert_eq!(disk.enumerate_images(3, 2).count(), 8);
    let mut images = disk.enumerate_images(3, 1);
    assert_eq!(images.by_ref().count(), 4);
    let coverage = images.coverage();
    assert_eq!((coverage.covered, coverage.subsets), (4, 8));
    Ok(())
}

#[test]
fn bits_decide_one_operation_each() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"aa")?;
    file.write_at(600, b"b")?;
    let read = |bits: &[bool]| {
        let image = disk.crash_image(disk.op_count(), &mut Choice::bits(bits));
        image.read_all(LOG).unwrap()
    };
    assert_eq!(read(&[]), b"");
    assert_eq!(read(&[true]), b"aa");
    let both = read(&[true, true]);
    assert_eq!((&both[..2], both[600], both.len()), (&b"aa"[..], b'b', 601));
    let second = read(&[false, true]);
    assert_eq!((&second[..2], second[600]), (&b"\0\0"[..], b'b'));
    Ok(())
}

#[test]
fn a_failed_sync_is_not_healed_by_the_next() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"ab")?;
    disk.fail_sync_nth(1, io::ErrorKind::Other);
    assert!(file.sync_data().is_err());
    file.sync_data()?;
    assert_eq!(disk.read_all(LOG)?, b"ab");
    assert_eq!(contents(&disk), one_of(&[b"", b"\0\0", b"ab"]));
    // Writing the same sector again is what heals it.
    file.write_at(0, b"cd")?;
    file.write_at(2, b"e")?;
    file.sync_data()?;
    assert_eq!(contents(&disk), one_of(&[b"cde"]));
    Ok(())
}

#[test]
fn what_a_failed_sync_left_is_undecided_beside_what_is_synced_later() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, &[0; 1024])?;
    file.sync_data()?;
    file.write_at(0, b"1")?;
    disk.fail_sync_nth(2, io::ErrorKind::Other);
    assert!(file.sync_data().is_err());
    file.write_at(512, b"2")?;
    file.sync_data()?;
    let seen: BTreeSet<(u8, u8)> = contents(&disk)
        .into_iter()
        .map(|bytes| (bytes[0], bytes[512]))
        .collect();
    assert_eq!(seen, BTreeSet::from([(0, b'2'), (b'1', b'2')]));
    Ok(())
}

#[test]
fn a_cut_that_a_failed_sync_left_is_durable_once_later_writes_are() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, &[7; 2000])?;
    file.sync_data()?;
    file.set_len(0)?;
    disk.fail_sync_nth(2, io::ErrorKind::Other);
    assert!(file.sync_data().is_err());
    // The sector between these two shows whether the cut is there.
    file.write_at(0, b"new")?;
    file.write_at(1999, b"!")?;
    file.sync_data()?;
    assert_eq!(contents(&disk), one_of(&[&disk.read_all(LOG)?]));
    assert_eq!(disk.read_all(LOG)?[1000], 0);
    Ok(())
}

#[test]
fn a_lying_sync_promises_nothing() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    disk.lie_on_sync(true);
    file.write_at(0, b"x")?;
    file.sync_data()?;
    disk.create(Path::new("/b"))?;
    disk.sync_dir(Path::new("/"))?;
    let lost = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
    assert_eq!((lost.read_all(LOG)?, lost.paths().len()), (vec![], 1));
    disk.lie_on_sync(false);
    file.sync_data()?;
    assert_eq!(contents(&disk), one_of(&[b"x"]));
    Ok(())
}

#[test]
fn killing_the_process_loses_nothing() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    let held = disk.lock(Path::new("/LOCK"))?;
    assert!(held.is_some() && disk.lock(Path::new("/LOCK"))?.is_none());
    file.write_at(0, b"x")?;
    disk.create(Path::new("/b"))?;
    let image = disk.kill_image(disk.op_count());
    assert_eq!(image.paths(), ["/LOCK", "/b", "/log"]);
    assert_eq!(image.read_all(LOG)?, b"x");
    let again = image.lock(Path::new("/LOCK"))?;
    assert!(again.is_some(), "locks die with their holder");
    Ok(())
}

#[test]
fn an_image_is_a_disk_of_its_own_and_can_crash_again() -> io::Result<()> {
    let (disk, file) = disk_with_log();
    file.write_at(0, b"x")?;
    let image = disk.kill_image(disk.op_count());
    // What was found after the crash is durable there.
    assert_eq!(contents(&image), one_of(&[b"x"]));
    let again = image.open(Path::new(LOG), Access::Write)?;
    again.write_at(1, b"y")?;
    assert_eq!(disk.read_all(LOG)?, b"x");
    assert_eq!(contents(&image), one_of(&[b"x", b"x\0", b"xy"]));
    assert_eq!((image.op_count(), image.calls()), (1, 2));
    Ok(())
}
