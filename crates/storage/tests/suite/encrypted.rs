//! Files of an encrypted database: nothing in clear, nothing forged, and keys that can change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::Env;
use cairn_storage::{
    DataKeys, Key, KeyProvider, NamedKey, REQUIRED, Result, SectionId, SegmentReader,
    SegmentWriter, StorageError, WrappedKeys, list_versions, load, publish, read_current, record,
    sealing_unread, wrapping_key_id,
};
use cairn_testkit::{Choice, Rng, SimDisk, sim_env_seeded};

use crate::common;
use common::{
    Owned, append, assert_corrupt, env_on, make_wal_dir, open_wal, read_file, small_options,
    wal_files, write_file,
};

fn dir() -> &'static Path {
    Path::new("/db")
}

fn keys_dir() -> PathBuf {
    dir().join("keys")
}

fn set_file(version: u64) -> PathBuf {
    keys_dir().join("set").join(format!("{version:020}.key"))
}

/// A provider with one key, whose bytes are all `byte`.
fn provider(id: &str, byte: u8) -> Arc<dyn KeyProvider> {
    Arc::new(NamedKey {
        id: id.to_owned(),
        key: Key::new(&[byte; 32]),
    })
}

fn empty(env: &Env) {
    env.disk.create_dir(dir()).expect("an empty disk");
    env.disk.sync_dir(Path::new("/")).expect("an empty disk");
    env.disk
        .create_dir(&dir().join("manifest"))
        .expect("a new directory");
}

/// A disk with keys, and an environment that uses them.
fn encrypted() -> (Env, Arc<DataKeys>) {
    let env = common::memory_env();
    empty(&env);
    let keys = DataKeys::create(&env, dir(), &provider("first", 1)).expect("creates");
    (with(&env, &keys), keys)
}

fn with(env: &Env, keys: &Arc<DataKeys>) -> Env {
    Env {
        sealing: Some(Arc::clone(keys) as _),
        ..env.clone()
    }
}

fn open(env: &Env, provider: &Arc<dyn KeyProvider>) -> Result<Option<Arc<DataKeys>>> {
    let clear = Env {
        sealing: None,
        ..env.clone()
    };
    DataKeys::open(&clear, dir(), Some(Arc::clone(provider)))
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T>, id: &str, part: &str) {
    match result {
        Err(StorageError::KeyRefused { key_id, what, .. }) => {
            assert_eq!(key_id, id);
            assert!(what.contains(part), "{what}");
        }
        other => panic!("expected a refused key, got {other:?}"),
    }
}

/// Text that is recognised wherever it stands.
const TEXT: &[u8] = b"a distinctive text that must not be read by anybody";

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_wrong_key_and_none_at_all_are_refused_and_say_which_is_needed() {
    let (env, _) = encrypted();
    assert!(
        open(&env, &provider("first", 1))
            .expect("the key")
            .is_some()
    );
    // The id is a name and nothing more.
    assert!(open(&env, &provider("renamed", 1)).expect("it").is_some());
    let wrong = open(&env, &provider("first", 2));
    assert_refused(wrong, "first", "does not open");
    let clear = env_on(Arc::clone(&env.disk), 1);
    assert_refused(DataKeys::open(&clear, dir(), None), "first", "no key");
    assert_eq!(
        wrapping_key_id(&clear, dir()).expect("reads"),
        Some("first".to_owned())
    );
}

#[test]
fn a_directory_without_keys_has_none() {
    let env = common::memory_env();
    empty(&env);
    assert!(open(&env, &provider("first", 1)).expect("reads").is_none());
    assert_eq!(wrapping_key_id(&env, dir()).expect("reads"), None);
}

#[test]
fn keys_show_themselves_nowhere() {
    let env = common::memory_env();
    empty(&env);
    let secret = [0x5a; 32];
    let given = provider("first", 0x5a);
    let keys = DataKeys::create(&env, dir(), &given).expect("creates");
    for text in [
        format!("{given:?}"),
        format!("{keys:?}"),
        format!("{:?}", open(&env, &provider("x", 2))),
    ] {
        assert!(!text.contains("90") && !text.contains("5a"), "{text}");
    }
    assert!(!contains(&read_file(&env, &set_file(1)), &secret));
}

