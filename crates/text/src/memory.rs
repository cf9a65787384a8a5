//! The index of rows that were just added.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::block::Impact;
use crate::index::{Grouped, group};
use crate::postings::{Plain, Postings, Source};
use crate::score::FieldStatistics;
use crate::search::{Gathered, Stopped, gather};
use crate::{Analyzer, Query};

/// The terms of rows that were just added: a row can be found once it was pushed.
///
/// Finds and scores as a [`TextIndex`](crate::TextIndex) of the same rows does, bit for bit. Takes 20
/// bytes a term and row, and 4 a place where it stands.
///
/// # Examples
/// ```
/// use cairn_text::{Analyzer, Bm25, MemoryIndex, Query, QueryField};
///
/// let analyzer = Analyzer::default();
/// let mut index = MemoryIndex::new(&[analyzer]);
/// index.push(&[&["the sea"]]);
/// let query = Query::parse("sea", &[QueryField { field: 0, analyzer, weight: 1.0 }]);
/// let gathered = index.gather(&query, || false)?;
/// let statistics = gathered.statistics().clone();
/// let mut hits = Vec::new();
/// gathered.search(&statistics, Bm25::default(), 10, |_| true, || false, &mut hits)?;
/// assert_eq!(hits[0].row, 0);
/// # Ok::<(), cairn_text::Stopped>(())
/// ```
pub struct MemoryIndex {
    fields: Vec<MemoryField>,
    rows: u32,
    bytes: usize,
    grouped: Grouped,
}

struct MemoryField {
    analyzer: Analyzer,
    numbers: BTreeMap<Box<str>, u32>,
    terms: Vec<Term>,
    /// By row.
    lengths: Vec<u32>,
    statistics: FieldStatistics,
}

#[derive(Default)]
struct Term {
    rows: Vec<u32>,
    times: Vec<u32>,
    /// Where the positions of each row end.
    ends: Vec<usize>,
    positions: Vec<u32>,
    /// The most times, and the fewest terms of a row.
    impact: Impact,
}

impl MemoryIndex {
    /// For fields whose texts are taken apart so.
    #[must_use]
    pub fn new(fields: &[Analyzer]) -> Self {
        let field = |analyzer: &Analyzer| MemoryField {
            analyzer: *analyzer,
            numbers: BTreeMap::new(),
            terms: Vec::new(),
            lengths: Vec::new(),
            statistics: FieldStatistics::default(),
        };
        Self {
            fields: fields.iter().map(field).collect(),
            rows: 0,
            bytes: 0,
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
        self.rows = row.checked_add(1).expect("rows of a memtable have 32 bits");
        for (at, field) in self.fields.iter_mut().enumerate() {
            let texts = texts.get(at).copied().unwrap_or_default();
            self.bytes += field.push(row, texts, &mut self.grouped);
        }
    }

    /// Rows, with texts or without.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes in memory, about: what grows is counted, what is kept free to grow into is not.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes
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

    /// Its first `rows` rows, as if the others had not come: what is found and how it scores does not
    /// change while more are pushed.
    #[must_use]
    pub fn first(&self, rows: u32) -> FirstRows<'_> {
        let rows = rows.min(self.rows);
        let statistics = |field: &MemoryField| match rows == self.rows {
            true => field.statistics,
            false => FieldStatistics::of(&field.lengths[..rows as usize]),
        };
        FirstRows {
            index: self,
            rows,
            statistics: self.fields.iter().map(statistics).collect(),
        }
    }
}

/// The first rows of a [`MemoryIndex`].
pub struct FirstRows<'a> {
    index: &'a MemoryIndex,
    rows: u32,
    /// By field.
    statistics: Vec<FieldStatistics>,
}

impl FirstRows<'_> {
    /// As [`MemoryIndex::gather`].
    ///
    /// # Errors
    /// As that one.
    pub fn gather<'a>(
        &'a self,
        query: &'a Query,
        mut stop: impl FnMut() -> bool,
    ) -> Result<Gathered<'a>, Stopped> {
        gather(self, query, &mut stop)
    }
}

impl MemoryField {
    /// The bytes that were taken.
    fn push(&mut self, row: u32, texts: &[&str], grouped: &mut Grouped) -> usize {
        let mut bytes = 4;
        group(self.analyzer, texts, grouped, |term| {
            if let Some(number) = self.numbers.get(term) {
                return *number;
            }
            let number = u32::try_from(self.terms.len()).expect("more terms than memory holds");
            self.numbers.insert(term.into(), number);
            self.terms.push(Term::default());
            bytes += term.len() + size_of::<(Box<str>, u32)>() + size_of::<Term>();
            number
        });
        let length = grouped.len();
        self.lengths.push(length);
        self.statistics.rows += u64::from(length > 0);
        self.statistics.terms += u64::from(length);
        for places in grouped.terms() {
            let times = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let term = &mut self.terms[places[0].0 as usize];
            term.impact = match term.rows.is_empty() {
                true => (times, length),
                false => (term.impact.0.max(times), term.impact.1.min(length)),
            };
            term.rows.push(row);
            term.times.push(times);
            term.positions.extend(places.iter().map(|place| place.1));
            term.ends.push(term.positions.len());
            bytes += 8 + size_of::<usize>() + places.len() * 4;
        }
        bytes
    }
}

impl Term {
    /// Those of the rows below `rows`. What no row beats, none of these does.
    fn postings(&self, rows: u32) -> Postings<'_> {
        let count = match self.rows.last() {
            Some(last) if *last >= rows => self.rows.partition_point(|row| *row < rows),
            _ => self.rows.len(),
        };
        Postings::Plain(Plain {
            rows: Cow::Borrowed(&self.rows[..count]),
            times: Cow::Borrowed(&self.times[..count]),
            ends: &self.ends[..count],
            positions: &self.positions,
            impacts: vec![self.impact],
        })
    }
}

impl MemoryIndex {
    fn postings(&self, field: usize, term: &str, rows: u32) -> Option<Postings<'_>> {
        let field = self.fields.get(field)?;
        let number = field.numbers.get(term)?;
        Some(field.terms[*number as usize].postings(rows))
    }

    fn each_starting<'a>(
        &'a self,
        field: usize,
        prefix: &str,
        rows: u32,
        each: &mut dyn FnMut(Postings<'a>),
    ) {
        let Some(field) = self.fields.get(field) else {
            return;
        };
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let numbers = field.numbers.range::<str, _>(from);
        for (_, number) in numbers.take_while(|(term, _)| term.starts_with(prefix)) {
            each(field.terms[*number as usize].postings(rows));
        }
    }
}

impl Source for MemoryIndex {
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
        self.postings(field, term, self.rows)
    }

    fn starting<'a>(&'a self, field: usize, prefix: &str, each: &mut dyn FnMut(Postings<'a>)) {
        self.each_starting(field, prefix, self.rows, each);
    }
}

impl Source for FirstRows<'_> {
    fn rows(&self) -> u32 {
        self.rows
    }

    fn statistics(&self, field: usize) -> FieldStatistics {
        self.statistics.get(field).copied().unwrap_or_default()
    }

    fn lengths(&self, field: usize) -> &[u32] {
        self.index.lengths(field)
    }

    fn find(&self, field: usize, term: &str) -> Option<Postings<'_>> {
        self.index.postings(field, term, self.rows)
    }

    fn starting<'a>(&'a self, field: usize, prefix: &str, each: &mut dyn FnMut(Postings<'a>)) {
        self.index.each_starting(field, prefix, self.rows, each);
    }
}
