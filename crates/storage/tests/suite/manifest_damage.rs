//! A bit rots in CURRENT or in a manifest, or somebody puts another file in its place. It is
//! reported, naming the file. There is no falling back to an older version: the newer one was
//! acknowledged.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are test code"
)]

use std::path::{Path, PathBuf};

use cairn_env::Env;
use cairn_storage::{
    Leftover, StorageError, leftovers, list_versions, load, publish, read_current,
};

use crate::common;
use common::*;

const BODY: &[u8] = b"any bytes the engine likes";

fn dir() -> &'static Path {
    Path::new("/db")
}

fn published() -> (Env, PathBuf, PathBuf) {
    let env = memory_env();
    env.disk.create_dir(dir()).unwrap();
    env.disk.create_dir(&dir().join("manifest")).unwrap();
    publish(&env, dir(), "manifest", "man", 1, b"older").unwrap();
    publish(&env, dir(), "manifest", "man", 2, BODY).unwrap();
    let manifest = dir().join("manifest/00000000000000000002.man");
    (env, dir().join("CURRENT"), manifest)
}

/// Puts each of `mutants` in place of the file and expects damage to be reported.
fn all_reported<T: std::fmt::Debug>(
    env: &Env,
    path: &Path,
    read: impl Fn() -> cairn_storage::Result<T>,
) {
    let bytes = read_file(env, path);
    for bit in 0..bytes.len() * 8 {
        let mut mutant = bytes.clone();
        mutant[bit / 8] ^= 1 << (bit % 8);
        write_file(env, path, &mutant);
        assert_corrupt(read(), &format!("bit {bit}"));
    }
    for length in 0..bytes.len() {
        write_file(env, path, &bytes[..length]);
        assert_corrupt(read(), &format!("cut at {length}"));
    }
    write_file(env, path, &[&bytes[..], &[0]].concat());
    assert_corrupt(read(), "one byte more");
    write_file(env, path, &bytes);
    read().unwrap();
}

#[test]
fn every_bit_and_every_length() {
    let (env, current, manifest) = published();
    all_reported(&env, &current, || read_current(&env, dir()));
    all_reported(&env, &manifest, || load(&env, dir(), "manifest", "man", 2));
    assert_eq!(load(&env, dir(), "manifest", "man", 2).unwrap(), BODY);
}

#[test]
fn another_version_or_another_kind_in_its_place() {
    let (env, _, manifest) = published();
    let bytes = read_file(&env, &manifest);
    write_file(
        &env,
        &dir().join("manifest/00000000000000000003.man"),
        &bytes,
    );
    assert_corrupt(
        load(&env, dir(), "manifest", "man", 3),
        "version 2 as version 3",
    );
    write_file(
        &env,
        &dir().join("manifest/00000000000000000002.cat"),
        &bytes,
    );
    assert_corrupt(
        load(&env, dir(), "manifest", "cat", 2),
        "a manifest as a catalog",
    );
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (env, current, manifest) = published();
    for (path, header) in [(current, 32), (manifest, 48)] {
        let bytes = read_file(&env, &path);
        for byte in [8, 10] {
            let mut newer = bytes.clone();
            newer[byte] = 9;
            fix_crc(&mut newer[..header], 12);
            write_file(&env, &path, &newer);
            let result =
                read_current(&env, dir()).and_then(|_| load(&env, dir(), "manifest", "man", 2));
            assert!(
                matches!(result, Err(StorageError::Unsupported { .. })),
                "{result:?}"
            );
        }
        write_file(&env, &path, &bytes);
    }
}

#[test]
fn lengths_made_to_hurt_take_no_memory() {
    let (env, _, manifest) = published();
    let bytes = read_file(&env, &manifest);
    for length in [u64::MAX, u64::MAX - 47, 1 << 62, 0] {
        let mut hostile = bytes.clone();
        hostile[24..32].copy_from_slice(&length.to_le_bytes());
        fix_crc(&mut hostile[..48], 12);
        write_file(&env, &manifest, &hostile);
        assert_corrupt(load(&env, dir(), "manifest", "man", 2), "length");
    }
}

#[test]
fn leftovers_are_what_was_never_published() {
    let (env, _, _) = published();
    let sub = dir().join("manifest");
    let newer = sub.join("00000000000000000007.man");
    write_file(&env, &newer, b"half");
    write_file(&env, &dir().join("CURRENT.tmp"), b"");
    for other in [
        "7.man",
        "00000000000000000008.cat",
        "notes.txt",
        "+0000000000000000009.man",
    ] {
        write_file(&env, &sub.join(other), b"not ours");
    }
    assert_eq!(
        list_versions(&env, dir(), "manifest", "man").unwrap(),
        [1, 2, 7]
    );
    let expected = [
        Leftover {
            path: dir().join("CURRENT.tmp"),
            version: None,
        },
        Leftover {
            path: newer,
            version: Some(7),
        },
    ];
    let found = leftovers(&env, dir(), "manifest", "man", Some(2)).unwrap();
    assert_eq!(found, expected);
}
