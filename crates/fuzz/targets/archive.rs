#![no_main]

// An archive: bytes as they are, or a good one with some of them changed, in pieces of any length.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[mode, piece], rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let piece = usize::from(piece) * 16 + 1;
    if mode.is_multiple_of(2) {
        cairn_fuzz::unpack(rest, piece);
    } else {
        cairn_fuzz::unpack(&cairn_fuzz::patched_archive(rest), piece);
    }
});
