//! The index of a segment's texts, which stays as bytes.

mod build;
mod check;
mod dictionary;
mod packed;

use std::ops::Range;

use crate::Query;
use crate::packing::Reader;
use crate::postings::{Postings, Source};
use crate::score::FieldStatistics;
use crate::search::{Gathered, Stopped, gather};
use dictionary::{Dictionary, ENTRIES};

pub(crate) use build::{Grouped, group};
pub use build::{IndexBuilder, POSITION_GAP};
pub(crate) use packed::Packed;

/// The layout that this code reads and writes.
const VERSION: u32 = 1;
/// Bytes in front of the fields.
const HEADER_BYTES: usize = 16;
/// Bytes of what is said of a field in front of the first one.
const FIELD_BYTES: usize = 48;

/// The terms of some fields of the rows of a segment.
///
/// # Bytes
///
/// Integers are little-endian and unsigned; `number` is of seven bits a byte, the lowest first, all
/// bytes but the last with the eighth bit. Nothing is aligned. Checksums are the container's business.
///
/// | bytes | what                                                                                  |
/// |-------|---------------------------------------------------------------------------------------|
/// | 4     | version: 1                                                                            |
/// | 4     | rows                                                                                  |
/// | 4     | fields                                                                                |
/// | 4     | 0                                                                                     |
///
/// Then of each field:
///
/// | bytes | what                                                                                  |
/// |-------|---------------------------------------------------------------------------------------|
/// | 4     | rows with a term in it                                                                |
/// | 4     | bytes of a length: 1, 2 or 4                                                          |
/// | 8     | terms of all rows together                                                            |
/// | 8     | distinct terms                                                                        |
/// | 8     | bytes of the dictionary                                                               |
/// | 8     | bytes of the postings                                                                 |
/// | 8     | bytes of the positions                                                                |
///
/// Then of each field, one behind the other:
///
/// - **Lengths**: how many terms each row has, exactly.
/// - **Table**: of every sixteenth term, the first included, where its entry begins in the
///   dictionary, its postings and its positions: 8 bytes each.
/// - **Dictionary**: an entry a term, ascending by bytes: `number` of bytes that it shares with the
///   one before (0 where the table points), `number` of the bytes behind those, these bytes,
///   `number` of rows that have it, `number` of bytes of its postings, `number` of those of its
///   positions.
/// - **Postings**: of each term, first a header for each full block of 128 rows: the last row (4), and
///   where behind the headers its data (8) and in the term's positions its positions (8) end. Then the
///   data of those blocks: bits of a row (1), bits of a count (1), 128 rows, each as what is
///   between it and the one before, 128 counts less one, both packed with the lowest bits first; then how
///   many impacts (1) and those, `number` of times and `number` of length, ascending in both, such that
///   no row of the block has the term more often than one of them in fewer terms. Then
///   the rows that are left, fewer than 128: `number` of twice what is between the row and the one
///   before, and one more if the term stands there once, else `number` of how often it does.
/// - **Positions**: for each row of each term, of each place where the term stands the `number` from
///   the one before, the first from 0. Elements of an array are [`POSITION_GAP`] apart.
#[derive(Clone)]
pub struct TextIndex {
    bytes: Vec<u8>,
    rows: u32,
    fields: Vec<Field>,
}

/// A field, and where in the bytes its parts are.
#[derive(Clone)]
struct Field {
    statistics: FieldStatistics,
    /// By row.
    lengths: Vec<u32>,
    terms: u64,
    table: Range<usize>,
    dictionary: Range<usize>,
    postings: Range<usize>,
    positions: Range<usize>,
}

