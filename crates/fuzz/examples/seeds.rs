//! Writes first inputs for the targets, taken from a small database: `corpus/<target>/<name>`.
//!
//!     RUSTFLAGS="--cfg fuzzing" cargo run --release --example seeds

use std::path::Path;

use cairn_engine::fuzz::section;
use cairn_storage::{Wal, WalOptions};

fn main() {
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let dir = Path::new("corpus").join(target);
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join(name), bytes).expect("a file");
    };
    let env = cairn_fuzz::place(|_, _| {});
    for (path, bytes) in &cairn_fuzz::SEED.files {
        let name = path.file_name().expect("a name").to_string_lossy();
        let (stem, extension) = name.split_once('.').unwrap_or((&name, ""));
        let version = || stem.parse().expect("a number");
        let dir = path.parent().expect("a directory");
        let above = || dir.parent().expect("a directory");
        match extension {
            "man" => {
                let body = cairn_storage::load(&env, above(), "manifest", "man", version());
                put(
                    "manifest",
                    &format!("{}", bytes.len()),
                    &body.expect("a body"),
                );
            }
            "cat" => {
                let body = cairn_storage::load(&env, above(), "catalog", "cat", version());
                put("catalog", "catalog", &body.expect("a body"));
            }
            "seg" | "del" if bytes.len() < 16 * 1024 => {
                put("segment", &format!("{extension}{}", bytes.len()), bytes);
            }
            "wal" => {
                let collection = if dir.to_string_lossy().contains("0001/") {
                    1
                } else {
                    2
                };
                let options = WalOptions {
                    collection,
                    ..WalOptions::default()
                };
                let mut number = 0;
                let mut keep = |frame: cairn_storage::Frame<'_>| {
                    number += 1;
                    if frame.body.len() < 4096 {
                        put("frame", &format!("{collection}-{number}"), frame.body);
                    }
                    Ok(())
                };
                let _ = Wal::open(&env, dir, options, frame_before(stem), &mut keep);
            }
            _ => {}
        }
    }
    for id in [1_u64, 2] {
        let root = Path::new(cairn_fuzz::DIR).join(format!("collections/{id:016x}"));
        let first = if id == 1 { 0 } else { 224 };
        for which in 0_u8..7 {
            let Some((kind, body)) = section(&env, &root, id, usize::from(first + which)) else {
                continue;
            };
            if body.len() < 8 * 1024 {
                put(
                    "sections",
                    &format!("{id}-{which}"),
                    &[&[first + which], &body[..]].concat(),
                );
            }
            if kind == 5 {
                continue;
            }
            if kind == 6 {
                put("payload", "fields", &body[..4]);
            }
        }
    }
    put(
        "deletions",
        "20",
        &[20, 0, 0b0011_1000, 0, 0, 0, 0, 0, 0, 0],
    );
    let outcome = [
        &1_735_689_600_000_u64.to_le_bytes()[..],
        &[8, 7, 6, 5, 4, 3, 2, 1],
        &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0],
        &[1, 0, 0, 0, b'k'],
    ]
    .concat();
    let line = |version: u64| [&version.to_le_bytes()[..], &outcome].concat();
    put("outcomes", "file", &[line(7), line(9)].concat());
    // A keyed frame that puts and removes nothing.
    put(
        "outcomes",
        "frame",
        &[&outcome[..], &[0; 8], &[1, 0, 0, 0], &[0; 20]].concat(),
    );
    put("graph", "small", &cairn_fuzz::graph(40));
    put("log", "two-files", &cairn_fuzz::log());
    put("files", "one", &[3, 40, 0, 0, 1]);
    put("verify", "one", &[3, 40, 0, 0, 1]);
}

fn frame_before(stem: &str) -> u64 {
    stem.parse::<u64>()
        .map_or(0, |first| first.saturating_sub(1))
}
