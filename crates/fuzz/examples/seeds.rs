//! Writes first inputs for the targets, taken from a small database: `corpus/<target>/<name>`.
//!
//!     RUSTFLAGS="--cfg fuzzing" cargo run --release --example seeds

use std::path::Path;

use cairn_engine::fuzz::section;
use cairn_index::Metric;
use cairn_quantize::SingleThread;
use cairn_quantize::opq::Opq;
use cairn_quantize::pq::{self, Pq};
use cairn_quantize::rabitq::{self, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
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
    put("payload", "fields", &cairn_fuzz::FIELDS);
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
            // The table follows its blocks.
            if kind == 11
                && let Some((12, table)) = section(&env, &root, id, usize::from(first + which) + 1)
            {
                let rows: u16 = if id == 1 { 20 } else { 1_100 };
                let length = u16::try_from(body.len()).expect("a small section");
                let head = [rows.to_le_bytes(), length.to_le_bytes()].concat();
                put(
                    "blocks",
                    &format!("{id}"),
                    &[&head[..], &body, &table].concat(),
                );
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
    put("codebooks", "coded", &cairn_fuzz::coded(20));
    put("lists", "small", &cairn_fuzz::lists(40));
    for (name, bytes) in codebooks() {
        put("codebooks", name, &bytes);
    }
    put("log", "two-files", &cairn_fuzz::log());
    put("files", "one", &[3, 40, 0, 0, 1]);
    put(
        "text",
        "query",
        b"\x02\x04+sea \"spring tide\" (moon OR sun*) -land",
    );
    put("text", "change", &[1, 0, 16, 0, 1]);
    put(
        "text",
        "index",
        &[&[0, 0], cairn_fuzz::text().as_bytes()].concat(),
    );
    put("verify", "one", &[3, 40, 0, 0, 1]);
    put(
        "archive",
        "good",
        &[&[0, 31], &cairn_fuzz::ARCHIVE[..]].concat(),
    );
    put("archive", "one", &[1, 31, 3, 124, 0, b'7']);
    put("backup", "one", &[3, 40, 0, 0, 1]);
    put("keys", "set", &cairn_fuzz::key_set());
}

fn frame_before(stem: &str) -> u64 {
    stem.parse::<u64>()
        .map_or(0, |first| first.saturating_sub(1))
}

/// One of each kind, over rows of four components.
fn codebooks() -> [(&'static str, Vec<u8>); 4] {
    let rows: Vec<f32> = (0..80).map(|at| (at as f32 * 0.7).sin()).collect();
    let metric = Metric::L2;
    let config = pq::Config {
        subspaces: 2,
        bits: 4,
        metric,
    };
    let rabitq = rabitq::Config {
        bits: 3,
        metric,
        seed: 1,
    };
    let scalar = scalar::Config { bits: 4, metric };
    let made = "a sample";
    let pq = Pq::train(&rows, 4, config, 1, &SingleThread, &()).expect(made);
    let opq = Opq::train(&rows, 4, config, 1, &SingleThread, &()).expect(made);
    [
        (
            "rabitq",
            Rabitq::train(&rows, 4, rabitq).expect(made).to_bytes(),
        ),
        (
            "scalar",
            Scalar::train(&rows, 4, scalar).expect(made).to_bytes(),
        ),
        ("pq", pq.to_bytes()),
        ("opq", opq.to_bytes()),
    ]
}
