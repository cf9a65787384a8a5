//! Making an index, one row after the other.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::dictionary::DictionaryWriter;
use super::packed::PackedWriter;
use super::{FIELD_BYTES, HEADER_BYTES, TextIndex, VERSION};
use crate::Analyzer;
use crate::packing::{Reader, put_number};

/// Positions between the last word of one text of an array and the first of the next, so that no
/// phrase reaches over.
pub const POSITION_GAP: u32 = 100;

/// The terms of a field of one row.
#[derive(Default)]
pub(crate) struct Grouped {
    /// Term and position, by term and then by position.
    places: Vec<(u32, u32)>,
}

/// Takes apart the texts of a field of one row; `number` gives each term its number.
pub(crate) fn group(
    analyzer: Analyzer,
    texts: &[&str],
    into: &mut Grouped,
    mut number: impl FnMut(&str) -> u32,
) {
    into.places.clear();
    let mut start = 0_u32;
    for text in texts {
        let mut end = start;
        for token in analyzer.tokens(text) {
            // Nobody stores so much text in a row; what is behind is not found.
            let Some(position) = start.checked_add(token.position) else {
                break;
            };
            into.places.push((number(&token.term), position));
            end = position;
        }
        start = end.saturating_add(1 + POSITION_GAP);
    }
    into.places.sort_unstable();
}

impl Grouped {
    /// How many terms there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// Each term with its places.
    pub fn terms(&self) -> impl Iterator<Item = &[(u32, u32)]> {
        self.places.chunk_by(|a, b| a.0 == b.0)
    }
}

/// Gathers the texts of rows.
pub struct IndexBuilder {
    fields: Vec<FieldBuilder>,
    rows: u32,
    grouped: Grouped,
}

/// The terms of one field.
struct FieldBuilder {
    analyzer: Analyzer,
    numbers: HashMap<Box<str>, u32, FixedState>,
    terms: Vec<Term>,
    lengths: Vec<u32>,
}

/// The rows of one term.
#[derive(Default)]
struct Term {
    count: u32,
    /// The row behind the last one.
    next: u32,
    /// A number each: rows from that one on, times, positions from the one before.
    bytes: Vec<u8>,
}

impl IndexBuilder {
    /// For fields whose texts are taken apart so.
    #[must_use]
    pub fn new(fields: &[Analyzer]) -> Self {
        let field = |analyzer: &Analyzer| FieldBuilder {
            analyzer: *analyzer,
            numbers: HashMap::default(),
            terms: Vec::new(),
            lengths: Vec::new(),
        };
        Self {
            fields: fields.iter().map(field).collect(),
            rows: 0,
            grouped: Grouped::default(),
        }
    }

    /// Takes the next row: the texts of each field. A field without text has none; those behind the
    /// last one that is given have none either.
    ///
    /// # Panics
    /// Behind `u32::MAX` rows.
    pub fn push(&mut self, texts: &[&[&str]]) {
        let row = self.rows;
        self.rows = row.checked_add(1).expect("rows of a segment have 32 bits");
        for (at, field) in self.fields.iter_mut().enumerate() {
            let texts = texts.get(at).copied().unwrap_or_default();
            field.push(row, texts, &mut self.grouped);
        }
    }

    /// The index of all rows.
    ///
    /// # Panics
    /// Never: what was written can be read.
    #[must_use]
    pub fn finish(self) -> TextIndex {
        let fields: Vec<FieldBytes> = self.fields.into_iter().map(FieldBytes::of).collect();
        let room = fields.iter().map(FieldBytes::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + fields.len() * FIELD_BYTES + room);
        let count = u32::try_from(fields.len()).expect("no schema has as many fields");
        for number in [VERSION, self.rows, count, 0] {
            bytes.extend(number.to_le_bytes());
        }
        for field in &fields {
            field.put_head(&mut bytes);
        }
        for field in fields {
            for part in field.into_parts() {
                bytes.extend(part);
            }
        }
        let index = TextIndex::parse(bytes).expect("what was written can be read");
        debug_assert!(super::check::is_right(&index), "what was written is right");
        index
    }
}

