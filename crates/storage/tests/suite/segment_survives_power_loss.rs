//! Power is lost while a segment is written. Once `finish` and the directory's sync have
//! returned, the segment is there, whole. Before that it may be missing or broken, and then it
//! says so; it is never readable with wrong bytes.

use std::path::Path;

use cairn_storage::{SegmentReader, StorageError, sync_segment_dir};
use cairn_testkit::{Choice, SimDisk, sim_env};

use crate::common;
use common::segments::*;
use common::*;

#[test]
fn a_finished_segment_is_there_and_an_unfinished_one_never_lies() {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    let bodies = bodies();
    let file = write(&env, &path(), 6, &bodies);
    let finished = disk.op_count();
    sync_segment_dir(&env, Path::new("/")).unwrap();
    let synced = disk.op_count();
    for at in 0..=synced {
        for image in disk.random_images(at, rounds(60), 1) {
            let found = SegmentReader::open(&sim_env(&image.disk), &path(), Some(file), &KNOWN);
            match found {
                Ok(reader) => {
                    for (id, _, body) in &bodies {
                        match reader.read(*id) {
                            Ok(read) => assert!(read == *body, "wrong bytes: {image}"),
                            Err(_) => assert!(at < finished, "lost: {image}"),
                        }
                    }
                }
                Err(StorageError::Missing { .. }) => assert!(at < synced, "gone: {image}"),
                Err(StorageError::Corrupt { .. }) => assert!(at < finished, "broken: {image}"),
                Err(other) => panic!("{other:?}: {image}"),
            }
        }
    }
    let image = disk.crash_image(synced, &mut Choice::lose_all());
    check(&image.read_all(path()).unwrap(), Some(file), &bodies).unwrap();
}

#[test]
fn every_call_fails_once() {
    let bodies = bodies();
    for call in 1.. {
        let disk = SimDisk::new();
        let env = sim_env(&disk);
        disk.fail_nth(call, std::io::ErrorKind::StorageFull);
        let result = try_write(&env, &bodies);
        if disk.calls() < call {
            result.unwrap();
            assert!(call > 4);
            break;
        }
        assert!(
            matches!(result, Err(StorageError::NoSpace { .. })),
            "call {call}: {result:?}"
        );
    }
}

fn try_write(env: &cairn_env::Env, bodies: &[Body]) -> cairn_storage::Result<()> {
    let mut writer = cairn_storage::SegmentWriter::create(env, &path(), [1; 16], 7)?;
    for (id, flags, body) in bodies {
        writer.begin(*id, *flags)?;
        writer.write(body)?;
        writer.end()?;
    }
    writer.finish()?;
    sync_segment_dir(env, Path::new("/"))
}
