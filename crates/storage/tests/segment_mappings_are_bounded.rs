//! The handler of the signal watches a table of fixed size: who finds no room in it reads the section
//! instead, and room comes back with each mapping that goes.

// The only test of this file: others would find no room.
#![cfg(unix)]

mod common;

use std::sync::Arc;

use cairn_env::OsDisk;
use cairn_storage::{REQUIRED, SectionId, SegmentReader, SegmentWriter};
use cairn_testkit::TempDir;
use common::env_on;

const ID: SectionId = SectionId { kind: 1, field: 0 };

#[test]
fn more_mappings_than_are_watched_are_not_made() {
    let dir = TempDir::new("bounded");
    let env = env_on(Arc::new(OsDisk), 1);
    let path = dir.path().join("mapped.seg");
    let mut writer = SegmentWriter::create(&env, &path, [7; 16], 1).unwrap();
    writer.begin(ID, REQUIRED).unwrap();
    writer.write(&[5; 10_000]).unwrap();
    writer.end().unwrap();
    writer.finish().unwrap();
    let reader = SegmentReader::open(&env, &path, None, &[1]).unwrap();
    for _ in 0..2 {
        let mut held = Vec::new();
        while let Some(mapping) = reader.map(ID).unwrap() {
            assert!(mapping.bytes().iter().all(|&byte| byte == 5));
            held.push(mapping);
        }
        assert_eq!(held.len(), 1_024);
    }
}
