#![no_main]

// Patches over the files of a small database, which is checked and repaired.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cairn_fuzz::check_and_repair(&cairn_fuzz::patched(bytes));
});
