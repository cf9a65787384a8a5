#![no_main]

use std::path::Path;

use cairn_storage::SegmentReader;

// Any bytes as a segment container.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let env = cairn_fuzz::env();
    let path = Path::new("/a.seg");
    cairn_fuzz::put(&env, path, bytes);
    let Ok(reader) = SegmentReader::open(
        &env,
        path,
        None,
        &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17],
    ) else {
        return;
    };
    let _ = reader.verify_all();
    for section in reader.sections() {
        assert!(section.bytes <= bytes.len() as u64);
        if let Ok(body) = reader.read(section.id) {
            assert_eq!(body.len() as u64, section.bytes);
        }
    }
});