impl FieldBuilder {
    fn push(&mut self, row: u32, texts: &[&str], grouped: &mut Grouped) {
        group(self.analyzer, texts, grouped, |term| {
            if let Some(number) = self.numbers.get(term) {
                return *number;
            }
            let number = u32::try_from(self.terms.len()).expect("more terms than memory holds");
            self.numbers.insert(term.into(), number);
            self.terms.push(Term::default());
            number
        });
        self.lengths.push(grouped.len());
        for places in grouped.terms() {
            let term = &mut self.terms[places[0].0 as usize];
            put_number(u64::from(row - term.next), &mut term.bytes);
            put_number(places.len() as u64, &mut term.bytes);
            let mut last = 0;
            for (_, position) in places {
                put_number(u64::from(position - last), &mut term.bytes);
                last = *position;
            }
            term.count += 1;
            term.next = row + 1;
        }
    }
}

/// A field as it is stored.
struct FieldBytes {
    rows: u32,
    terms: u64,
    /// Bytes of a length.
    width: usize,
    lengths: Vec<u8>,
    dictionary: DictionaryWriter,
    postings: Vec<u8>,
    positions: Vec<u8>,
}

impl FieldBytes {
    fn of(field: FieldBuilder) -> Self {
        let FieldBuilder {
            numbers,
            mut terms,
            lengths,
            ..
        } = field;
        let width = match lengths.iter().max().copied().unwrap_or(0) {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 4,
        };
        let as_stored = lengths
            .iter()
            .flat_map(|it| it.to_le_bytes().into_iter().take(width));
        let mut out = Self {
            rows: lengths.iter().map(|it| u32::from(*it > 0)).sum(),
            terms: lengths.iter().map(|it| u64::from(*it)).sum(),
            width,
            lengths: as_stored.collect(),
            dictionary: DictionaryWriter::default(),
            postings: Vec::new(),
            positions: Vec::new(),
        };
        let mut sorted: Vec<(Box<str>, u32)> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut writer = PackedWriter::default();
        for (name, number) in sorted {
            // Taken, so that memory goes as bytes come.
            let term = std::mem::take(&mut terms[number as usize]);
            out.put_term(&name, &term, &lengths, &mut writer);
        }
        out
    }

    fn put_term(&mut self, name: &str, term: &Term, lengths: &[u32], writer: &mut PackedWriter) {
        let mut reader = Reader(&term.bytes);
        let mut number = || reader.small().expect("what was written can be read");
        let start = self.positions.len();
        let mut next = 0;
        for _ in 0..term.count {
            let row = next + number();
            next = row + 1;
            let times = number();
            for _ in 0..times {
                put_number(u64::from(number()), &mut self.positions);
            }
            let positions = self.positions.len() - start;
            writer.push(row, times, lengths[row as usize], positions);
        }
        writer.finish(&mut self.postings);
        let ends = [self.postings.len(), self.positions.len()];
        self.dictionary
            .push(name.as_bytes(), term.count, ends[0], ends[1]);
    }

    fn put_head(&self, out: &mut Vec<u8>) {
        out.extend(self.rows.to_le_bytes());
        out.extend((self.width as u32).to_le_bytes());
        let dictionary = self.dictionary.bytes.len() as u64;
        let parts = [self.postings.len() as u64, self.positions.len() as u64];
        for number in [
            self.terms,
            self.dictionary.terms,
            dictionary,
            parts[0],
            parts[1],
        ] {
            out.extend(number.to_le_bytes());
        }
    }

    fn len(&self) -> usize {
        let dictionary = self.dictionary.table.len() + self.dictionary.bytes.len();
        self.lengths.len() + dictionary + self.postings.len() + self.positions.len()
    }

    fn into_parts(self) -> [Vec<u8>; 5] {
        let DictionaryWriter { table, bytes, .. } = self.dictionary;
        [self.lengths, table, bytes, self.postings, self.positions]
    }
}