impl TextIndex {
    /// The index as it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An index as it was stored; `None` for anything else, whatever it is.
    ///
    /// Cost: every posting and position is looked at once, some nanoseconds each. Memory: the bytes, and
    /// four bytes a row and field.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let index = Self::parse(bytes)?;
        check::is_right(&index).then_some(index)
    }

    /// Rows, with texts or without.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Fields.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Distinct terms of a field; 0 for one that is not there.
    #[must_use]
    pub fn terms(&self, field: usize) -> u64 {
        self.fields.get(field).map_or(0, |field| field.terms)
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        let lengths = self.fields.iter().map(|field| field.lengths.len() * 4);
        self.bytes.len() + lengths.sum::<usize>()
    }

    /// Finds the terms of a query here, and counts their rows.
    ///
    /// Cost: words and phrases are looked up, about a microsecond each; of a prefix all rows are gone
    /// through.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked about every 0.1 ms, in an index of some million rows.
    pub fn gather<'a>(
        &'a self,
        query: &'a Query,
        mut stop: impl FnMut() -> bool,
    ) -> Result<Gathered<'a>, Stopped> {
        gather(self, query, &mut stop)
    }

    /// Finds the parts of an index, which are not looked into.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Reader(&bytes);
        if reader.u32()? != VERSION {
            return None;
        }
        let rows = reader.u32()?;
        let count = reader.u32()? as usize;
        if reader.u32()? != 0 {
            return None;
        }
        debug_assert_eq!(bytes.len() - reader.0.len(), HEADER_BYTES);
        let mut heads = Reader(reader.take(count.checked_mul(FIELD_BYTES)?)?);
        let mut fields = Vec::with_capacity(count);
        while !heads.0.is_empty() {
            fields.push(field(&mut heads, &mut reader, rows, bytes.len())?);
        }
        let is_whole = reader.0.is_empty();
        is_whole.then_some(Self {
            bytes,
            rows,
            fields,
        })
    }

    fn dictionary(&self, field: usize) -> Option<Dictionary<'_>> {
        let field = self.fields.get(field)?;
        Some(Dictionary::new(
            &self.bytes[field.table.clone()],
            &self.bytes[field.dictionary.clone()],
            field.terms,
        ))
    }

    fn postings(&self, field: usize, entry: &dictionary::Entry) -> Option<Packed<'_>> {
        let field = self.fields.get(field)?;
        let postings = self.bytes[field.postings.clone()].get(entry.postings.clone())?;
        let positions = self.bytes[field.positions.clone()].get(entry.positions.clone())?;
        Packed::new(entry.count, postings, positions)
    }
}

/// A field of `rows` rows: what is said of it, and its parts.
fn field(heads: &mut Reader<'_>, parts: &mut Reader<'_>, rows: u32, total: usize) -> Option<Field> {
    let with_terms = heads.u32()?;
    let width = heads.u32()? as usize;
    let statistics = FieldStatistics {
        rows: u64::from(with_terms),
        terms: heads.u64()?,
    };
    let terms = heads.u64()?;
    let [dictionary, postings, positions] = [heads.length()?, heads.length()?, heads.length()?];
    let table = usize::try_from(terms.div_ceil(ENTRIES)).ok()?;
    let table = table.checked_mul(dictionary::TABLE_BYTES)?;
    if !matches!(width, 1 | 2 | 4) {
        return None;
    }
    let bytes = parts.take((rows as usize).checked_mul(width)?)?;
    let length = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |all, &it| all << 8 | u32::from(it))
    };
    let lengths = bytes.chunks_exact(width).map(length).collect();
    let mut range = |length: usize| {
        let start = total - parts.0.len();
        parts.take(length).map(|_| start..start + length)
    };
    Some(Field {
        statistics,
        lengths,
        terms,
        table: range(table)?,
        dictionary: range(dictionary)?,
        postings: range(postings)?,
        positions: range(positions)?,
    })
}

impl std::fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, fields) = (self.rows, self.fields.len());
        write!(f, "TextIndex {{ rows: {rows}, fields: {fields} }}")
    }
}

impl Source for TextIndex {
    fn rows(&self) -> u32 {
        self.rows
    }

    fn statistics(&self, field: usize) -> FieldStatistics {
        let field = self.fields.get(field);
        field.map(|field| field.statistics).unwrap_or_default()
    }

    fn lengths(&self, field: usize) -> &[u32] {
        self.fields.get(field).map_or(&[], |field| &field.lengths)
    }

    fn find(&self, field: usize, term: &str) -> Option<Postings<'_>> {
        let entry = self.dictionary(field)?.find(term.as_bytes())?;
        self.postings(field, &entry).map(Postings::Packed)
    }

    fn starting<'a>(&'a self, field: usize, prefix: &str, each: &mut dyn FnMut(Postings<'a>)) {
        let Some(dictionary) = self.dictionary(field) else {
            return;
        };
        dictionary.starting(prefix.as_bytes(), |entry| {
            if let Some(postings) = self.postings(field, entry) {
                each(Postings::Packed(postings));
            }
        });
    }
}
