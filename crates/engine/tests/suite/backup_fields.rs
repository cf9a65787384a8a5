//! Every field of the record of a backup (FORMAT.md, 12.1) and of the headers of an archive is changed, one at a
//! time. With its checksum left as it was the change is seen; with a right one it is refused, or it is a field that
//! decides nothing, and what is restored is what was backed up. Never anything else.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use cairn_engine::{Code, Database, Job, list_backups, restore, verify_backup};
use cairn_env::{Access, Env};
use cairn_storage::{load, record};

use crate::backup::{Contents, archive, back_up, contents, create, remove_all, rows, unarchive};
use crate::common::{Home, number, put, remove, small};

/// Codes of what is wrong with files, or with what they say.
const REFUSED: [Code; 3] = [
    Code::Corrupt,
    Code::InvalidArgument,
    Code::UnsupportedFormat,
];

const BACKUPS: &str = "/backups";

/// Fields of a record that decide nothing: who lists backups is told them.
const TOLD_ONLY: [&str; 6] = [
    "name",
    "created_unix_ms",
    "database",
    "files_copied",
    "bytes_copied",
    "version_unix_ms",
];

/// Where the value that begins at `at` ends, and where the parts of a map or an array begin and end.
fn value(bytes: &[u8], at: usize) -> (usize, Vec<Range<usize>>) {
    let big = |from: usize, width: usize| {
        bytes[from..from + width]
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte))
    };
    let (head, plain, parts) = match bytes[at] {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (1, 0, 0),
        tag @ 0x80..=0x8f => (1, 0, 2 * usize::from(tag & 15)),
        tag @ 0x90..=0x9f => (1, 0, usize::from(tag & 15)),
        tag @ 0xa0..=0xbf => (1, usize::from(tag & 31), 0),
        0xcc | 0xd0 => (2, 0, 0),
        0xcd | 0xd1 => (3, 0, 0),
        0xce | 0xd2 | 0xca => (5, 0, 0),
        0xcf | 0xd3 | 0xcb => (9, 0, 0),
        0xc4 | 0xd9 => (2, big(at + 1, 1), 0),
        0xc5 | 0xda => (3, big(at + 1, 2), 0),
        0xdc => (3, 0, big(at + 1, 2)),
        0xde => (3, 0, 2 * big(at + 1, 2)),
        tag => panic!("a value of {tag:#x}"),
    };
    let mut end = at + head + plain;
    let mut found = Vec::new();
    for _ in 0..parts {
        let start = end;
        end = value(bytes, start).0;
        found.push(start..end);
    }
    (end, found)
}

/// The fields of the map at `at`: name, and where the value is.
fn fields(bytes: &[u8], at: usize) -> Vec<(String, Range<usize>)> {
    let (_, parts) = value(bytes, at);
    let name = |range: &Range<usize>| {
        let text = &bytes[range.start + 1..range.end];
        String::from_utf8(text.to_vec()).unwrap()
    };
    let pairs = parts.as_chunks::<2>().0.iter();
    pairs
        .map(|[key, value]| (name(key), value.clone()))
        .collect()
}

/// Every field of a record: names with a dot are of the files that it lists.
fn all_fields(bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let mut all = fields(bytes, 0);
    let (_, files) = all
        .iter()
        .find(|(name, _)| name == "files")
        .unwrap()
        .clone();
    for file in value(bytes, files.start).1 {
        for (name, range) in fields(bytes, file.start) {
            if name == "file" {
                let of_file = fields(bytes, range.start).into_iter();
                all.extend(of_file.map(|(name, range)| (format!("files.file.{name}"), range)));
            }
            all.push((format!("files.{name}"), range));
        }
    }
    all
}

/// Values that may stand in the place of one: of other types, too small, too large, lengths without an end.
fn others() -> Vec<Vec<u8>> {
    let all: [&[u8]; 12] = [
        &[0xc0],
        &[0xc3],
        &[0],
        &[0x07],
        &[0xff],
        &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
        &[0xa1, b'x'],
        &[0xdb, 255, 255, 255, 255],
        &[0x90],
        &[0xdd, 255, 255, 255, 255],
        &[0x80],
    ];
    all.map(<[u8]>::to_vec).to_vec()
}