#[test]
fn every_bit_of_the_keys_is_watched() {
    let (env, _) = encrypted();
    for path in [set_file(1), keys_dir().join("CURRENT")] {
        let whole = read_file(&env, &path);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                write_file(&env, &path, &bytes);
                match open(&env, &provider("first", 1)) {
                    Err(StorageError::Corrupt { .. }) => {}
                    Err(StorageError::Unsupported { .. }) => {}
                    other => panic!("{path:?} byte={at} bit={bit}: {other:?}"),
                }
            }
        }
        for length in 0..whole.len() {
            write_file(&env, &path, &whole[..length]);
            assert_corrupt(open(&env, &provider("first", 1)), "cut");
        }
        write_file(&env, &path, &whole);
    }
    // With right checksums too: then it is the seal that finds it.
    let path = set_file(1);
    let whole = read_file(&env, &path);
    for at in 48..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let crc = cairn_storage::crc32c(&bytes[48..]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        common::fix_crc(&mut bytes[..48], 12);
        write_file(&env, &path, &bytes);
        let refused = open(&env, &provider("first", 1));
        assert!(refused.is_err(), "byte={at}: {refused:?}");
    }
    write_file(&env, &path, &whole);
    assert!(open(&env, &provider("first", 1)).expect("whole").is_some());
}

#[test]
fn keys_that_are_gone_are_missed() {
    let (env, _) = encrypted();
    publish(&env, dir(), "manifest", "man", 1, TEXT).expect("publishes");
    env.disk
        .remove_file(&keys_dir().join("CURRENT"))
        .expect("it is there");
    let gone = open(&env, &provider("first", 1));
    assert!(
        matches!(gone, Err(StorageError::Missing { .. })),
        "{gone:?}"
    );
    // And what they sealed is not mistaken for something else.
    let clear = env_on(Arc::clone(&env.disk), 1);
    assert_corrupt(load(&clear, dir(), "manifest", "man", 1), "without keys");
}

#[test]
fn versioned_files_are_sealed_and_bound_to_their_version_and_kind() {
    let (env, _) = encrypted();
    env.disk.create_dir(&dir().join("other")).expect("new");
    publish(&env, dir(), "manifest", "man", 1, TEXT).expect("publishes");
    publish(&env, dir(), "manifest", "man", 2, TEXT).expect("publishes");
    let path = |version: u64| dir().join(format!("manifest/{version:020}.man"));
    let (one, two) = (read_file(&env, &path(1)), read_file(&env, &path(2)));
    assert!(!contains(&one, TEXT) && !contains(&two, TEXT));
    assert_ne!(one[48..], two[48..], "another salt, another key");
    assert_eq!(load(&env, dir(), "manifest", "man", 1).expect("it"), TEXT);

    // The body of another version under a right header.
    let mut forged = two.clone();
    forged[16..24].copy_from_slice(&1_u64.to_le_bytes());
    common::fix_crc(&mut forged[..48], 12);
    write_file(&env, &path(1), &forged);
    assert_corrupt(load(&env, dir(), "manifest", "man", 1), "moved");

    // And any byte of it, with checksums made right again.
    for at in 48..two.len() {
        let mut forged = two.clone();
        forged[at] ^= 0x10;
        let crc = cairn_storage::crc32c(&forged[48..]);
        forged[32..36].copy_from_slice(&crc.to_le_bytes());
        common::fix_crc(&mut forged[..48], 12);
        write_file(&env, &path(2), &forged);
        assert_corrupt(load(&env, dir(), "manifest", "man", 2), "forged");
    }

    // Nor does a file in clear pass.
    let clear = env_on(Arc::clone(&env.disk), 1);
    publish(&clear, dir(), "manifest", "man", 3, TEXT).expect("publishes");
    assert_corrupt(load(&env, dir(), "manifest", "man", 3), "in clear");
}

fn section(field: u32) -> SectionId {
    SectionId { kind: 3, field }
}

/// Two sections of three and a half blocks that all hold the same.
fn segment(env: &Env, path: &Path, identity: u8) {
    let mut writer = SegmentWriter::create(env, path, [identity; 16], 7).expect("creates");
    for field in [0, 1] {
        writer.begin(section(field), REQUIRED).expect("begins");
        writer.write(&body()).expect("writes");
        writer.end().expect("ends");
    }
    writer.finish().expect("finishes");
}

