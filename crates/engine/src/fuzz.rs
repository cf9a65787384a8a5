//! What fuzzing calls: the decoders behind the checksums. There only under `--cfg fuzzing`.

use std::path::Path;

use cairn_env::Env;
use cairn_storage::{SegmentReader, SegmentWriter};

use crate::batch::Payloads;
use crate::catalog::Catalog;
use crate::frame::{Changes, Reader};
use crate::idempotency::{self, Outcome};
use crate::keys::KeyType;
use crate::manifest::{self, Manifest};
use crate::payload;
use crate::schema::{Extra, IndexKind, MetricName, Schema, VectorField};
use crate::segment::{sections, segment_path};
use crate::tombstones::Tombstones;

/// The body of a log frame, for keys of either type.
pub fn changes(bytes: &[u8]) {
    for key in [KeyType::String, KeyType::U64] {
        let schema = Schema {
            key,
            vectors: vec![VectorField {
                name: "v".into(),
                dim: 2,
                metric: MetricName::L2,
                index: IndexKind::Auto,
            }],
            fields: Vec::new(),
            extra: Extra::Allow,
        };
        if let Ok(changes) = Changes::decode(bytes, &schema) {
            assert_eq!(changes.vectors[0].len(), 2 * changes.keys.len());
            let encoded = changes.encode().parts().concat();
            let again = Changes::decode(&encoded, &schema).expect("what was written can be read");
            assert!(again.keys.iter().eq(changes.keys.iter()));
            assert!(again.removed.iter().eq(changes.removed.iter()));
        }
    }
}

/// The fields of a record: checked, cut and merged.
pub fn payload(bytes: &[u8]) {
    let mut payloads = Payloads::default();
    payloads.push(bytes);
    if payload::validate(bytes).is_err() {
        return;
    }
    let names = ["a".to_owned(), "b".to_owned()];
    let cut = payload::select(bytes, &names).expect("valid fields can be cut");
    payload::validate(&cut).expect("a part of valid fields is valid");
    let merged = payload::merge(bytes, &cut).expect("valid fields can be merged");
    payload::validate(&merged).expect("merged fields are valid");
}

/// The body of a manifest.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = rmp_serde::from_slice::<Manifest>(bytes) {
        let encoded = rmp_serde::to_vec_named(&manifest).expect("it can be written");
        let _ = rmp_serde::from_slice::<Manifest>(&encoded).expect("and read again");
    }
}

/// The body of a catalog.
pub fn catalog(bytes: &[u8]) {
    if let Ok(catalog) = rmp_serde::from_slice::<Catalog>(bytes) {
        for entry in &catalog.collections {
            let _ = entry.schema.validate();
        }
    }
}

/// The body of a frame of a keyed write, and of a file of outcomes.
pub fn outcomes(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if let Ok(outcome) = Outcome::decode(&mut reader, 1) {
        let encoded = outcome.encode();
        assert_eq!(encoded, bytes[..encoded.len()]);
        changes(reader.rest());
    }
    if let Ok(outcomes) = idempotency::decode_all(bytes) {
        let encode = |outcome: &Outcome| {
            let version = outcome.result.version.to_le_bytes();
            [&version[..], &outcome.encode()].concat()
        };
        assert_eq!(
            outcomes.iter().map(encode).collect::<Vec<_>>().concat(),
            bytes
        );
    }
}

/// A deletion bitmap; the first two bytes are the number of rows.
pub fn deletions(bytes: &[u8]) {
    let Some((rows, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let rows = u16::from_le_bytes(*rows);
    if let Ok(tombstones) = Tombstones::from_bytes(bytes, usize::from(rows)) {
        let seen = (0..u32::from(rows)).filter(|&row| tombstones.sees(row, 1));
        assert_eq!(seen.count() + tombstones.count(), usize::from(rows));
        assert_eq!(tombstones.to_bytes(1), bytes);
    }
}

/// Puts `bytes` in the place of section number `which` of the first segment of the collection in `root`,
/// in a container and under a manifest that are right.
pub fn replace_section(env: &Env, root: &Path, collection: u64, which: usize, bytes: &[u8]) {
    let mut manifest = manifest::read(env, root, collection)
        .expect("a manifest")
        .expect("a current one");
    let dir = root.join("seg");
    let entry = manifest.segments.first_mut().expect("a segment");
    let path = segment_path(&dir, entry.id);
    let reader = SegmentReader::open(env, &path, None, &sections::KNOWN).expect("a container");
    let made = dir.join("made");
    let mut writer = SegmentWriter::create(env, &made, entry.id.0, collection).expect("a file");
    let which = which % reader.sections().len();
    for (index, section) in reader.sections().iter().enumerate() {
        writer.begin(section.id, section.flags).expect("a section");
        if index == which {
            writer.write(bytes).expect("room");
        } else {
            let body = reader.read(section.id).expect("a body");
            writer.write(&body).expect("room");
        }
        writer.end().expect("an end");
    }
    entry.file = writer.finish().expect("a whole file").into();
    env.disk.rename(&made, &path).expect("a place");
    manifest.version += 1;
    manifest::publish(env, root, &manifest).expect("a publication");
}

/// Kind and body of section number `which` of the first segment of the collection in `root`.
#[must_use]
pub fn section(env: &Env, root: &Path, collection: u64, which: usize) -> Option<(u32, Vec<u8>)> {
    let manifest = manifest::read(env, root, collection).ok()??;
    let path = segment_path(&root.join("seg"), manifest.segments.first()?.id);
    let reader = SegmentReader::open(env, &path, None, &sections::KNOWN).ok()?;
    let section = *reader.sections().get(which % reader.sections().len())?;
    Some((section.id.kind, reader.read(section.id).ok()?))
}
