#![no_main]

use std::path::Path;

use cairn_storage::{FrameToWrite, Wal, WalOptions};

// A log of one or two files with any bytes: opened, appended to, and opened again. The first two bytes
// are the length of the first file.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let env = cairn_fuzz::env();
    let dir = Path::new("/wal");
    env.disk.create_dir(dir).expect("a directory");
    let Some((length, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let (first, second) = bytes.split_at(length.min(bytes.len()));
    cairn_fuzz::put(&env, &dir.join(format!("{:020}.wal", 1)), first);
    if !second.is_empty() {
        cairn_fuzz::put(&env, &dir.join(format!("{:020}.wal", 3)), second);
    }
    let mut last = 0;
    for round in 0..2 {
        let mut seen = 0;
        let opened = Wal::open(&env, dir, options(), 0, &mut |frame| {
            assert!(frame.lsn > seen, "frames come in order");
            seen = frame.lsn;
            Ok(())
        });
        let Ok((wal, recovery)) = opened else {
            assert!(round == 0, "what recovery accepted once it accepts again");
            return;
        };
        assert!(
            recovery.last_lsn >= last,
            "no frame is lost between two openings"
        );
        if recovery.last_lsn == u64::MAX {
            return;
        }
        last = recovery.last_lsn + 1;
        let frame = FrameToWrite {
            lsn: last,
            kind: 1,
            body: &[b"more"],
        };
        wal.append(&[frame], true)
            .expect("a log that opened takes frames");
    }
});

fn options() -> WalOptions {
    WalOptions {
        collection: 1,
        preallocate_bytes_min: 4096,
        ..WalOptions::default()
    }
}