fn body() -> Vec<u8> {
    TEXT.repeat(300)[..14_336].to_vec()
}

fn read_segment(env: &Env, path: &Path) -> Result<()> {
    let reader = SegmentReader::open(env, path, None, &[3])?;
    for field in [0, 1] {
        assert!(reader.read(section(field))? == body(), "silently wrong");
    }
    reader.verify_all()
}

#[test]
fn segments_are_sealed_block_by_block() {
    let (env, _) = encrypted();
    let path = dir().join("a.seg");
    segment(&env, &path, 1);
    read_segment(&env, &path).expect("what was written");
    let bytes = read_file(&env, &path);
    assert!(!contains(&bytes, &TEXT[..12]));
    let reader = SegmentReader::open(&env, &path, None, &[3]).expect("opens");
    for (offset, length) in [(0, 1), (4_095, 2), (5_000, 9_000), (14_335, 1)] {
        let mut part = vec![0; length];
        let read = reader.read_range(section(1), offset as u64, &mut part);
        read.expect("a range of it");
        assert_eq!(part, body()[offset..offset + length]);
    }
    let clear = env_on(Arc::clone(&env.disk), 1);
    assert_corrupt(read_segment(&clear, &path), "without keys");
    segment(&clear, &dir().join("clear.seg"), 1);
    assert_corrupt(read_segment(&env, &dir().join("clear.seg")), "in clear");
}

/// Equal blocks look different wherever they stand: no two were sealed with one nonce.
#[test]
fn no_nonce_is_used_twice() {
    let (env, _) = encrypted();
    let path = dir().join("a.seg");
    let mut writer = SegmentWriter::create(&env, &path, [1; 16], 7).expect("creates");
    for field in [0, 1] {
        writer.begin(section(field), REQUIRED).expect("begins");
        writer.write(&[0; 3 * 4_096]).expect("writes");
        writer.end().expect("ends");
    }
    writer.finish().expect("finishes");
    let bytes = read_file(&env, &path);
    let blocks: Vec<&[u8]> = bytes[64..64 + 6 * 4_096].chunks(4_096).collect();

    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).expect("opens").wal;
    let same = |lsn| Owned {
        lsn,
        kind: 1,
        body: vec![0; 256],
    };
    for lsn in 1..7 {
        append(&wal, &[same(lsn), same(lsn + 10)][..1], true).expect("appends");
    }
    drop(wal);
    let log = read_file(&env, &common::only_wal_file(&env));
    let frames: Vec<&[u8]> = (0..6)
        .map(|index| {
            let body = 96 + index * (56 + 256 + 16) + 56;
            &log[body..body + 256]
        })
        .collect();
    for list in [blocks, frames] {
        for (index, one) in list.iter().enumerate() {
            let twice = list[index + 1..].iter().any(|other| one == other);
            assert!(!twice, "a nonce is used twice");
        }
    }
}

#[test]
fn a_block_is_refused_in_any_other_place_whatever_its_checksums_say() {
    let (env, _) = encrypted();
    let (path, other) = (dir().join("a.seg"), dir().join("b.seg"));
    segment(&env, &path, 1);
    segment(&env, &other, 1);
    let (whole, foreign) = (read_file(&env, &path), read_file(&env, &other));
    let footer = common::segments::footer_offset(&whole);
    let sums = footer + 16 + 2 * 32;
    let tags = sums + 8 * 4;
    let second = 64 + body().len().next_multiple_of(64);
    let place = |block: usize| [64, second][block / 4] + block % 4 * 4_096;
    let forge = |from: &[u8], block: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[place(to)..place(to) + 2_048]
            .copy_from_slice(&from[place(block)..place(block) + 2_048]);
        bytes[place(to)..place(to) + 4_096]
            .copy_from_slice(&from[place(block)..place(block) + 4_096]);
        bytes[tags + to * 16..tags + to * 16 + 16]
            .copy_from_slice(&from[tags + block * 16..tags + block * 16 + 16]);
        resum(&mut bytes, sums, &[(to, place(to))]);
        bytes
    };
    let forged = [
        ("another block", forge(&whole, 0, 1)),
        ("another section", forge(&whole, 0, 4)),
        ("another file", forge(&foreign, 0, 0)),
        ("one section less", {
            // The footer's own tag is what finds this: each block that is left is right.
            let mut bytes = whole.clone();
            bytes[footer + 16 + 8] = 0; // a flag of the first section
            seal_footer(&mut bytes);
            bytes
        }),
        ("a whole other file of the same name", {
            let mut bytes = foreign.clone();
            bytes[40..64].copy_from_slice(&whole[40..64]);
            common::fix_crc(&mut bytes[..64], 12);
            seal_footer(&mut bytes);
            bytes
        }),
    ];
    for (what, bytes) in forged {
        write_file(&env, &path, &bytes);
        assert_corrupt(read_segment(&env, &path), what);
    }
    write_file(&env, &path, &whole);
    read_segment(&env, &path).expect("whole again");
}

