//! Rows packed into one block of bytes, for typed-array views to read.
//!
//! All numbers are in the machine's order, as typed arrays have them. The block starts with a
//! header of [`HEADER_WORDS`] 32-bit words; a section that is absent has offset 0:
//!
//! | word | meaning |
//! |---|---|
//! | 0 | rows |
//! | 1 | kind of the keys: 0 strings, 1 numbers |
//! | 2 | bytes of the whole block |
//! | 3 | versions, `u64` a row; 0 marks a record that is not there |
//! | 4 | keys: a `u64` a row, or where each string ends, a `u32` a row |
//! | 5 | bytes of the string keys |
//! | 6 | distances, `f32` a row |
//! | 7 | scores, `f32` a row |
//! | 8 | where the fields of each row end, `u32` a row |
//! | 9 | bytes of the fields |
//! | 10 | vectors: for each field where each row ends, `u32` a row in floats; then the floats |
//! | 11 | offsets of a batch of queries, `u32` |
//! | 12 | where the marks of each row end, `u32` a row |
//! | 13 | bytes of the marks: places of words in fields |
//!
//! Sections are aligned to 8 bytes. Two passes over the same code write a block: the first adds
//! lengths up, the second copies, so that a block is allocated once or written in place.

use cairn_engine::{Code, Error, Hits, Key, Keys, Payloads, Record, Result};

/// Words of the header.
const HEADER_WORDS: usize = 14;

/// Larger blocks are refused: offsets are 32-bit, and no caller wants to wait for one.
const BLOCK_BYTES_MAX: usize = 0x7fff_fff8; // 2 GiB

const ROWS: usize = 0;
const KEY_KIND: usize = 1;
const LENGTH: usize = 2;
const VERSIONS: usize = 3;
const KEYS: usize = 4;
const KEY_BYTES: usize = 5;
const DISTANCES: usize = 6;
const SCORES: usize = 7;
const FIELD_ENDS: usize = 8;
const FIELD_BYTES: usize = 9;
const VECTORS: usize = 10;
const OFFSETS: usize = 11;
const MARK_ENDS: usize = 12;
const MARK_BYTES: usize = 13;

/// Something that can be packed.
pub trait Pack {
    /// Appends every section.
    fn sections(&self, block: &mut Block<'_>);
}

/// Bytes appended one section after another; only counted while there is no `out`.
pub struct Block<'a> {
    header: [u32; HEADER_WORDS],
    at: usize,
    out: Option<&'a mut [u8]>,
}

/// Packs into a fresh block.
///
/// # Errors
/// `ERR_LIMIT_EXCEEDED` when it would be larger than 2 GiB.
pub fn pack(rows: &impl Pack) -> Result<Vec<u8>> {
    let mut out = vec![0; measure(rows)?];
    fill(rows, &mut out);
    Ok(out)
}

/// Packs into `out` and gives the length, or, when it is too short, the length it needs.
///
/// # Errors
/// As [`pack`].
pub fn pack_into(rows: &impl Pack, out: &mut [u8]) -> Result<usize> {
    let length = measure(rows)?;
    if let Some(place) = out.get_mut(..length) {
        fill(rows, place);
    }
    Ok(length)
}

fn measure(rows: &impl Pack) -> Result<usize> {
    let mut block = Block {
        header: [0; HEADER_WORDS],
        at: HEADER_WORDS * 4,
        out: None,
    };
    rows.sections(&mut block);
    let length = block.at.next_multiple_of(8);
    if length > BLOCK_BYTES_MAX {
        return Err(Error::new(
            Code::LimitExceeded,
            "the answer is larger than 2 GiB: ask for fewer rows or fields",
        )
        .number("limit", BLOCK_BYTES_MAX)
        .number("got", length));
    }
    Ok(length)
}

fn fill(rows: &impl Pack, out: &mut [u8]) {
    let length = out.len();
    let mut block = Block {
        header: [0; HEADER_WORDS],
        at: HEADER_WORDS * 4,
        out: Some(out),
    };
    rows.sections(&mut block);
    block.header[LENGTH] = length as u32;
    let header = block.header;
    block.at = 0;
    block.words(&header);
}

