#![no_main]

// Patches over the files of a directory of backups, which are listed, checked, restored and pruned.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cairn_fuzz::look_at_backups(bytes);
});
