//! Every field of every header that FORMAT.md describes is changed in place, one at a time. With
//! its checksum left as it was the change is seen, at its place in its file; with all checksums made
//! right again it is refused for what it says, or it is a field that nobody reads. The fields are
//! those of the tables in FORMAT.md, no more and no fewer.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are test code"
)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Disk, Env, OsDisk, Sealing};
use cairn_storage::{
    BLOCK_BYTES, DataKeys, Holder, Key, KeyProvider, NamedKey, REQUIRED, Result, SectionId,
    SegmentReader, SegmentWriter, StorageError, crc32c, load, publish, read_current,
};

use crate::common;
use common::segments::{KNOWN, TRAILER, footer_offset};
use common::*;

/// What becomes of a field that is changed while all checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Refused as damage.
    Corrupt,
    /// Refused as a format of later.
    Newer,
    /// Refused as a key that does not fit.
    Key,
    /// What it points to is not there.
    Missing,
    /// The engine holds it against what it knows; here it comes through.
    Above,
    /// Nobody reads it.
    NotRead,
    /// A field of parts, which have rows of their own.
    Parts,
}
use Told::*;

/// A table of FORMAT.md: under which heading, and there the how manieth.
struct Layout {
    heading: &'static str,
    table: usize,
    /// The columns of offsets and of bytes, as they stand there.
    rows: &'static [(&'static str, &'static str, Told)],
}

const ENVELOPE: usize = 0;
const CURRENT: usize = 1;
const VERSIONED: usize = 2;
const LOG: usize = 3;
const FRAME: usize = 4;
const SECTIONED: usize = 5;
const FOOTER: usize = 6;
const ENTRY: usize = 7;
const END: usize = 8;
const KEY_SET: usize = 9;
const ORIGIN: usize = 10;

const LAYOUTS: [Layout; 11] = [
    Layout {
        heading: "### The envelope",
        table: 0,
        rows: &[
            ("0", "8", Corrupt),
            ("8", "2", Newer),
            ("10", "2", Newer),
            ("12", "4", Corrupt),
        ],
    },
    Layout {
        heading: "## 4. CURRENT",
        table: 0,
        rows: &[
            ("0", "16", Parts),
            ("16", "8", Missing),
            ("24", "8", NotRead),
        ],
    },
    Layout {
        heading: "## 5. Versioned files: catalogs, manifests, recorded versions",
        table: 0,
        rows: &[
            ("0", "16", Parts),
            ("16", "8", Corrupt),
            ("24", "8", Corrupt),
            ("32", "4", Corrupt),
            ("36", "4", Corrupt),
            ("40", "8", NotRead),
            ("48", "", Above),
        ],
    },
    Layout {
        heading: "### 6.1 Files",
        table: 0,
        rows: &[
            ("0", "16", Parts),
            ("16", "8", Corrupt),
            ("24", "8", Corrupt),
            ("32", "8", Corrupt),
            ("40", "8", Corrupt),
            ("48", "8", Corrupt),
            ("56", "8", NotRead),
        ],
    },
    Layout {
        heading: "### 6.2 Frames",
        table: 0,
        rows: &[
            ("0", "4", Corrupt),
            ("4", "4", Corrupt),
            ("8", "4", Corrupt),
            ("12", "1", Corrupt),
            ("13", "1", Newer),
            ("14", "2", NotRead),
            ("16", "8", Corrupt),
            ("24", "8", Corrupt),
            ("32", "8", Corrupt),
            ("40", "8", Corrupt),
            ("48", "8", Corrupt),
            ("56", "", Above),
        ],
    },
    Layout {
        heading: "### 7.1 Header",
        table: 0,
        rows: &[
            ("0", "16", Parts),
            ("16", "16", Corrupt),
            ("32", "8", Above),
            ("40", "24", NotRead),
        ],
    },
    Layout {
        heading: "### 7.3 Footer",
        table: 0,
        rows: &[
            ("0", "4", Corrupt),
            ("4", "12", NotRead),
            ("16", "32 each", Parts),
            ("", "4 each", Corrupt),
            ("", "16 each", Corrupt),
        ],
    },
    Layout {
        heading: "### 7.3 Footer",
        table: 1,
        rows: &[
            ("0", "4", Newer),
            ("4", "4", Corrupt),
            ("8", "4", Newer),
            ("12", "4", Corrupt),
            ("16", "8", Corrupt),
            ("24", "8", Corrupt),
        ],
    },
    Layout {
        heading: "### 7.4 Trailer",
        table: 0,
        rows: &[
            ("0", "16", Parts),
            ("16", "8", Corrupt),
            ("24", "8", Corrupt),
            ("32", "8", Corrupt),
            ("40", "4", Corrupt),
            ("44", "4", NotRead),
        ],
    },
    Layout {
        heading: "### 11.2 Key sets",
        table: 0,
        rows: &[
            ("", "4", Corrupt),
            ("", "`n`", Key),
            ("", "12", Key),
            ("", "40 each", Key),
            ("", "16", Key),
        ],
    },
    Layout {
        heading: "### 11.3 Origin of a file's key",
        table: 0,
        rows: &[("", "8", Corrupt), ("", "16", Corrupt)],
    },
];