impl Block<'_> {
    fn section(&mut self, word: usize) {
        self.at = self.at.next_multiple_of(8);
        self.header[word] = self.at as u32;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(out) = &mut self.out {
            out[self.at..end].copy_from_slice(bytes);
        }
        self.at = end;
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_ne_bytes());
    }

    fn words(&mut self, words: &[u32]) {
        self.each(words, u32::to_ne_bytes);
    }

    fn floats(&mut self, floats: &[f32]) {
        self.each(floats, f32::to_ne_bytes);
    }

    fn longs(&mut self, longs: &[u64]) {
        self.each(longs, u64::to_ne_bytes);
    }

    fn each<T: Copy, const N: usize>(&mut self, values: &[T], to_bytes: impl Fn(T) -> [u8; N]) {
        let end = self.at + values.len() * N;
        if let Some(out) = &mut self.out {
            for (place, value) in out[self.at..end].chunks_exact_mut(N).zip(values) {
                place.copy_from_slice(&to_bytes(*value));
            }
        }
        self.at = end;
    }

    fn keys(&mut self, keys: &Keys) {
        self.section(KEYS);
        match keys {
            Keys::Str { bytes, ends } => {
                self.words(ends);
                self.section(KEY_BYTES);
                self.bytes(bytes.as_bytes());
            }
            Keys::U64(numbers) => {
                self.header[KEY_KIND] = 1;
                self.longs(numbers);
            }
        }
    }

    fn payloads(&mut self, payloads: &Payloads) {
        self.section(FIELD_ENDS);
        self.words(&payloads.ends);
        self.section(FIELD_BYTES);
        self.bytes(&payloads.bytes);
    }
}

impl Pack for Hits {
    fn sections(&self, block: &mut Block<'_>) {
        block.header[ROWS] = self.keys.len() as u32;
        block.section(VERSIONS);
        block.longs(&self.versions);
        block.keys(&self.keys);
        block.section(DISTANCES);
        block.floats(&self.distances);
        block.section(SCORES);
        block.floats(&self.scores);
        if let Some(payloads) = &self.payloads {
            block.payloads(payloads);
        }
        if let Some(marks) = &self.highlights {
            block.section(MARK_ENDS);
            block.words(&marks.ends);
            block.section(MARK_BYTES);
            block.bytes(&marks.bytes);
        }
        if let Some(fields) = &self.vectors {
            block.section(VECTORS);
            for (floats, ends) in fields.iter().zip(&self.vector_ends) {
                block.words(ends);
                block.floats(floats);
            }
        }
    }
}

/// Answers of a batch of queries: query `i` has the hits `offsets[i]..offsets[i + 1]`.
pub struct BatchHits {
    /// All hits.
    pub hits: Hits,
    /// Where each query's hits start, and the end.
    pub offsets: Vec<u32>,
}

impl Pack for BatchHits {
    fn sections(&self, block: &mut Block<'_>) {
        self.hits.sections(block);
        block.section(OFFSETS);
        block.words(&self.offsets);
    }
}

/// Records as a read gives them; one that is not there is `None`.
pub struct Rows(pub Vec<Option<Record>>);

impl Pack for Rows {
    fn sections(&self, block: &mut Block<'_>) {
        block.header[ROWS] = self.0.len() as u32;
        block.section(VERSIONS);
        for row in self.each() {
            block.longs(&[row.map_or(0, |record| record.version)]);
        }
        self.keys(block);
        block.section(FIELD_ENDS);
        let mut end = 0;
        for row in self.each() {
            end += row.map_or(0, |record| record.fields.len());
            block.word(end as u32);
        }
        block.section(FIELD_BYTES);
        for record in self.each().flatten() {
            block.bytes(&record.fields);
        }
        self.vectors(block);
    }
}

impl Rows {
    fn each(&self) -> impl Iterator<Item = Option<&Record>> {
        self.0.iter().map(Option::as_ref)
    }

    fn keys(&self, block: &mut Block<'_>) {
        let number = |record: Option<&Record>| match record.map(|record| record.key.as_key()) {
            Some(Key::U64(number)) => Some(number),
            _ => None,
        };
        block.section(KEYS);
        if self.each().any(|row| number(row).is_some()) {
            block.header[KEY_KIND] = 1;
            for row in self.each() {
                block.longs(&[number(row).unwrap_or(0)]);
            }
            return;
        }
        let mut end = 0;
        for row in self.each() {
            end += text(row).len();
            block.word(end as u32);
        }
        block.section(KEY_BYTES);
        for row in self.each() {
            block.bytes(text(row).as_bytes());
        }
    }

    fn vectors(&self, block: &mut Block<'_>) {
        let fields = |row: Option<&Record>| row?.vectors.as_ref().map(Vec::len);
        let Some(fields) = self.each().find_map(fields) else {
            return;
        };
        block.section(VECTORS);
        for field in 0..fields {
            let mut end = 0;
            for row in self.each() {
                end += vector(row, field).len();
                block.word(end as u32);
            }
            for row in self.each() {
                block.floats(vector(row, field));
            }
        }
    }
}

/// A record's string key; empty for none.
fn text(record: Option<&Record>) -> &str {
    match record.map(|record| record.key.as_key()) {
        Some(Key::Str(text)) => text,
        _ => "",
    }
}

/// A record's vector of a field; empty when it has none.
fn vector(record: Option<&Record>, field: usize) -> &[f32] {
    record
        .and_then(|record| record.vectors.as_ref()?.get(field))
        .map_or(&[], Vec::as_slice)
}