/// A database with a deletion file, backed up once; the body of that record.
fn backed_up(home: &Home) -> (Contents, Vec<u8>) {
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 300));
    docs.compact(&Job::default()).unwrap();
    remove(&docs, &[number(4), number(5)]);
    back_up(&database, &home.env, Path::new(BACKUPS));
    let body = load(&home.env, Path::new(BACKUPS), "backups", "bak", 1).unwrap();
    (contents(&database), body)
}

/// What a restore of the only backup comes to: its contents, or why not.
fn restored(env: &Env) -> Result<Contents, Code> {
    let (source, place) = (Path::new(BACKUPS), Path::new("/r"));
    let made = restore(env, source, place, Some(1), None, &small(), &Job::default());
    let answer = match made {
        Ok(_) => {
            let database = Database::open(env.clone(), place, small()).unwrap();
            Ok(contents(&database))
        }
        Err(error) => Err(error.code()),
    };
    remove_all(env, place);
    answer
}

#[test]
fn every_field_of_a_backups_record_is_refused_or_decides_nothing() {
    let home = Home::memory();
    let (expected, body) = backed_up(&home);
    let (env, dir) = (&home.env, Path::new(BACKUPS));
    assert_eq!(restored(env), Ok(expected.clone()));
    let path = dir.join(format!("backups/{:020}.bak", 1));
    let (mut changes, mut refused) = (0, BTreeSet::new());
    for (name, range) in all_fields(&body) {
        for other in others() {
            if body[range.clone()] == other[..] {
                continue;
            }
            changes += 1;
            let changed = [&body[..range.start], &other, &body[range.end..]].concat();
            env.disk.remove_file(&path).unwrap();
            record(env, dir, "backups", "bak", 1, &changed).unwrap();
            // What is listed is an error of that backup, not of the listing.
            assert_eq!(
                list_backups(env, dir).unwrap().len(),
                1,
                "{name}: {other:x?}"
            );
            if let Err(error) = verify_backup(env, dir, None, &Job::default()) {
                assert!(
                    REFUSED.contains(&error.code()),
                    "{name}: {other:x?}: {error}"
                );
            }
            match restored(env) {
                Ok(found) => {
                    assert_eq!(found, expected, "{name}: {other:x?}");
                    assert!(
                        TOLD_ONLY.contains(&&name[..]),
                        "{name}: {other:x?} is taken"
                    );
                }
                Err(code) => {
                    assert!(REFUSED.contains(&code), "{name}: {other:x?}: {code:?}");
                    refused.insert(name.clone());
                }
            }
        }
    }
    // A number in the place of a number is taken where it decides nothing; everything is refused somehow.
    let names: BTreeSet<String> = all_fields(&body)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(refused, names);
    assert!(changes > 100, "{changes} changes");
    println!("{changes} changes of {} fields", names.len());
}

#[test]
fn a_changed_record_of_a_backup_without_its_checksum_is_damage() {
    let home = Home::memory();
    let (_, body) = backed_up(&home);
    let path = Path::new(BACKUPS).join(format!("backups/{:020}.bak", 1));
    let file = home.env.disk.open(&path, Access::Write).unwrap();
    let begins = file.len().unwrap() - body.len() as u64;
    for (name, range) in all_fields(&body) {
        for at in range {
            let place = begins + at as u64;
            file.write_at(place, &[body[at] ^ 1]).unwrap();
            assert_eq!(restored(&home.env), Err(Code::Corrupt), "{name}: byte {at}");
            file.write_at(place, &[body[at]]).unwrap();
        }
    }
}

