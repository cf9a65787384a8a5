#![no_main]

use std::path::Path;

// Any bytes as one section of a segment that is otherwise right. The first byte says of which.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else {
        return;
    };
    let env = cairn_fuzz::place(|_, _| {});
    // Of the first collection for most, whose rows are few; of the one with a graph for some.
    let id = if which < 224 { 1 } else { 2 };
    let root = Path::new(cairn_fuzz::DIR).join(format!("collections/{id:016x}"));
    cairn_engine::fuzz::replace_section(&env, &root, id, usize::from(which), bytes);
    cairn_fuzz::look_at_everything(&env);
});
