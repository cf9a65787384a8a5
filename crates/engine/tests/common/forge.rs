//! Segments with something else in the place of their sections.

use std::path::Path;

use cairn_env::Env;
use cairn_storage::{SegmentReader, SegmentWriter, load, publish, read_current};

const ROOT: &str = "/db/collections/0000000000000001";
/// Of the sections that segments have.
pub const KINDS: [u32; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
];

/// Puts what `change` makes of the sections, by their kinds, into their places, every checksum right,
/// and lists the file anew; `None` leaves a section out.
pub fn forge(env: &Env, path: &Path, change: &dyn Fn(u32, Vec<u8>) -> Option<Vec<u8>>) {
    let reader = SegmentReader::open(env, path, None, &KINDS).unwrap();
    let made = path.with_extension("made");
    let (id, collection) = (reader.identity(), reader.collection());
    let mut writer = SegmentWriter::create(env, &made, id, collection).unwrap();
    for section in reader.sections() {
        let body = reader.read(section.id).unwrap();
        if let Some(body) = change(section.id.kind, body) {
            writer.begin(section.id, section.flags).unwrap();
            writer.write(&body).unwrap();
            writer.end().unwrap();
        }
    }
    let (old, new) = (reader.file(), writer.finish().unwrap());
    env.disk.rename(&made, path).unwrap();
    let root = Path::new(ROOT);
    let version = read_current(env, root).unwrap().unwrap();
    let mut manifest = load(env, root, "manifest", "man", version).unwrap();
    // Lengths and checksums, as MessagePack has them.
    let sum = |sum: u32| [&[0xce][..], &sum.to_be_bytes()].concat();
    let bytes = |n: u64| match u16::try_from(n) {
        Ok(n) => [&[0xcd][..], &n.to_be_bytes()].concat(),
        Err(_) => sum(u32::try_from(n).unwrap()),
    };
    for (from, to) in [
        (bytes(old.bytes), bytes(new.bytes)),
        (sum(old.checksum), sum(new.checksum)),
    ] {
        let mut places = manifest.windows(from.len());
        let at = places.position(|bytes| bytes == from);
        let at = at.expect("the manifest knows the file");
        manifest[at..at + from.len()].copy_from_slice(&to);
    }
    env.disk.remove_file(&root.join("CURRENT")).unwrap();
    publish(env, root, "manifest", "man", version, &manifest).unwrap();
}