#[test]
fn the_fields_of_a_backups_record_are_those_of_the_description() {
    let (_, body) = backed_up(&Home::memory());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md");
    let file = cairn_env::Disk::open(&cairn_env::OsDisk, &path, Access::Read).unwrap();
    let mut text = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (_, section) = text.split_once("### 12.1 ").unwrap();
    let (section, _) = section.split_once("### 12.2 ").unwrap();
    let described: BTreeSet<String> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    let written = fields(&body, 0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(described, written);
}

/// Fields of a header, as POSIX has them, and whether what they say decides anything.
const TAR_FIELDS: [(&str, Range<usize>, bool); 16] = [
    ("name", 0..100, true),
    ("mode", 100..108, false),
    ("uid", 108..116, false),
    ("gid", 116..124, false),
    ("size", 124..136, true),
    ("mtime", 136..148, false),
    ("chksum", 148..156, true),
    ("typeflag", 156..157, true),
    ("linkname", 157..257, false),
    ("magic", 257..263, true),
    ("version", 263..265, false),
    ("uname", 265..297, false),
    ("gname", 297..329, false),
    ("devmajor", 329..337, false),
    ("devminor", 337..345, false),
    ("prefix", 345..500, true),
];

/// Where each header of a good archive begins.
fn headers(archive: &[u8]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    while archive[at..at + 512].iter().any(|&byte| byte != 0) {
        found.push(at);
        let digits = std::str::from_utf8(&archive[at + 124..at + 135]).unwrap();
        let bytes = usize::from_str_radix(digits, 8).unwrap();
        at += 512 + bytes.next_multiple_of(512);
    }
    found
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn every_field_of_an_archives_headers_is_refused_or_decides_nothing() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 60));
    docs.compact(&Job::default()).unwrap();
    remove(&docs, &[number(4)]);
    let expected = contents(&database);
    let whole = archive(&database, None);
    let place = Path::new("/r");
    let (mut taken, mut refused) = (0, 0);
    for header in headers(&whole) {
        for (name, range, decides) in TAR_FIELDS {
            for filling in [0, b' ', b'0', b'5', b'7', b'x', b'/', 0x80, 0xff] {
                for is_sealed in [true, false] {
                    let mut changed = whole.clone();
                    let block = &mut changed[header..header + 512];
                    block[range.clone()].fill(filling);
                    if block == &whole[header..header + 512] {
                        continue;
                    }
                    if is_sealed && name != "chksum" {
                        seal(block);
                    }
                    let sum = |block: &[u8]| block.iter().map(|&byte| u32::from(byte)).sum::<u32>();
                    if !is_sealed
                        && name != "chksum"
                        && sum(block) == sum(&whole[header..header + 512])
                    {
                        // What a sum of bytes cannot tell.
                        continue;
                    }
                    match unarchive(env, &changed, place) {
                        Ok(_) => {
                            let restored = Database::open(env.clone(), place, small()).unwrap();
                            assert_eq!(contents(&restored), expected, "{name} of {filling:#x}");
                            assert!(is_sealed, "{name} of {filling:#x} at {header}");
                            taken += 1;
                        }
                        Err(error) => {
                            assert!(REFUSED.contains(&error.code()), "{name}: {error}");
                            assert!(decides || !is_sealed, "{name} of {filling:#x}: {error}");
                            assert_eq!(env.disk.entry(place).unwrap(), None);
                            refused += 1;
                        }
                    }
                    remove_all(env, place);
                }
            }
        }
    }
    assert!(
        taken > 500 && refused > 500,
        "{taken} taken, {refused} refused"
    );
    println!("{taken} changes decide nothing, {refused} are refused");
}

#[test]
fn an_archive_that_goes_on_behind_its_end_is_refused() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 60));
    let whole = archive(&database, None);
    let place = Path::new("/r");
    // As a tar fills its last record, and as nobody does.
    for (filling, is_fine) in [
        (10_240, true),
        // The first of its two empty blocks is the end.
        (1_048_576 - 512, true),
        (1_048_577, false),
    ] {
        let mut long = whole.clone();
        long.resize(whole.len() + filling, 0);
        let answer = unarchive(env, &long, place);
        match answer {
            Ok(_) => assert!(is_fine, "{filling}"),
            Err(error) => assert!(
                !is_fine && error.code() == Code::Corrupt,
                "{filling}: {error}"
            ),
        }
        remove_all(env, place);
    }
}
