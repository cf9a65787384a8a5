#![no_main]

// Patches over the files of a small database, which is opened and read.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cairn_fuzz::look_at_everything(&cairn_fuzz::patched(bytes));
});
