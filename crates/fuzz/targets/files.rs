#![no_main]

// Patches over the files of a small database. Five bytes a patch: file, place (2), kind, byte.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let patches = bytes.as_chunks::<5>().0;
    let env = cairn_fuzz::place(|index, file| {
        for &[which, low, high, kind, byte] in patches.iter().take(16) {
            if usize::from(which) % cairn_fuzz::SEED.files.len() != index || file.is_empty() {
                continue;
            }
            // Both ends of a file are within reach: headers at one, footers at the other.
            let near = usize::from(u16::from_le_bytes([low, high]));
            let at = match kind % 8 {
                0..=3 => near % file.len(),
                4..=6 => file.len() - 1 - near % file.len(),
                _ => {
                    file.truncate(near % file.len());
                    continue;
                }
            };
            file[at] = byte;
        }
    });
    cairn_fuzz::look_at_everything(&env);
});