/// Makes the checksums of these blocks right again, and with them those of the footer.
fn resum(bytes: &mut [u8], sums: usize, blocks: &[(usize, usize)]) {
    for &(block, at) in blocks {
        let mut place = [1; 32];
        place[16..20].copy_from_slice(&3_u32.to_le_bytes());
        let field = u32::try_from(block / 4).expect("small");
        place[20..24].copy_from_slice(&field.to_le_bytes());
        place[24..32].copy_from_slice(&((block % 4) as u64).to_le_bytes());
        let mut crc = cairn_storage::Crc32c::new();
        crc.update(&place);
        crc.update(&bytes[at..at + 4_096]);
        let sum = crc.finish().to_le_bytes();
        bytes[sums + block * 4..sums + block * 4 + 4].copy_from_slice(&sum);
    }
    seal_footer(bytes);
}

fn seal_footer(bytes: &mut [u8]) {
    common::segments::seal(bytes);
}

#[test]
fn every_byte_of_a_segment_is_watched() {
    let (env, _) = encrypted();
    let path = dir().join("a.seg");
    segment(&env, &path, 1);
    let whole = read_file(&env, &path);
    let mut rng = Rng::new(5);
    let footer = common::segments::footer_offset(&whole);
    let edges = (0..64).chain(footer..whole.len());
    let inner = (0..800).map(|_| rng.range(64..footer));
    for at in edges.chain(inner.collect::<Vec<_>>()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        write_file(&env, &path, &bytes);
        let read = read_segment(&env, &path);
        let refused = matches!(
            read,
            Err(StorageError::Corrupt { .. } | StorageError::Unsupported { .. })
        );
        assert!(refused, "byte={at}: {read:?}");
    }
}

#[test]
fn the_log_is_sealed_frame_by_frame_and_delivers_what_was_appended() {
    let (env, _) = encrypted();
    make_wal_dir(&env);
    let frames: Vec<Owned> = (1..40)
        .map(|lsn| Owned {
            body: TEXT.repeat(usize::try_from(lsn).expect("small") % 7),
            ..Owned::new(lsn, 0)
        })
        .collect();
    let wal = open_wal(&env, small_options(), 0).expect("opens").wal;
    for group in frames.chunks(3) {
        append(&wal, group, true).expect("appends");
    }
    drop(wal);
    for path in wal_files(&env) {
        assert!(!contains(&read_file(&env, &path), &TEXT[..12]));
    }
    let opened = open_wal(&env, small_options(), 0).expect("opens");
    assert_eq!(opened.frames, frames);
    // The next file goes on with another key, behind it.
    let more = [Owned::new(50, 33)];
    append(&opened.wal, &more, false).expect("appends");
    drop(opened);
    let again = open_wal(&env, small_options(), 0).expect("opens");
    assert_eq!(again.frames, [&frames[..], &more].concat());
    assert!(again.recovery.rewritten_bytes > 0);

    let clear = env_on(Arc::clone(&env.disk), 1);
    assert_corrupt(open_wal(&clear, small_options(), 0), "without keys");
}

