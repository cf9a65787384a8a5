//! Times finding the rows of filters with two terms, by indexes.
//!
//! ```text
//! cargo run --release -p cairn-filter --example two_terms -- [rows] [passes]
//! ```
//!
//! A million rows have a word, one of a hundred, and a number, one of a thousand; half of the rows are seen. For each
//! filter it prints how many rows it holds for, and median and 99th percentile of the microseconds; the aim is a median
//! of at most 1,000.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, outside the rooms: it reads a clock"
)]
#![expect(clippy::unwrap_used, reason = "an example ends where a step fails")]

use std::convert::Infallible;
use std::time::Instant;

use cairn_filter::{Bitmap, FieldIndex, Filter, IndexBuilder, Path, Record, Rows, matching_rows};
use cairn_testkit::Rng;

const FILTERS: [&str; 7] = [
    r#"{"word":"w07","number":{"lt":10}}"#,
    r#"{"word":"w07","number":{"lt":500}}"#,
    r#"{"word":["w01","w02","w03"],"number":{"gte":100,"lt":900}}"#,
    r#"{"word":{"startsWith":"w0"},"number":{"gte":500}}"#,
    r#"{"word":{"ne":"w07"},"number":{"gte":10}}"#,
    r#"{"or":[{"word":"w07"},{"number":{"lt":10}}]}"#,
    r#"{"or":[{"word":{"gte":"w50"}},{"number":{"lt":500}}]}"#,
];

struct Indexed(Vec<(Path, FieldIndex)>);

impl Rows for Indexed {
    type Error = Infallible;

    fn index(&self, path: &Path) -> Option<&FieldIndex> {
        let found = self.0.iter().find(|(indexed, _)| indexed == path);
        found.map(|(_, index)| index)
    }

    fn scan(&self, _: &Bitmap, _: &dyn Fn(&Record<'_>) -> bool) -> Result<Bitmap, Self::Error> {
        unreachable!("both fields have an index")
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |it| it.parse().unwrap());
    let (rows, passes) = (number(1_000_000), number(201));
    let names = ["word", "number"];
    let mut builder = IndexBuilder::new(names);
    let mut rng = Rng::new(1);
    for _ in 0..rows {
        let (word, number) = (rng.below(100), rng.below(1_000));
        // {"word": "w42", "number": 123} as MessagePack.
        let mut fields = vec![0x82, 0xa4];
        fields.extend(b"word\xa3");
        fields.extend(format!("w{word:02}").bytes());
        fields.extend(b"\xa6number\xcd");
        fields.extend((number as u16).to_be_bytes());
        builder.push(&fields);
    }
    let paths = names.map(|name| Path::parse(name).unwrap());
    let indexes = builder.finish().into_iter().map(Option::unwrap);
    let indexed = Indexed(paths.into_iter().zip(indexes).collect());
    let mut seen = Bitmap::none(rows as u32);
    (0..rows as u32).step_by(2).for_each(|row| seen.insert(row));

    for json in FILTERS {
        let filter = Filter::parse(json.as_bytes()).unwrap();
        let mut micros = Vec::new();
        let mut found = 0;
        for _ in 0..passes {
            let began = Instant::now();
            let Ok(rows) = matching_rows(&filter, &indexed, &seen);
            micros.push(began.elapsed().as_nanos() as f64 / 1e3);
            found = rows.count();
        }
        micros.sort_by(f64::total_cmp);
        let (median, late) = (micros[passes / 2], micros[passes * 99 / 100]);
        println!("{found:>7} rows, {median:>6.0} us, p99 {late:>6.0} us: {json}");
    }
}
