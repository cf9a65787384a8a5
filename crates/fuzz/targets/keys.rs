#![no_main]

// The body of a key set: what the data keys of an encrypted database are taken from.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cairn_fuzz::open_with_key_set(bytes);
});
