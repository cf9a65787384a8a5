//! Bytes of an index are believed only if they are right, and come back as they were.

mod common;

use cairn_testkit::Rng;
use cairn_text::{Analyzer, Bm25, IndexBuilder, Language, Query, QueryField, TextIndex};

/// Two fields, terms with full blocks and without, some that stand often, rows without text.
fn index(rows: usize) -> TextIndex {
    let mut rng = Rng::new(4);
    let mut builder = IndexBuilder::new(&[Analyzer::default(), Analyzer::new(Language::English)]);
    for row in 0..rows {
        let rare = format!(
            "common w{} {}",
            rng.range(0..40),
            "often ".repeat(rng.range(0..4))
        );
        match row % 9 {
            0 => builder.push(&[]),
            1 => builder.push(&[&[], &["the tides"]]),
            2 => builder.push(&[&["common", &rare]]),
            _ => builder.push(&[&[&rare], &["tides", "were running"]]),
        }
    }
    builder.finish()
}

/// Searches in every way. What it finds is not the point: the bytes may be other than they were.
fn look(index: &TextIndex) {
    let analyzer = Analyzer::default();
    let fields = [0, 1, 2].map(|field| QueryField {
        field,
        analyzer,
        weight: 1.0,
    });
    for typed in [
        "common often w1 w39",
        "\"common often\" tide",
        "+w* -w7 run",
        "common AND often",
    ] {
        let query = Query::parse(typed, &fields);
        let gathered = index.gather(&query, || false).expect("nobody stops it");
        let mut hits = Vec::new();
        for k in [3, 1_000] {
            let (statistics, bm25) = (gathered.statistics(), Bm25::default());
            let answer = gathered.search(statistics, bm25, k, |_| true, || false, &mut hits);
            assert_eq!(answer, Ok(()));
            assert!(
                hits.iter()
                    .all(|hit| hit.row < index.rows() && hit.score > 0.0)
            );
        }
    }
}

#[test]
fn an_index_comes_back_byte_for_byte() {
    for rows in [0, 1, 20, 127, 128, 129, 700] {
        let index = index(rows);
        let again = TextIndex::from_bytes(index.as_bytes().to_vec()).expect("a good index");
        assert_eq!(again.as_bytes(), index.as_bytes());
        assert_eq!(again.rows() as usize, rows);
        assert_eq!(again.fields(), 2);
        assert_eq!(
            [0, 1, 2].map(|it| again.terms(it)),
            [0, 1, 2].map(|it| index.terms(it))
        );
        assert!(again.memory() >= index.as_bytes().len());
        look(&again);
    }
    let nothing = IndexBuilder::new(&[]).finish();
    assert!(TextIndex::from_bytes(nothing.as_bytes().to_vec()).is_some());
}

#[test]
fn no_flipped_bit_makes_a_search_panic() {
    let index = index(300);
    let mut taken = 0;
    for at in 0..index.as_bytes().len() {
        for flip in [1, 1 << (at % 8), 0x80, 0xff] {
            let mut bytes = index.as_bytes().to_vec();
            bytes[at] ^= flip;
            if let Some(index) = TextIndex::from_bytes(bytes) {
                look(&index);
                taken += 1;
            }
        }
    }
    // A letter of a term, a row without a limit behind it: such changes leave an index.
    println!(
        "{taken} of {} changes leave an index",
        index.as_bytes().len() * 4
    );
    assert!(taken < index.as_bytes().len(), "most are refused");
}

#[test]
fn what_contradicts_itself_is_refused() {
    // One field whose lengths stand behind the headers, a byte each.
    let mut builder = IndexBuilder::new(&[Analyzer::default()]);
    for text in ["a b c", "a", "b c", ""] {
        builder.push(&[&[text]]);
    }
    let good = builder.finish().as_bytes().to_vec();
    let lengths = 16 + 48;
    assert_eq!(good[lengths..lengths + 4], [3, 1, 2, 0]);
    for (one, other) in [(0, 1), (0, 2), (1, 2), (2, 3)] {
        let mut bytes = good.clone();
        bytes.swap(lengths + one, lengths + other);
        assert!(TextIndex::from_bytes(bytes).is_none(), "{one} and {other}");
    }
    // A row with fewer terms, and as many fewer in all; a row with more.
    for (length, all) in [(2, 5), (1, 4), (4, 7)] {
        let mut bytes = good.clone();
        assert_eq!(bytes[24], 6);
        (bytes[lengths], bytes[24]) = (length, all);
        assert!(TextIndex::from_bytes(bytes).is_none(), "{length}");
    }
    // Terms that are not in order.
    let mut bytes = good.clone();
    let first = lengths + 4 + 24 + 2;
    assert_eq!(bytes[first], b'a');
    bytes[first] = b'd';
    assert!(TextIndex::from_bytes(bytes).is_none());
    assert!(TextIndex::from_bytes(good).is_some());
}

#[test]
fn no_part_of_an_index_is_one() {
    let whole = index(300);
    let bytes = whole.as_bytes();
    for length in 0..bytes.len() {
        assert!(
            TextIndex::from_bytes(bytes[..length].to_vec()).is_none(),
            "{length} bytes"
        );
    }
    assert!(TextIndex::from_bytes([bytes, &[0]].concat()).is_none());
}

#[test]
fn chance_is_no_index() {
    let mut rng = Rng::new(8);
    let good = index(150);
    for round in 0..20_000 {
        let length = rng.range(0..400);
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        if round % 2 == 0 {
            // A right beginning gets further.
            let kept = rng.range(0..160).min(good.as_bytes().len());
            bytes.splice(0..kept.min(length), good.as_bytes()[..kept].iter().copied());
        }
        if let Some(index) = TextIndex::from_bytes(bytes) {
            look(&index);
        }
    }
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let good = index(50);
    // Rows, fields, and all that the header of the first field counts.
    for (at, width) in [
        (4, 4),
        (8, 4),
        (16, 4),
        (20, 4),
        (24, 8),
        (32, 8),
        (40, 8),
        (48, 8),
        (56, 8),
    ] {
        for lie in [
            0_u64,
            1 << 20,
            1 << 31,
            u64::from(u32::MAX),
            1 << 40,
            u64::MAX,
        ] {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at..at + width].copy_from_slice(&lie.to_le_bytes()[..width]);
            if bytes != good.as_bytes() {
                assert!(TextIndex::from_bytes(bytes).is_none(), "{lie} at {at}");
            }
        }
    }
}