/// A field of a file.
#[derive(Clone)]
struct Field {
    /// Layout and row; fields that only the text describes have none.
    row: Option<(usize, usize)>,
    at: Range<usize>,
    told: Told,
    /// Where damage of it may be said to be.
    named: Range<usize>,
}

/// The fields of a layout that stand at a place of their own, for one that begins at `base`.
fn fields(layout: usize, base: usize) -> Vec<Field> {
    let rows = LAYOUTS[layout].rows;
    let plain = |(index, (at, bytes, told)): (usize, &(&str, &str, Told))| {
        let (at, bytes): (usize, usize) = (at.parse().ok()?, bytes.parse().ok()?);
        Some(field(
            Some((layout, index)),
            base + at..base + at + bytes,
            *told,
            base,
        ))
    };
    let found: Vec<Field> = rows.iter().enumerate().filter_map(plain).collect();
    let parts = |part: Field| {
        if part.told == Parts {
            fields(ENVELOPE, part.at.start)
        } else {
            vec![part]
        }
    };
    found.into_iter().flat_map(parts).collect()
}

fn field(row: Option<(usize, usize)>, at: Range<usize>, told: Told, base: usize) -> Field {
    Field {
        row,
        named: base..at.end.max(base + 96),
        at,
        told,
    }
}

/// A field of row `row` at bytes of its own.
fn piece(layout: usize, row: usize, at: Range<usize>) -> Field {
    field(Some((layout, row)), at, LAYOUTS[layout].rows[row].2, 0)
}

/// The origin of a key at `at`.
fn origin(at: usize) -> [Field; 2] {
    [
        piece(ORIGIN, 0, at..at + 8),
        piece(ORIGIN, 1, at + 8..at + 24),
    ]
}

/// Everything that a file of these bytes says.
type Read = Box<dyn Fn(&[u8]) -> Result<Vec<u8>>>;

/// A file, and how it is read.
struct Subject {
    name: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Makes right all checksums that stand behind a change at this offset.
    seal: fn(&mut [u8], usize),
    read: Read,
}

/// Other values of a field.
fn others(old: &[u8]) -> BTreeSet<Vec<u8>> {
    let length = old.len();
    let mut found = BTreeSet::from([vec![0; length], vec![0xff; length]]);
    for at in [0, length / 2, length - 1] {
        for bit in [0, 1, 7] {
            let mut other = old.to_vec();
            other[at] ^= 1 << bit;
            found.insert(other);
        }
    }
    found.remove(old);
    found
}

fn file_of(error: &StorageError) -> &Path {
    match error {
        StorageError::Corrupt { file, .. }
        | StorageError::Unsupported { file, .. }
        | StorageError::Missing { file } => file,
        StorageError::KeyRefused { path, .. } => path,
        other => panic!("no refusal: {other:?}"),
    }
}

fn told(error: &StorageError) -> Told {
    match error {
        StorageError::Corrupt { .. } => Corrupt,
        StorageError::Unsupported { .. } => Newer,
        StorageError::KeyRefused { .. } => Key,
        _ => Missing,
    }
}

