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
use crate::schema::{Extra, IndexKind, MetricName, Quantize, Schema, VectorField, VectorKind};
use crate::segment::blocks::BlockTable;
use crate::segment::{sections, segment_path};
use crate::tombstones::Tombstones;

/// The body of a log frame, for keys of either type.
pub fn changes(bytes: &[u8]) {
    let kinds = [
        VectorKind::F32,
        VectorKind::F16,
        VectorKind::I8,
        VectorKind::Sparse,
        VectorKind::Multi,
    ];
    for (key, kind) in [KeyType::String, KeyType::U64]
        .into_iter()
        .flat_map(|key| kinds.map(|kind| (key, kind)))
    {
        let schema = Schema {
            key,
            vectors: vec![VectorField {
                name: "v".into(),
                dim: 2,
                metric: MetricName::L2,
                index: IndexKind::Auto,
                kind,
                quantize: Quantize::None,
            }],
            fields: Vec::new(),
            extra: Extra::Allow,
            expires_at: None,
        };
        if let Ok(changes) = Changes::decode(bytes, &schema) {
            for row in 0..changes.keys.len() {
                assert!(!changes.vector(row, 0).is_empty());
            }
            let encoded = changes.encode(&schema).parts().concat();
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
            let _ = entry.structure();
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

/// A table of blocks, and the blocks. Before them the number of rows and the length of the blocks, two bytes
/// each.
pub fn blocks(bytes: &[u8]) {
    let Some((head, bytes)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let rows = u16::from_le_bytes([head[0], head[1]]);
    let stored = usize::from(u16::from_le_bytes([head[2], head[3]]));
    let Some((stored, table)) = bytes.split_at_checked(stored) else {
        return;
    };
    let Ok(table) = BlockTable::from_bytes(table, rows.into(), stored.len() as u64) else {
        return;
    };
    for row in 0..u32::from(rows) {
        let block = table.block_of(row);
        let plain_bytes = table.blocks()[block].plain_bytes();
        assert!(table.blocks()[block].rows().contains(&row));
        assert!(table.range_in(block, row).end <= plain_bytes);
    }
    for block in table.blocks() {
        let range = block.range();
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).expect("small"));
        let mut plain = vec![0; block.plain_bytes()];
        let _ = block.unpack(&stored[start..end], &mut plain);
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
