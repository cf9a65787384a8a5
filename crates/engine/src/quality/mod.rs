//! How many of the true neighbours searches find, measured on the user's own records, and settings for
//! those who want more of them, or the same sooner.

mod interval;
mod tune;

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_env::{Bug, planted};
use cairn_filter::Filter;

use crate::error::{Code, Error, Result};
use crate::limits::SAMPLE_MAX;
use crate::query::{Effort, SearchRequest};
use crate::schema::VectorField;
use crate::search::{Allowed, Space, check_k, split_queries, unknown_field};
use crate::snapshot::Snapshot;
use crate::stop::Job;
use crate::view::{Place, Source};

pub use interval::Interval;
pub use tune::{TuneRequest, Tuned};

/// What is measured.
#[derive(Clone, Debug)]
pub struct QualityRequest<'a> {
    /// Position of the vector field in the schema.
    pub field: usize,
    /// Neighbours that are looked for, 1 to 10,000.
    pub k: usize,
    /// How hard searches look.
    pub effort: Effort,
    /// Searches are for records that it holds for.
    pub filter: Option<&'a Filter>,
    /// What is asked for.
    pub queries: Queries<'a>,
}

/// Where queries come from.
#[derive(Clone, Copy, Debug)]
pub enum Queries<'a> {
    /// So many records, drawn at random without the filter, 1 to 10,000. Each is asked for as if it
    /// were not stored: graphs are walked past it and it is no answer. What is found then is a little
    /// less than for unseen queries, for the links that it stood in the way of are not there: of hard
    /// ones 59 % in place of 63 %.
    Sample(usize),
    /// `[queries * dim]`.
    Vectors(&'a [f32]),
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The share of the true neighbours that were found, and what it may be for all queries.
    pub recall: Interval,
    /// Searches that were made; fewer than asked for where there are fewer records.
    pub queries: usize,
    /// The median time of a search, its filter not included.
    pub search_time: Duration,
    /// The median time of comparing with every record that the filter holds for.
    pub exact_time: Duration,
}

/// A query, and the distances of its true neighbours.
struct Case {
    vector: Vec<f32>,
    place: Option<Place>,
    nearest: Vec<f32>,
}

/// Queries with their answers, for as many measurements as are wanted.
struct Cases<'a> {
    snapshot: &'a Snapshot,
    field: usize,
    k: usize,
    allowed: Option<Vec<Allowed>>,
    cases: Vec<Case>,
    exact_time: Duration,
}

impl Snapshot {
    /// Measures the recall of searches: the share of the true neighbours that they find. A neighbour as
    /// near as the last of the true ones is one of them.
    ///
    /// Cost: every query is compared with every record. The job hears queries.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`, `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`,
    /// `ERR_ZERO_VECTOR` for the request; `ERR_NOT_FOUND` where there is no record; `ERR_CLOSED`;
    /// `ERR_ABORTED`, `ERR_DEADLINE` as the job's stop; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn quality(&self, request: &QualityRequest<'_>, job: &Job) -> Result<Quality> {
        Cases::new(self, request, job)?.measure(request.effort, job)
    }
}

impl<'a> Cases<'a> {
    fn new(snapshot: &'a Snapshot, request: &QualityRequest<'_>, job: &Job) -> Result<Self> {
        let &QualityRequest {
            field, k, filter, ..
        } = request;
        snapshot.collection().check_open()?;
        check_k(k)?;
        let schema = snapshot.schema();
        let stored = schema.vectors.get(field).ok_or_else(unknown_field)?;
        let queries = match request.queries {
            Queries::Sample(count) => snapshot.sample(field, count)?,
            Queries::Vectors(vectors) => snapshot.given(field, stored, vectors)?,
        };
        if queries.is_empty() || snapshot.count() == 0 {
            return Err(Error::new(Code::NotFound, "there is no record to ask for"));
        }
        let asked = SearchRequest {
            field,
            effort: request.effort,
            filter,
            ..SearchRequest::new(&queries[0].0, k)
        };
        snapshot.check_request(&asked)?;
        let mut all = Self {
            snapshot,
            field,
            k,
            allowed: snapshot.allowed(&asked, &job.stop)?,
            cases: Vec::with_capacity(queries.len()),
            exact_time: Duration::ZERO,
        };
        let (mut space, mut times) = (Space::default(), Vec::new());
        let total = queries.len() as u64;
        for (vector, place) in queries {
            let mut case = Case {
                vector,
                place,
                nearest: Vec::new(),
            };
            let (nearest, time) = all.search(&case, Effort::Exact, &mut space, job)?;
            case.nearest = nearest;
            times.push(time);
            all.cases.push(case);
            if let Some(report) = &job.progress {
                report(all.cases.len() as u64, total);
            }
        }
        all.exact_time = median(&mut times);
        Ok(all)
    }