/// Changes every field of the file; how many changes that were.
fn change_all(subject: &Subject) -> usize {
    let Subject {
        name, path, bytes, ..
    } = subject;
    let whole = (subject.read)(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut changes = 0;
    for field in &subject.fields {
        let what = || format!("{name} {:?} at {:?}", field.row, field.at);
        let mut answers = Vec::new();
        for value in others(&bytes[field.at.clone()]) {
            changes += 2;
            let mut changed = bytes.clone();
            changed[field.at.clone()].copy_from_slice(&value);
            // What no table names is zero and under no checksum.
            if field.row.is_some() {
                match (subject.read)(&changed) {
                    Err(StorageError::Corrupt { file, offset, .. }) => {
                        assert_eq!(file, *path, "{}", what());
                        let at = usize::try_from(offset).unwrap();
                        assert!(field.named.contains(&at), "{} says {at}", what());
                    }
                    other => panic!("{} unnoticed: {other:?}", what()),
                }
            }
            (subject.seal)(&mut changed, field.at.start);
            match (subject.read)(&changed) {
                Ok(read) => {
                    let same = read == whole;
                    assert!(same || field.told != NotRead, "{} is read", what());
                }
                Err(error) => {
                    assert!(field.told != NotRead, "{} is read: {error}", what());
                    if told(&error) != Missing {
                        assert_eq!(file_of(&error), path, "{}", what());
                    }
                    answers.push(told(&error));
                }
            }
        }
        let expected = !matches!(field.told, NotRead | Above);
        assert!(
            !expected || answers.contains(&field.told),
            "{} told {answers:?}, not {:?}",
            what(),
            field.told
        );
    }
    changes
}

fn provider() -> Arc<dyn KeyProvider> {
    Arc::new(NamedKey {
        id: "first".to_owned(),
        key: Key::new(&[7; 32]),
    })
}

/// A disk with `/db/manifest` and the directory of a log; encrypted or not.
fn ground(encrypted: bool) -> (Env, Env) {
    let clear = memory_env();
    make_wal_dir(&clear);
    for dir in ["/db", "/db/manifest"] {
        clear.disk.create_dir(Path::new(dir)).unwrap();
    }
    let keys = encrypted.then(|| DataKeys::create(&clear, Path::new("/db"), &provider()).unwrap());
    let env = Env {
        sealing: keys.map(|keys| -> Arc<dyn Sealing> { keys }),
        ..clear.clone()
    };
    (clear, env)
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn pointer() -> Subject {
    let (_, env) = ground(false);
    let dir = Path::new("/db");
    publish(&env, dir, "manifest", "man", 3, b"a body").unwrap();
    let path = dir.join("CURRENT");
    Subject {
        name: "CURRENT",
        bytes: read_file(&env, &path),
        fields: fields(CURRENT, 0),
        seal: |bytes, at| {
            if at != 12 {
                fix_crc(bytes, 12);
            }
        },
        read: Box::new({
            let path = path.clone();
            move |bytes| {
                write_file(&env, &path, bytes);
                let version = read_current(&env, dir)?.expect("something was published");
                load(&env, dir, "manifest", "man", version)
            }
        }),
        path,
    }
}

fn seal_versioned(bytes: &mut [u8], at: usize) {
    if at >= 48 {
        let crc = crc32c(&bytes[48..]);
        put_u32(bytes, 32, crc);
    }
    if at != 12 {
        fix_crc(&mut bytes[..48], 12);
    }
}

fn versioned(encrypted: bool) -> Subject {
    let (_, env) = ground(encrypted);
    let dir = Path::new("/db");
    publish(&env, dir, "manifest", "man", 3, b"a body of a manifest").unwrap();
    let path = dir.join("manifest/00000000000000000003.man");
    let bytes = read_file(&env, &path);
    let mut fields = fields(VERSIONED, 0);
    let body = if encrypted { 48 + 40 } else { 48 };
    fields.push(piece(VERSIONED, 6, body..bytes.len()));
    if encrypted {
        fields.extend(origin(48));
        // The tag (11.4).
        fields.push(piece(VERSIONED, 6, 48 + 24..48 + 40));
    }
    Subject {
        name: if encrypted {
            "encrypted versioned file"
        } else {
            "versioned file"
        },
        bytes,
        fields,
        seal: seal_versioned,
        read: Box::new({
            let path = path.clone();
            move |bytes| {
                write_file(&env, &path, bytes);
                load(&env, dir, "manifest", "man", 3)
            }
        }),
        path,
    }
}

fn key_set() -> Subject {
    let (clear, env) = ground(true);
    let dir = Path::new("/db");
    publish(&env, dir, "manifest", "man", 3, b"sealed with the set").unwrap();
    let path = dir.join("keys/set/00000000000000000001.key");
    let bytes = read_file(&clear, &path);
    let mut fields = fields(VERSIONED, 0);
    let (id, end) = (48 + 4, bytes.len());
    fields.extend([
        piece(KEY_SET, 0, 48..id),
        piece(KEY_SET, 1, id..id + 5),
        piece(KEY_SET, 2, id + 5..id + 17),
        piece(KEY_SET, 3, id + 17..id + 57),
        piece(KEY_SET, 4, id + 57..end),
    ]);
    assert_eq!(end, id + 73);
    Subject {
        name: "key set",
        bytes,
        fields,
        seal: seal_versioned,
        read: Box::new({
            let path = path.clone();
            move |bytes| {
                write_file(&clear, &path, bytes);
                let keys = DataKeys::open(&clear, dir, Some(provider()))?.expect("there are keys");
                let env = Env {
                    sealing: Some(keys),
                    ..clear.clone()
                };
                load(&env, dir, "manifest", "man", 3)
            }
        }),
        path,
    }
}

/// A log of frames 1 to 4, each synced before the next one; the second is the one looked at.
fn log(encrypted: bool) -> Subject {
    let (clear, env) = ground(encrypted);
    let frames: Vec<Owned> = (1..5)
        .map(|lsn| Owned::new(lsn, 30 + lsn as usize))
        .collect();
    {
        let opened = open_wal(&env, small_options(), 0).unwrap();
        for frame in &frames {
            append(&opened.wal, std::slice::from_ref(frame), true).unwrap();
        }
    }
    let path = only_wal_file(&clear);
    let bytes = read_file(&clear, &path);
    let (start, more) = if encrypted { (96, 16) } else { (64, 0) };
    let bytes_of = |frame: &Owned| FRAME_HEADER + (frame.body.len() + more).next_multiple_of(8);
    let second = start + bytes_of(&frames[0]);
    let mut all = fields(LOG, 0);
    if encrypted {
        all.extend(origin(64));
        // The checksum of header and origin, and what is zero behind it (11.5).
        all.push(field(Some((ENVELOPE, 3)), 88..92, Corrupt, 0));
        all.push(field(None, 92..96, NotRead, 0));
    }
    let body = second + FRAME_HEADER;
    let mut of_frame = fields(FRAME, second);
    of_frame.push(piece(FRAME, 11, body..body + frames[1].body.len() + more));
    for field in &mut of_frame {
        // The chain of frames ends where it stands.
        field.named = second..second + 1;
    }
    all.extend(of_frame);
    Subject {
        name: if encrypted { "encrypted log" } else { "log" },
        path,
        bytes,
        fields: all,
        seal: if encrypted {
            |bytes, at| seal_log(bytes, at, 96, 16)
        } else {
            |bytes, at| seal_log(bytes, at, 64, 0)
        },
        read: Box::new(move |bytes| {
            let path = only_wal_file(&clear);
            let disk = restore(&wal_dir(), &[(path, bytes.to_vec())], 5);
            let env = Env {
                sealing: env.sealing.clone(),
                ..disk
            };
            let opened = open_wal(&env, small_options(), 0)?;
            Ok(format!("{:?}", opened.frames).into_bytes())
        }),
    }
}

fn seal_log(bytes: &mut [u8], at: usize, start: usize, more: usize) {
    let second = start + FRAME_HEADER + (31_usize + more).next_multiple_of(8);
    if at >= second {
        let body = second + FRAME_HEADER;
        let end = body + (32 + more).next_multiple_of(8);
        if at >= body {
            let crc = crc32c(&bytes[body..end]);
            put_u32(bytes, second + 4, crc);
        }
        if at != second {
            let crc = crc32c(&bytes[second + 4..body]);
            put_u32(bytes, second, crc);
        }
        return;
    }
    if at != 12 {
        fix_crc(&mut bytes[..64], 12);
    }
    if start == 96 && at != 88 {
        let crc = crc32c(&bytes[..88]);
        put_u32(bytes, 88, crc);
    }
}

fn sectioned(encrypted: bool) -> Subject {
    let (_, env) = ground(encrypted);
    let path = segments::path();
    let mut writer = SegmentWriter::create(&env, &path, *b"identity-of-16-b", 7).unwrap();
    let sections = [(1, BLOCK_BYTES + 9), (2, 100)];
    for (kind, bytes) in sections {
        let id = SectionId { kind, field: 0 };
        writer.begin(id, REQUIRED).unwrap();
        writer
            .write(&Owned::new(u64::from(kind), bytes).body)
            .unwrap();
        writer.end().unwrap();
    }
    writer.finish().unwrap();
    let bytes = read_file(&env, &path);
    let (footer, end) = (footer_offset(&bytes), bytes.len() - TRAILER);
    let entry = footer + 16;
    let sums = entry + 2 * 32;
    let mut all = fields(SECTIONED, 0);
    all.extend(fields(FOOTER, footer));
    all.extend(fields(ENTRY, entry));
    all.extend(fields(ENTRY, entry + 32));
    all.extend((0..3).map(|block| piece(FOOTER, 3, sums + 4 * block..sums + 4 * block + 4)));
    if encrypted {
        // In place of the zeros of a file in clear.
        all.retain(|field| field.row != Some((SECTIONED, 3)));
        all.extend(origin(40));
        let tags = sums + 12;
        all.extend((0..4).map(|tag| piece(FOOTER, 4, tags + 16 * tag..tags + 16 * tag + 16)));
        // The footer has a tag of its own, which no checksum can make right again.
        for field in all.iter_mut().filter(|field| field.at.start >= 16) {
            field.told = Corrupt;
        }
    }
    for field in all.iter_mut().filter(|field| field.at.start >= footer) {
        field.named = footer..footer + 1;
    }
    all.extend(fields(END, end));
    Subject {
        name: if encrypted {
            "encrypted sectioned file"
        } else {
            "sectioned file"
        },
        bytes,
        fields: all,
        seal: seal_sectioned,
        read: Box::new({
            let path = path.clone();
            move |bytes| {
                write_file(&env, &path, bytes);
                let reader = SegmentReader::open(&env, &path, None, &KNOWN)?;
                let mut all = reader.identity().to_vec();
                for section in reader.sections() {
                    all.extend(reader.read(section.id)?);
                }
                reader.verify_all()?;
                Ok(all)
            }
        }),
        path,
    }
}

fn seal_sectioned(bytes: &mut [u8], at: usize) {
    let end = bytes.len() - TRAILER;
    if at != 12 {
        fix_crc(&mut bytes[..64], 12);
    }
    let footer = footer_offset(bytes).min(end);
    if at != end + 40 {
        let crc = crc32c(&[&bytes[..64], &bytes[footer..end]].concat());
        put_u32(bytes, end + 40, crc);
    }
    if at != end + 12 {
        fix_crc(&mut bytes[end..], 12);
    }
}

fn subjects() -> Vec<Subject> {
    vec![
        pointer(),
        versioned(false),
        versioned(true),
        key_set(),
        log(false),
        log(true),
        sectioned(false),
        sectioned(true),
    ]
}

#[test]
fn a_changed_field_is_refused_by_file_and_offset() {
    let mut total = 0;
    for subject in subjects() {
        let changes = change_all(&subject);
        println!(
            "{:26} {:3} fields {changes:5} changes",
            subject.name,
            subject.fields.len()
        );
        total += changes;
    }
    println!("{total} changes of header fields");
    assert!(total > 1_500, "{total}");
}

/// The cells of a line of a table; nothing for another line.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect(),
    )
}

