//! The bytes of an index are those that are described at `TextIndex`, and stay so.

use cairn_text::{Analyzer, IndexBuilder, TextIndex};

fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|it| it.to_le_bytes()).collect()
}

fn u64s(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|it| it.to_le_bytes()).collect()
}

#[test]
fn a_small_index_is_what_is_described() {
    let mut builder = IndexBuilder::new(&[Analyzer::default()]);
    builder.push(&[&["sea seal sea"]]);
    builder.push(&[]);
    builder.push(&[&["seal", "moon"]]);
    let index = builder.finish();

    let mut dictionary = Vec::new();
    // Shared, more, those, rows, bytes of postings and positions.
    dictionary.extend([&[0, 4][..], b"moon", &[1, 1, 1]].concat());
    dictionary.extend([&[0, 3][..], b"sea", &[1, 2, 2]].concat());
    dictionary.extend([&[3, 1][..], b"l", &[2, 2, 2]].concat());
    let mut postings = Vec::new();
    postings.extend([2 << 1 | 1]); // moon: two rows on, once
    postings.extend([0, 2]); // sea: the first row, twice
    postings.extend([1, 1 << 1 | 1]); // seal: the first row and the one behind the next
    let positions = [101, 0, 2, 1, 0]; // moon behind the gap; sea, sea; seal; seal
    let expected = [
        u32s(&[1, 3, 1, 0]),
        u32s(&[2, 1]),
        u64s(&[5, 3, dictionary.len() as u64, 5, 5]),
        vec![3, 0, 2],
        u64s(&[0, 0, 0]),
        dictionary,
        postings,
        positions.to_vec(),
    ];
    assert_eq!(index.as_bytes(), expected.concat());
    assert!(TextIndex::from_bytes(expected.concat()).is_some());
}

#[test]
fn a_full_block_is_what_is_described() {
    let mut builder = IndexBuilder::new(&[Analyzer::default()]);
    // Rows 0, 2, 4, ... have it once; the fourth of them three times, in five words.
    for row in 0..260 {
        match row {
            6 => builder.push(&[&["x x b b x"]]),
            _ if row % 2 == 0 => builder.push(&[&["x"]]),
            _ => builder.push(&[]),
        }
    }
    let index = builder.finish();
    assert_eq!(index.terms(0), 2);
    let bytes = index.as_bytes();
    let b = [6 << 1, 2];
    let header = [u32s(&[254]), u64s(&[2 + 16 + 32 + 1 + 4, 130])].concat();
    // Between rows: none before the first, then one each. Times less one: 2 for the fourth.
    let rows = [&[0b1111_1110][..], &[0xff; 15]].concat();
    let times = [&[0b1000_0000][..], &[0; 31]].concat();
    let impacts = [2, 1, 1, 3, 5];
    let left = [1 << 1 | 1, 1 << 1 | 1];
    let x = [&header[..], &[1, 2], &rows, &times, &impacts, &left].concat();
    let positions: Vec<u8> = [&[2, 1][..], &[0; 3], &[0, 1, 3], &[0; 126]].concat();
    let expected = [&b[..], &x, &positions].concat();
    assert_eq!(bytes[bytes.len() - expected.len()..], expected);

    // With impacts that promise less than a row has, that row would be skipped.
    let at = bytes.len() - positions.len() - left.len() - 2;
    for (at, lie) in [(at, 2), (at + 1, 6)] {
        let mut lying = bytes.to_vec();
        assert_eq!(lying[at], [3, 5][usize::from(lie == 6)]);
        lying[at] = lie;
        assert!(TextIndex::from_bytes(lying).is_none());
    }
    assert!(TextIndex::from_bytes(bytes.to_vec()).is_some());
}
