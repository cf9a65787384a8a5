//! Answers that are made of more than the nearest records: neighbours of a record, groups, diverse
//! results, records in the order of a field, counts of values and figures.
//!
//! All of it reads one pinned version. The rows that a filter holds for come as bits, one set for each
//! segment and memtable, as they do for a search. The values of a field come from its index where
//! a segment has one, and from the records where it has none; both give the same answer.

mod aggregate;
mod choose;
mod diverse;
mod facet;
mod group;
mod list;
mod order;
mod stream;
mod sum;

pub use aggregate::{Aggregate, AggregateValue, Buckets, Histogram, Operation};
pub use facet::FacetValue;
pub use order::{OrderBy, OrderedScan, Position};

use std::sync::Arc;

use cairn_filter::{Bitmap, FieldIndex, Filter, Path, Record};

use crate::error::{Code, Error, Result};
use crate::keys::Key;
use crate::limits::K_MAX;
use crate::query::{Looked, SelectFields};
use crate::segment::ReadAhead;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::view::Source;

/// Records or values looked at between two looks at whether to go on.
const LOOKS_PER_CHECK: usize = 32;

/// How a search goes beyond the records nearest to a vector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape<'a> {
    /// What to be near to, instead of the request's vector.
    pub by: By<'a>,
    /// Groups instead of records: then `k` counts groups.
    pub group_by: Option<GroupBy<'a>>,
    /// From 0, the nearest, to 1, those that are least like each other.
    pub diversity: Option<f32>,
}

/// What a search is near to.
#[derive(Clone, Copy, Debug, Default)]
pub enum By<'a> {
    /// The request's vector.
    #[default]
    Vector,
    /// The vector of the record with this key, which is left out itself.
    Like(Key<'a>),
    /// Nothing: records come in the order of their keys, at distance 0 and with score 0.
    Nothing,
}

/// Records with the same value of a field are a group; so are those that have none.
#[derive(Clone, Copy, Debug)]
pub struct GroupBy<'a> {
    /// The field, as filters spell it.
    pub field: &'a str,
    /// Most hits of a group, at least 1.
    pub size: usize,
}

impl Shape<'_> {
    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what| Err(Error::new(Code::InvalidArgument, what));
        if self
            .diversity
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return wrong("diversity must be from 0 to 1");
        }
        let Some(group_by) = self.group_by else {
            return Ok(());
        };
        if group_by.size == 0 {
            return wrong("a group has at least one hit");
        }
        if group_by.size > K_MAX {
            return Err(Error::new(Code::LimitExceeded, "over the limit")
                .text("argument", "size")
                .number("limit", K_MAX)
                .number("got", group_by.size));
        }
        if self.diversity.is_some() {
            return wrong("groups and diversity exclude each other");
        }
        field_path(group_by.field).map(|_| ())
    }

    /// Whether it is a search for the records nearest to its vector and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.by, By::Vector) && self.group_by.is_none() && self.diversity.is_none()
    }

    /// Refuses what a batch of searches has not.
    pub(crate) fn refuse_in_batch(&self) -> Result<()> {
        if self.is_plain() {
            return Ok(());
        }
        let message = "searches of a batch are by vector, without groups and diversity";
        Err(Error::new(Code::InvalidArgument, message))
    }
}

/// A field, as filters spell it; not the key.
pub(crate) fn field_path(field: &str) -> Result<Path> {
    let wrong = |what: &str| Error::new(Code::InvalidArgument, what).text("field", field);
    match Path::parse(field) {
        Ok(Path::Key) => Err(wrong("a key is no field: every record has its own")),
        Ok(path) => Ok(path),
        Err(what) => Err(wrong(what)),
    }
}

impl Snapshot {
    /// The rows of each segment, then of each memtable, that the filter holds for; all that are
    /// seen without one.
    fn wanted(&self, filter: Option<&Filter>, stop: &Stop) -> Result<Vec<Bitmap>> {
        Ok(self.wanted_looked(filter, stop)?.0)
    }

    /// The same, with how those of a filter were found.
    fn wanted_looked(
        &self,
        filter: Option<&Filter>,
        stop: &Stop,
    ) -> Result<(Vec<Bitmap>, Vec<Looked>)> {
        self.collection().check_open()?;
        if let Some(filter) = filter {
            let filter = &*self.stored_filter(filter);
            let found: Result<Vec<_>> = self.matching(filter, stop).collect();
            return Ok(found?.into_iter().unzip());
        }
        let (view, at) = (self.view(), self.moment());
        let mut wanted = Vec::with_capacity(view.segments.len() + view.memtables.len());
        for segment in view.segments.iter() {
            stop.check()?;
            wanted.push(segment.seen(at));
        }
        for memtable in &view.memtables {
            let rows = u32::try_from(memtable.rows).expect("rows are counted in 32 bits");
            let mut seen = Bitmap::none(rows);
            let table = &memtable.table;
            table.for_each_visible_until(memtable.rows, at, stop, |row, _| seen.insert(row))?;
            wanted.push(seen);
        }
        Ok((wanted, Vec::new()))
    }

    /// A path with the names that records have.
    fn stored_path(&self, path: &Path) -> Path {
        self.view().structure.names.stored_path(path)
    }

    /// The index of a field in one segment; memtables have none.
    fn index_of(&self, source: usize, path: &Path) -> Option<Arc<FieldIndex>> {
        match self.view().source(source) {
            Source::Segment(segment) => segment.index_of(path),
            Source::Memtable(_) => None,
        }
    }

    /// Calls `each` with the fields of `rows` of one segment or memtable, in their order.
    fn each_record(
        &self,
        source: usize,
        rows: &Bitmap,
        stop: &Stop,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut fields, mut ahead) = (Vec::new(), ReadAhead::default());
        let all = &SelectFields::All;
        for (number, row) in rows.iter().enumerate() {
            if number.is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            fields.clear();
            match self.view().source(source) {
                Source::Segment(segment) => {
                    segment.payload_in_order(row, all, &mut ahead, &mut fields)?;
                }
                Source::Memtable(table) => table.payload(row, all, &mut fields)?,
            }
            each(&fields)?;
        }
        Ok(())
    }
}

/// A record of which the fields alone matter.
fn fields_alone(fields: &[u8]) -> Record<'_> {
    let key = cairn_filter::Key::Number(0);
    Record { key, fields }
}