/// The tables below a heading of FORMAT.md that list bytes: their offsets and lengths.
fn tables(text: &str, heading: &str) -> Vec<Vec<(String, String)>> {
    let (_, below) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("FORMAT.md has no {heading}"));
    let own = below.lines().take_while(|line| !line.starts_with('#'));
    let mut tables: Vec<Vec<(String, String)>> = Vec::new();
    let mut columns = None;
    for line in own {
        let Some(cells) = cells(line) else {
            columns = None;
            continue;
        };
        match columns {
            None => {
                let at = |name: &str| cells.iter().position(|cell| cell == name);
                columns = Some((at("Offset"), at("Bytes")));
                if at("Bytes").is_some() {
                    tables.push(Vec::new());
                }
            }
            Some((offset, Some(bytes))) if !cells[0].starts_with('-') => {
                let table = tables.last_mut().expect("a table has begun");
                let offset = offset.map_or(String::new(), |at| cells[at].clone());
                table.push((offset, cells[bytes].clone()));
            }
            Some(_) => {}
        }
    }
    tables
}

#[test]
fn the_fields_are_those_of_the_description() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md");
    assert!(OsDisk.entry(&root).unwrap().is_some());
    let text = String::from_utf8(read_file(&env_on(Arc::new(OsDisk), 1), &root)).unwrap();
    let mut described = 0;
    for layout in &LAYOUTS {
        let found = tables(&text, layout.heading);
        let expected: Vec<(String, String)> = layout
            .rows
            .iter()
            .map(|(at, bytes, _)| ((*at).to_owned(), (*bytes).to_owned()))
            .collect();
        assert_eq!(found[layout.table], expected, "{}", layout.heading);
        described += expected.len();
    }
    // And each of them is changed in some file.
    let all: BTreeSet<(usize, usize)> = subjects()
        .iter()
        .flat_map(|subject| subject.fields.iter().filter_map(|field| field.row))
        .collect();
    let mut missing = Vec::new();
    for (index, layout) in LAYOUTS.iter().enumerate() {
        for (row, (_, _, told)) in layout.rows.iter().enumerate() {
            if *told != Parts && !all.contains(&(index, row)) {
                missing.push((layout.heading, row));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    println!("{described} fields in {} tables", LAYOUTS.len());
}

/// `LOCK` is empty and `LOCK.holder` is told to people only: nothing that stands in them keeps
/// anybody out or lets anybody in, whatever its length.
#[test]
fn the_content_of_the_lock_decides_nothing() {
    use cairn_storage::DirectoryLock;
    let me = || Holder {
        pid: 1,
        host: "here".to_owned(),
        since_unix_ms: 5,
    };
    let wait = std::time::Duration::ZERO;
    let hostile: [&[u8]; 7] = [
        b"",
        b"\0",
        b"{\"pid\":-1}",
        b"{\"pid\":4294967296,\"host\":\"x\",\"since_unix_ms\":1}",
        b"{\"pid\":1,\"host\":5,\"since_unix_ms\":1}",
        b"{\"pid\":1,\"host\":\"\xff\",\"since_unix_ms\":1}",
        &[b'['; 5000],
    ];
    for bytes in hostile {
        let (env, _) = ground(false);
        let dir = Path::new("/db");
        write_file(&env, &dir.join("LOCK"), bytes);
        write_file(&env, &dir.join("LOCK.holder"), bytes);
        let held = DirectoryLock::acquire(&env, dir, wait, me()).unwrap();
        write_file(&env, &dir.join("LOCK.holder"), bytes);
        let second = DirectoryLock::acquire(&env, dir, wait, me());
        match second {
            Err(StorageError::Locked { holder }) => {
                assert_eq!((holder.pid, &*holder.host), (0, "unknown"));
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        DirectoryLock::acquire(&env, dir, wait, me()).unwrap();
    }
}