    fn measure(&self, effort: Effort, job: &Job) -> Result<Quality> {
        let mut space = Space::default();
        let (mut shares, mut times) = (Vec::new(), Vec::new());
        for case in &self.cases {
            let (found, time) = self.search(case, effort, &mut space, job)?;
            times.push(time);
            // Where the filter holds for nothing, nothing is what a search should find.
            let wanted = case.nearest.len();
            if let Some(&last) = case.nearest.last() {
                let right = found.iter().filter(|&&distance| distance <= last).count();
                shares.push(right.min(wanted) as f64 / wanted as f64);
            } else {
                shares.push(1.0);
            }
        }
        Ok(Quality {
            recall: Interval::of(&shares, self.k),
            queries: self.cases.len(),
            search_time: median(&mut times),
            exact_time: self.exact_time,
        })
    }

    /// The distances of what a search finds, nearest first, and how long it took.
    fn search(
        &self,
        case: &Case,
        effort: Effort,
        space: &mut Space,
        job: &Job,
    ) -> Result<(Vec<f32>, Duration)> {
        let clock = &self.snapshot.collection().env().clock;
        let request = SearchRequest {
            field: self.field,
            effort,
            ..SearchRequest::new(&case.vector, self.k)
        };
        let (allowed, stop) = (self.allowed.as_deref(), &job.stop);
        stop.check()?;
        space.hidden = case
            .place
            .filter(|_| effort != Effort::Exact && !planted(Bug::RecallAsksForWhatIsStored));
        let since = clock.now();
        self.snapshot
            .choose(&request, case.place, allowed, stop, space, &mut Vec::new())?;
        let time = clock.now().saturating_sub(since);
        let distances = space.candidates.iter().map(|it| it.distance);
        Ok((distances.collect(), time))
    }
}

/// A vector, and where it is stored.
type Asked = (Vec<f32>, Option<Place>);

impl Snapshot {
    /// Different records at random, each with its vector; all of them where there are no more.
    fn sample(&self, field: usize, count: usize) -> Result<Vec<Asked>> {
        if count == 0 {
            let message = "sample must be at least 1";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        if count > SAMPLE_MAX {
            return Err(Error::new(Code::LimitExceeded, "over the limit")
                .text("argument", "sample")
                .number("limit", SAMPLE_MAX)
                .number("got", count));
        }
        let view = self.view();
        let rows: Vec<usize> = (0..view.segments.len() + view.memtables.len())
            .map(|source| match view.source(source) {
                Source::Segment(segment) => segment.rows(),
                Source::Memtable(_) => view.memtables[source - view.segments.len()].rows,
            })
            .collect();
        let total: usize = rows.iter().sum();
        let entropy = &self.collection().env().entropy;
        let mut chosen = Vec::new();
        for number in shuffled(total, || entropy.next_u64()) {
            let place = place_of(number, &rows);
            if !view.sees(place, self.moment()) {
                continue;
            }
            let mut vector = Vec::new();
            view.vector(place, field, &mut vector)?;
            chosen.push((vector, Some(place)));
            if chosen.len() == count {
                break;
            }
        }
        Ok(chosen)
    }

    fn given(&self, field: usize, stored: &VectorField, vectors: &[f32]) -> Result<Vec<Asked>> {
        let queries = split_queries(stored, vectors)?;
        if queries.is_empty() {
            let message = "not a whole number of vectors";
            return Err(Error::new(Code::DimMismatch, message)
                .number("expected", stored.width())
                .number("got", vectors.len()));
        }
        if queries.len() > SAMPLE_MAX {
            return Err(Error::new(Code::LimitExceeded, "over the limit")
                .text("argument", "queries")
                .number("limit", SAMPLE_MAX)
                .number("got", queries.len()));
        }
        let each = queries.into_iter().enumerate();
        let checked = each.map(|(index, vector)| {
            self.check_query_vector(field, vector)
                .map_err(|error| error.number("query", index))?;
            Ok((vector.to_vec(), None))
        });
        checked.collect()
    }
}

/// The numbers below `total` in a random order, made as far as they are taken (Fisher and Yates, with
/// a map in the place of the array).
fn shuffled(total: usize, mut next: impl FnMut() -> u64) -> impl Iterator<Item = usize> {
    let mut moved = BTreeMap::new();
    (0..total).map(move |at| {
        let other = at + (next() % (total - at) as u64) as usize;
        let here = moved.remove(&at).unwrap_or(at);
        if other == at {
            return here;
        }
        moved.insert(other, here).unwrap_or(other)
    })
}

/// Where the row of this number stands, when those of all sources are counted end to end.
fn place_of(number: usize, rows: &[usize]) -> Place {
    let mut row = number;
    let mut source = 0;
    while row >= rows[source] {
        row -= rows[source];
        source += 1;
    }
    let row = u32::try_from(row).expect("rows are counted in 32 bits");
    Place { source, row }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