#[test]
fn a_frame_is_refused_in_any_other_place_whatever_its_checksums_say() {
    let (env, _) = encrypted();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).expect("opens").wal;
    let frames: Vec<Owned> = (1..4).map(|lsn| Owned::new(lsn, 64)).collect();
    append(&wal, &frames, true).expect("appends");
    drop(wal);
    let path = common::only_wal_file(&env);
    let whole = read_file(&env, &path);
    let frame = 56 + 64 + 16;
    let at = |index: usize| 96 + index * frame;
    let resum = |bytes: &mut [u8], start: usize| {
        let crc = cairn_storage::crc32c(&bytes[start + 56..start + frame]);
        bytes[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        let crc = cairn_storage::crc32c(&bytes[start + 4..start + 56]);
        bytes[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    };
    let mut forged = Vec::new();
    let mut bytes = whole.clone();
    bytes.copy_within(at(0) + 56..at(1), at(1) + 56);
    resum(&mut bytes, at(1));
    forged.push(("the body of another frame", bytes));
    let mut bytes = whole.clone();
    bytes[at(2) + 24] = 9; // its lsn
    resum(&mut bytes, at(2));
    bytes[at(3)..].fill(0); // the mark knows it better
    forged.push(("another lsn", bytes));
    let mut bytes = whole.clone();
    bytes[at(1) + 12] ^= 1; // its kind
    resum(&mut bytes, at(1));
    forged.push(("another kind", bytes));
    let mut bytes = whole.clone();
    bytes[at(0) + 60] ^= 1;
    resum(&mut bytes, at(0));
    forged.push(("another byte", bytes));
    let mut bytes = whole.clone();
    bytes[at(0) + 8..at(0) + 12].copy_from_slice(&7_u32.to_le_bytes());
    bytes[at(0) + 63] = 0;
    let crc = cairn_storage::crc32c(&bytes[at(0) + 56..at(0) + 64]);
    bytes[at(0) + 4..at(0) + 8].copy_from_slice(&crc.to_le_bytes());
    let crc = cairn_storage::crc32c(&bytes[at(0) + 4..at(0) + 56]);
    bytes[at(0)..at(0) + 4].copy_from_slice(&crc.to_le_bytes());
    forged.push(("shorter than a tag", bytes));
    let mut bytes = whole.clone();
    bytes[72] ^= 1; // the salt
    forged.push(("another salt", bytes));
    for (what, bytes) in forged {
        write_file(&env, &path, &bytes);
        assert_corrupt(open_wal(&env, small_options(), 0), what);
    }
    write_file(&env, &path, &whole);
    let opened = open_wal(&env, small_options(), 0).expect("whole again");
    assert_eq!(opened.frames, frames);
}

#[test]
fn after_a_rotation_old_files_are_read_and_new_ones_have_another_data_key() {
    let (env, keys) = encrypted();
    let (old, new) = (dir().join("old.seg"), dir().join("new.seg"));
    segment(&env, &old, 1);
    keys.rotate(&provider("second", 2)).expect("rotates");
    segment(&env, &new, 2);
    assert_eq!((keys.wrapped_with().as_str(), keys.count()), ("second", 2));
    let data_key = |path: &Path| read_file(&env, path)[40];
    assert_eq!((data_key(&old), data_key(&new)), (1, 2));

    assert_refused(open(&env, &provider("first", 1)), "second", "does not open");
    let reopened = open(&env, &provider("second", 2)).expect("the new key");
    let env = with(&env, &reopened.expect("keys"));
    read_segment(&env, &old).expect("what was written before");
    read_segment(&env, &new).expect("what was written after");
    let versions = list_versions(&env, &keys_dir(), "set", "key").expect("lists");
    assert_eq!(versions, [2], "what the old key opens is gone");
}

/// Every key there is, by its id.
#[derive(Debug)]
struct Vault;

impl KeyProvider for Vault {
    fn current(&self) -> NamedKey {
        provider("first", 1).current()
    }

    fn key(&self, id: &str) -> Option<Key> {
        let byte = match id {
            "first" => 1,
            "second" => 2,
            _ => return None,
        };
        Some(Key::new(&[byte; 32]))
    }
}

/// Who has the database open beside the writer that rotates reads what is written then, if it can
/// have the key.
#[test]
fn a_reader_learns_of_a_rotation_when_it_meets_a_new_data_key() {
    let (env, keys) = encrypted();
    let vault = open(&env, &(Arc::new(Vault) as _)).expect("opens");
    let patient = with(&env, &vault.expect("keys"));
    let stuck = open(&env, &provider("first", 1)).expect("opens");
    let stuck = with(&env, &stuck.expect("keys"));
    keys.rotate(&provider("second", 2)).expect("rotates");
    let path = dir().join("a.seg");
    segment(&env, &path, 1);
    read_segment(&patient, &path).expect("the new key was fetched");
    assert_refused(read_segment(&stuck, &path), "second", "another key by now");
    keys.rotate(&provider("third", 3)).expect("rotates");
    read_segment(&patient, &path).expect("what it knows it keeps");
    let path = dir().join("b.seg");
    segment(&env, &path, 2);
    assert_refused(read_segment(&patient, &path), "third", "another key by now");
}

#[test]
fn a_key_without_a_name_or_with_an_endless_one_is_refused() {
    let (env, keys) = encrypted();
    for id in [String::new(), "x".repeat(257)] {
        let refused = keys.rotate(&provider(&id, 2));
        assert!(matches!(refused, Err(StorageError::Limit { .. })));
    }
    keys.rotate(&provider(&"x".repeat(256), 2))
        .expect("rotates");
    assert!(open(&env, &provider("x", 2)).expect("opens").is_some());
}

/// Power is lost at every operation of a creation and two rotations.
#[test]
fn a_crash_leaves_the_old_key_or_the_new_one_and_what_was_sealed_opens() {
    let disk = SimDisk::new();
    let env = sim_env_seeded(&disk, 3);
    empty(&env);
    env.disk.sync_dir(dir()).expect("syncs");
    let providers = [
        provider("first", 1),
        provider("second", 2),
        provider("third", 3),
    ];
    // After how many operations each key was promised, and a manifest sealed then.
    let mut promised = vec![];
    let keys = DataKeys::create(&env, dir(), &providers[0]).expect("creates");
    promised.push(disk.op_count());
    let sealed = with(&env, &keys);
    for (index, provider) in providers.iter().enumerate() {
        if index > 0 {
            keys.rotate(provider).expect("rotates");
            promised.push(disk.op_count());
        }
        let version = index as u64 + 1;
        publish(&sealed, dir(), "manifest", "man", version, TEXT).expect("publishes");
    }
    let (mut images, mut found) = (0, [0; 4]);
    for at in 0..=disk.op_count() {
        let mut choices = vec![Choice::keep_all(), Choice::lose_all()];
        choices.extend((0..6).map(|seed| Choice::seeded(seed ^ (at as u64) << 8)));
        for mut choice in choices {
            let image = disk.crash_point(at).recorded_image(&mut choice).disk;
            let env = sim_env_seeded(&image, 4);
            let due = promised.iter().filter(|moment| **moment <= at).count();
            let opens = providers
                .iter()
                .position(|provider| matches!(open(&env, provider), Ok(Some(_))));
            let place = opens.map_or(0, |index| index + 1);
            assert!(
                place == due || place == due + 1,
                "at={at}: {place} of {due} rotations\n{:?}",
                open(&env, &providers[due.max(1) - 1])
            );
            found[place] += 1;
            images += 1;
            let Some(index) = opens else { continue };
            let keys = open(&env, &providers[index]).expect("it").expect("keys");
            keys.settle().expect("settles");
            let sealed = with(&env, &keys);
            if let Some(version) = read_current(&sealed, dir()).expect("readable") {
                let body = load(&sealed, dir(), "manifest", "man", version);
                assert_eq!(body.expect("its keys are there"), TEXT);
            }
            keys.rotate(&provider("last", 9)).expect("rotates again");
            assert!(open(&env, &provider("last", 9)).expect("it").is_some());
        }
    }
    println!("{images} images, opened by none, first, second, third: {found:?}");
    assert!(found.iter().all(|count| *count > 0));
}

/// Every call of the disk fails in turn while keys are rotated. Whatever fails, one of the keys
/// opens the database, and what was written after the failure is read with it.
#[test]
fn a_rotation_that_fails_leaves_a_key_that_opens_and_files_that_are_read() {
    for error in [ErrorKind::Other, ErrorKind::StorageFull] {
        let (mut failures, mut found) = (0, [0; 2]);
        for call in 1.. {
            let disk = SimDisk::new();
            let env = sim_env_seeded(&disk, 1);
            empty(&env);
            env.disk.sync_dir(dir()).expect("syncs");
            let keys = DataKeys::create(&env, dir(), &provider("first", 1)).expect("creates");
            let start = disk.calls();
            disk.fail_nth(start + call, error);
            let rotated = keys.rotate(&provider("second", 2));
            let done = disk.calls() < start + call;
            disk.clear_faults();
            failures += u32::from(rotated.is_err());
            let path = dir().join("a.seg");
            segment(&with(&env, &keys), &path, 1);
            env.disk.sync_dir(dir()).expect("syncs");
            for mut choice in [Choice::keep_all(), Choice::lose_all()] {
                let image = disk.crash_image(disk.op_count(), &mut choice);
                let env = sim_env_seeded(&image, 2);
                let second = open(&env, &provider("second", 2));
                let first = open(&env, &provider("first", 1));
                let opened = match (&rotated, first, second) {
                    (Err(_), Ok(Some(keys)), Err(_)) => (0, keys),
                    (_, Err(_), Ok(Some(keys))) => (1, keys),
                    other => panic!("{error:?} call={call}: {other:?}"),
                };
                found[opened.0] += 1;
                read_segment(&with(&env, &opened.1), &path).expect("a data key that is in both");
            }
            if matches!(rotated, Err(StorageError::NoSpace { .. })) {
                keys.rotate(&provider("third", 3))
                    .expect("nothing had changed");
            } else if rotated.is_err() {
                let again = keys.rotate(&provider("third", 3));
                assert!(matches!(again, Err(StorageError::Poisoned)), "{again:?}");
            }
            if done {
                rotated.expect("nothing failed");
                break;
            }
        }
        println!("{error:?}: {failures} rotations failed, opened by old, new: {found:?}");
        assert!(failures >= 8 && found[0] > 0 && found[1] > 0, "{failures}");
    }
}

#[test]
fn wrapped_keys_are_copied_without_a_key_and_open_with_the_one_of_their_time() {
    let (env, keys) = encrypted();
    let before = WrappedKeys::read(&env, dir())
        .expect("reads")
        .expect("keys");
    publish(&with(&env, &keys), dir(), "manifest", "man", 1, b"secret").expect("publishes");
    keys.rotate(&provider("second", 2)).expect("rotates");
    let after = WrappedKeys::read(&env, dir())
        .expect("reads")
        .expect("keys");
    assert_eq!(before.key_id(dir()).expect("an id"), "first");
    assert_eq!(after.key_id(dir()).expect("an id"), "second");
    let unlock = |wrapped: &WrappedKeys, key| wrapped.unlock(&env, dir(), key);
    assert_refused(unlock(&before, None), "first", "no key");
    assert_refused(
        unlock(&before, Some(provider("x", 2))),
        "first",
        "does not open",
    );
    for (wrapped, byte) in [(&before, 1), (&after, 2)] {
        let keys = unlock(wrapped, Some(provider("x", byte))).expect("unlocks");
        let body = load(&with(&env, &keys), dir(), "manifest", "man", 1).expect("loads");
        assert_eq!(body, b"secret");
        let copy = Path::new("/copy").join(wrapped.version.to_string());
        let _ = env.disk.create_dir(Path::new("/copy"));
        env.disk.create_dir(&copy).expect("a new directory");
        wrapped.publish(&env, &copy).expect("publishes");
        let found = WrappedKeys::read(&env, &copy).expect("reads");
        assert_eq!(found.as_ref(), Some(wrapped));
        let again = wrapped.publish(&env, &copy);
        assert!(matches!(again, Err(StorageError::Limit { .. })));
    }
}

#[test]
fn a_recorded_file_is_encrypted_and_verified_without_a_key() {
    let (env, keys) = encrypted();
    let sealed = with(&env, &keys);
    record(&sealed, dir(), "manifest", "ver", 7, b"secret").expect("records");
    let path = dir().join("manifest").join(format!("{:020}.ver", 7));
    let bytes = read_file(&env, &path);
    assert!(!bytes.windows(6).any(|part| part == b"secret"));
    assert_eq!(
        load(&sealed, dir(), "manifest", "ver", 7).expect("loads"),
        b"secret"
    );
    let clear = Env {
        sealing: None,
        ..env
    };
    let env = &clear;
    assert_corrupt(load(env, dir(), "manifest", "ver", 7), "no keys");
    // Checksums cover the bytes as they are stored: they need no key.
    let unread = &Env {
        sealing: Some(sealing_unread()),
        ..env.clone()
    };
    load(unread, dir(), "manifest", "ver", 7).expect("is whole");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        write_file(env, &path, &damaged);
        load(unread, dir(), "manifest", "ver", 7).expect_err("is damaged");
    }
}
