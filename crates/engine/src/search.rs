//! Nearest neighbours of one version: every segment and memtable is asked, the answers merged.

mod fuse;
mod marks;
mod words;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::time::Duration;

use cairn_env::{Bug, Clock, planted};
use cairn_filter::{Bitmap, Filter};
use cairn_index::{Hit, Scratch};

use crate::batch::Payloads;
use crate::codes::ScanSpace;
use crate::collection::check_vector;
use crate::error::{Code, Error, Result};
use crate::expiry::Moment;
use crate::keys::Keys;
use crate::limits::{EF_MAX, K_MAX};
use crate::query::{Effort, Hits, Looked, SearchRequest, SelectFields, Stage, Times};
use crate::schema::{VectorField, VectorKind};
use crate::segment::{Outcome, Question};
use crate::shape::By;
use crate::snapshot::{RECORD_BYTES, Snapshot, check_answer};
use crate::stop::Stop;
use crate::vectors::FieldQuery;
use crate::view::{Place, View};

use words::Asked;

/// Hits read between two looks at whether to go on; each may read the disk.
const HITS_PER_CHECK: usize = 64;

/// Rows whose space a thread keeps between searches: 1.5 MiB for candidates, half a MiB for hits.
const KEPT_MAX: usize = 64 * 1024;

/// Bytes of a query that a thread keeps room for, beyond what one vector takes.
const QUERY_BYTES_MAX: usize = 1024 * 1024;

cairn_env::sync::thread_local! {
    /// What searches of this thread reuse, so that a warm search allocates only its answer.
    static SPACE: RefCell<Space> = RefCell::default();
}

#[derive(Default)]
pub(crate) struct Space {
    scratch: Scratch,
    scans: ScanSpace,
    query: Option<FieldQuery>,
    prepared: Vec<f32>,
    found: Vec<Hit>,
    pub candidates: Vec<Candidate>,
    /// A record that graphs are walked without.
    pub hidden: Option<Place>,
}

impl Space {
    /// Gives back what only a rare search needs: one by groups may have had every row for a candidate.
    fn trim(&mut self) {
        self.candidates.clear();
        self.candidates.shrink_to(KEPT_MAX);
        self.found.clear();
        self.found.shrink_to(KEPT_MAX);
        // One of thousands of vectors takes as much.
        if let Some(query) = &self.query
            && query.spare_bytes() > QUERY_BYTES_MAX
        {
            self.query = None;
            self.prepared = Vec::new();
        }
    }
}

/// The rows of one segment or memtable that a filter holds for, and how long it took to find them.
pub(crate) struct Allowed {
    pub rows: Bitmap,
    pub spent: Duration,
    pub looked: Looked,
    /// Only where that is told.
    pub foreseen: Foreseen,
}

/// What is known of a filter in one segment or memtable before its rows are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreseen {
    /// About how many rows it holds for, at most.
    pub estimate: usize,
    /// Fields whose index would help and is not made yet.
    pub waited_for: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub distance: f32,
    pub place: Place,
}

/// Tells how long what was done took; nothing where nobody asked.
pub(crate) struct Watch<'a> {
    clock: Option<&'a dyn Clock>,
    since: Duration,
}

impl Watch<'_> {
    /// Time since the last call, or since it was made.
    pub fn lap(&mut self) -> Duration {
        let now = self.clock.map_or(self.since, Clock::now);
        now.saturating_sub(std::mem::replace(&mut self.since, now))
    }
}

/// Where the hits of a search come from.
#[derive(Clone, Copy)]
enum From<'a> {
    /// The request's vector; one record may be left out.
    Vector(Option<Place>),
    /// Words, or several vectors.
    Sources(&'a Asked<'a>),
}

impl Snapshot {
    /// The `k` records nearest to the request's vector; fewer only when fewer match.
    ///
    /// # Errors
    /// `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`, `ERR_LIMIT_EXCEEDED` or
    /// `ERR_INVALID_ARGUMENT` for the request; `ERR_NOT_FOUND` where the record to be like is not there;
    /// `ERR_LIMIT_EXCEEDED` as soon as the hits have more bytes than
    /// [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX); `ERR_ABORTED`, `ERR_DEADLINE` from
    /// `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn search(&self, request: &SearchRequest<'_>, stop: &Stop) -> Result<Hits> {
        self.collection().env().threads.serve();
        match request.shape.by {
            _ if request.sources.is_some() => self.search_near(request, None, stop),
            By::Vector => self.search_near(request, None, stop),
            By::Like(key) => {
                let mut watch = self.watch(request);
                let (place, vector) = self.like(key, request.field)?;
                let spent = watch.lap();
                let vector = &vector[..];
                let near = SearchRequest {
                    vector,
                    ..request.clone()
                };
                let mut hits = self.search_near(&near, Some(place), stop)?;
                hits.times.search += spent;
                Ok(hits)
            }
            By::Nothing => self.list(request, stop),
        }
    }

    /// A search for the request's vector that leaves one record out.
    fn search_near(
        &self,
        request: &SearchRequest<'_>,
        without: Option<Place>,
        stop: &Stop,
    ) -> Result<Hits> {
        self.check_request(request)?;
        let asked = self.asked(request)?;
        let from = match &asked {
            Some(asked) => From::Sources(asked),
            None => From::Vector(without),
        };
        let mut hits = self.no_hits(request);
        let allowed = self.allowed_timed(request, stop, &mut hits.times)?;
        self.search_into(request, from, allowed.as_deref(), stop, &mut hits)?;
        Ok(hits)
    }

    /// One search for each row of `vectors` (`[queries * dim]`) with the rest of `request`.
    /// Returns all hits end to end and where those of each query start; the last offset is where
    /// they all end.
    ///
    /// # Errors
    /// As [`Snapshot::search`], with the `query` it is about.
    pub fn search_batch(
        &self,
        vectors: &[f32],
        request: &SearchRequest<'_>,
        stop: &Stop,
    ) -> Result<(Hits, Vec<u32>)> {
        self.collection().env().threads.serve();
        request.shape.refuse_in_batch()?;
        if request.sources.is_some() {
            let message = "a batch is of searches for one vector each";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let from = From::Vector(None);
        let field = self.schema().vectors.get(request.field);
        let queries = split_queries(field.ok_or_else(unknown_field)?, vectors)?;
        let mut hits = self.no_hits(request);
        let allowed = self.allowed_timed(request, stop, &mut hits.times)?;
        let mut offsets = vec![0];
        for (index, vector) in queries.into_iter().enumerate() {
            let one = SearchRequest {
                vector,
                ..request.clone()
            };
            let found = self
                .check_request(&one)
                .and_then(|()| self.search_into(&one, from, allowed.as_deref(), stop, &mut hits));
            found.map_err(|error| error.number("query", index))?;
            let end = u32::try_from(hits.distances.len());
            offsets.push(end.expect("an answer is limited in bytes"));
        }
        Ok((hits, offsets))
    }

    pub(crate) fn check_request(&self, request: &SearchRequest<'_>) -> Result<()> {
        self.collection().check_open()?;
        match request.sources {
            Some(sources) => self.check_sources(request, sources)?,
            None => self.check_query_vector(request.field, request.vector)?,
        }
        check_k(request.k)?;
        request.shape.check()?;
        if request.shape.diversity.is_some() && self.has_varying(request.field) {
            let message = "hits are made diverse by vectors of one length";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        match request.effort {
            Effort::Recall(recall) | Effort::Stretched(recall, _)
                if !(0.5..=1.0).contains(&recall) =>
            {
                Err(Error::new(
                    Code::InvalidArgument,
                    "recall must be from 0.5 to 1",
                ))
            }
            Effort::EfSearch(0) => Err(Error::new(
                Code::InvalidArgument,
                "efSearch must be at least 1",
            )),
            Effort::EfSearch(ef) if ef > EF_MAX => Err(over("efSearch", EF_MAX, ef)),
            _ => Ok(()),
        }
    }

    /// Whether vectors of a field differ in length.
    fn has_varying(&self, field: usize) -> bool {
        let field = self.schema().vectors.get(field);
        field.is_some_and(|field| field.kind.varies())
    }

    pub(crate) fn check_query_vector(&self, field: usize, vector: &[f32]) -> Result<()> {
        let field = self.schema().vectors.get(field);
        let field = field.ok_or_else(unknown_field)?;
        let name = |error: Error| error.text("field", field.name.clone());
        if !field.kind.varies() && vector.len() != field.width() {
            return Err(name(
                Error::new(Code::DimMismatch, "the query vector has the wrong length")
                    .number("expected", field.width())
                    .number("got", vector.len()),
            ));
        }
        check_vector(vector, field).map_err(name)
    }

    pub(crate) fn no_hits(&self, request: &SearchRequest<'_>) -> Hits {
        let schema = self.schema();
        Hits {
            keys: Keys::new(schema.key),
            distances: Vec::new(),
            scores: Vec::new(),
            versions: Vec::new(),
            payloads: (request.select.fields != SelectFields::None).then(Payloads::default),
            vectors: (request.select.vectors).then(|| vec![Vec::new(); schema.vectors.len()]),
            vector_ends: match request.select.vectors {
                true => vec![Vec::new(); schema.vectors.len()],
                false => Vec::new(),
            },
            highlights: request.highlights().then(Payloads::default),
            stages: Vec::new(),
            times: Times::default(),
        }
    }

    /// Measures what a search does from now on, where somebody wants to know.
    pub(crate) fn watch(&self, request: &SearchRequest<'_>) -> Watch<'_> {
        let clock = request.explain.then_some(&*self.collection().env().clock);
        Watch {
            clock,
            since: clock.map_or(Duration::ZERO, Clock::now),
        }
    }

    /// As [`allowed`](Self::allowed), and how long it took.
    fn allowed_timed(
        &self,
        request: &SearchRequest<'_>,
        stop: &Stop,
        times: &mut Times,
    ) -> Result<Option<Vec<Allowed>>> {
        let mut watch = self.watch(request);
        let allowed = self.allowed(request, stop)?;
        if allowed.is_some() {
            times.filter += watch.lap();
        }
        Ok(allowed)
    }

    /// What the filter holds for: rows of each segment, then of each memtable.
    pub(crate) fn allowed(
        &self,
        request: &SearchRequest<'_>,
        stop: &Stop,
    ) -> Result<Option<Vec<Allowed>>> {
        let Some(filter) = request.filter else {
            return Ok(None);
        };
        self.collection().check_open()?;
        let filter = &*self.stored_filter(filter);
        let clock = &self.collection().env().clock;
        let mut since = clock.now();
        let foreseen = self.foreseen(filter, request.explain, stop);
        let timed = self.matching(filter, stop).zip(foreseen);
        let timed = timed.map(|(rows, foreseen)| {
            let now = clock.now();
            let spent = now.saturating_sub(since);
            since = now;
            let (rows, looked) = rows?;
            Ok(Allowed {
                rows,
                spent,
                looked,
                foreseen,
            })
        });
        timed.collect::<Result<_>>().map(Some)
    }

    /// What each segment, then each memtable, knows of a stored filter; nothing unless it `is_told`.
    pub(crate) fn foreseen(&self, filter: &Filter, is_told: bool, stop: &Stop) -> Vec<Foreseen> {
        let (view, at) = (self.view(), self.moment());
        if !is_told {
            return vec![Foreseen::default(); view.segments.len() + view.memtables.len()];
        }
        let names = &view.structure.names;
        let segments = view.segments.iter().map(|segment| {
            let mut waited_for = segment.waited_for(filter, &view.structure);
            waited_for
                .iter_mut()
                .for_each(|name| *name = names.shown(name).to_owned());
            Foreseen {
                estimate: segment.estimate(filter, stop),
                waited_for,
            }
        });
        let memtables = view.memtables.iter().map(|it| Foreseen {
            estimate: it.table.estimate(filter, it.rows, at, stop),
            waited_for: Vec::new(),
        });
        segments.chain(memtables).collect()
    }

    fn search_into(
        &self,
        request: &SearchRequest<'_>,
        from: From<'_>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        hits: &mut Hits,
    ) -> Result<()> {
        let wants_codes = SPACE.with(|space| {
            let space = &mut *space.borrow_mut();
            let searched = self.search_in(space, request, from, allowed, stop, hits);
            space.trim();
            searched.map(|()| std::mem::take(&mut space.scans.wanted))
        });
        if wants_codes? {
            self.collection().schedule_codes(self.shared_view());
        }
        Ok(())
    }

    fn search_in(
        &self,
        space: &mut Space,
        request: &SearchRequest<'_>,
        from: From<'_>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        hits: &mut Hits,
    ) -> Result<()> {
        let mut watch = self.watch(request);
        match from {
            From::Sources(asked) => {
                self.gather_all(asked, request, allowed, stop, space, hits)?;
                hits.times.search += watch.lap();
                self.collect_all(asked, request, &space.candidates, stop, hits)?;
            }
            From::Vector(without) => {
                self.choose(request, without, allowed, stop, space, &mut hits.stages)?;
                hits.times.search += watch.lap();
                self.collect(request, &space.candidates, stop, hits)?;
            }
        }
        hits.times.read += watch.lap();
        Ok(())
    }

    /// Asks every part of the view; leaves the `k` best candidates in order.
    pub(crate) fn gather(
        &self,
        request: &SearchRequest<'_>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        stages: &mut Vec<Stage>,
    ) -> Result<()> {
        let newest;
        let view = if planted(Bug::SearchReadsNewestView) {
            newest = self.collection().newest_view();
            &newest
        } else {
            self.view()
        };
        let Space {
            scratch,
            scans,
            query,
            prepared,
            found,
            candidates,
            hidden,
        } = space;
        let asked = &self.schema().vectors[request.field];
        let query = FieldQuery::prepare(query, asked, request.vector, prepared);
        let plain = match asked.kind {
            VectorKind::Sparse => "sparse",
            _ => "flat",
        };
        let (field, k) = (request.field, request.k);
        let at = Moment {
            lsn: view.lsn,
            ..self.moment()
        };
        let clock = request.explain.then_some(&*self.collection().env().clock);
        let effort = match request.effort {
            Effort::Recall(recall) => {
                Effort::Stretched(recall, view.stretch.get(field).copied().unwrap_or(1.0))
            }
            effort => effort,
        };
        candidates.clear();
        let allowed = |source: usize| allowed.and_then(|sources| sources.get(source));
        for (source, segment) in view.segments.iter().enumerate() {
            let since = clock.map(Clock::now);
            let allowed = allowed(source);
            let rows = allowed.map(|it| &it.rows);
            scratch.hide(hidden.filter(|it| it.source == source).map(|it| it.row));
            let question = Question {
                field,
                query,
                k,
                effort,
                allowed: rows,
                at,
                stop,
            };
            let outcome = segment.search(&question, scratch, scans, found)?;
            if let (Some(clock), Some(since)) = (clock, since) {
                let spent = clock.now().saturating_sub(since);
                stages.push(Stage {
                    source: segment.id.to_string(),
                    field: Some(field),
                    rows: segment.rows() as u64,
                    ..stage(outcome, allowed, spent)
                });
            }
            push(candidates, source, found);
        }
        for (index, memtable) in view.memtables.iter().enumerate() {
            let since = clock.map(Clock::now);
            let (table, rows) = (&memtable.table, memtable.rows);
            let allowed = allowed(view.segments.len() + index);
            let wanted = allowed.map(|it| &it.rows);
            let (distances, coded) = table.search(
                field, query, k, rows, wanted, at, effort, stop, scans, found,
            )?;
            if let (Some(clock), Some(since)) = (clock, since) {
                let visible = || table.visible(rows, at);
                let outcome = Outcome {
                    path: if coded { "codes" } else { plain },
                    matches: wanted.map_or_else(visible, Bitmap::count),
                    ef: 0,
                    hops: 0,
                    distances,
                };
                let spent = clock.now().saturating_sub(since);
                stages.push(Stage {
                    source: "memtable".into(),
                    field: Some(field),
                    rows: rows as u64,
                    ..stage(outcome, allowed, spent)
                });
            }
            push(candidates, view.segments.len() + index, found);
        }
        candidates.sort_unstable_by(|a, b| nearer(view, a, b));
        candidates.truncate(k);
        Ok(())
    }

    fn collect(
        &self,
        request: &SearchRequest<'_>,
        candidates: &[Candidate],
        stop: &Stop,
        hits: &mut Hits,
    ) -> Result<()> {
        let view = self.view();
        let field = &self.schema().vectors[request.field];
        for (number, candidate) in candidates.iter().enumerate() {
            if number % HITS_PER_CHECK == HITS_PER_CHECK - 1 {
                stop.check()?;
            }
            if request.is_within(field, candidate.distance) {
                let score = field.score(request.vector, candidate.distance);
                push_hit(view, &request.select.fields, candidate, score, hits)?;
            }
        }
        Ok(())
    }
}

impl SearchRequest<'_> {
    /// Whether a record at this distance is not to be left out.
    pub(crate) fn is_within(&self, field: &VectorField, distance: f32) -> bool {
        let score = || field.score(self.vector, distance);
        self.max_distance.is_none_or(|max| distance <= max)
            && self.min_score.is_none_or(|min| score() >= min)
    }
}

/// Appends one record to the answer.
pub(crate) fn push_hit(
    view: &View,
    fields: &SelectFields,
    candidate: &Candidate,
    score: f32,
    hits: &mut Hits,
) -> Result<()> {
    let &Candidate { distance, place } = candidate;
    view.with_key(place, |key| hits.keys.push(key));
    hits.distances.push(distance);
    hits.scores.push(score);
    hits.versions.push(view.version(place));
    if let Some(payloads) = &mut hits.payloads {
        let names = &view.structure.names;
        let start = payloads.bytes.len();
        view.payload(place, &names.stored_select(fields), &mut payloads.bytes)?;
        names.show(&mut payloads.bytes, start)?;
        payloads.end_row();
    }
    if let Some(columns) = &mut hits.vectors {
        for (field, column) in columns.iter_mut().enumerate() {
            view.vector(place, field, column)?;
            let end = u32::try_from(column.len()).expect("an answer is limited in bytes");
            hits.vector_ends[field].push(end);
        }
    }
    check_answer(hits_bytes(hits))
}

/// The vectors of a batch of queries for one field.
///
/// # Errors
/// `ERR_DIM_MISMATCH` where they do not come out even.
pub(crate) fn split_queries<'a>(field: &VectorField, vectors: &'a [f32]) -> Result<Vec<&'a [f32]>> {
    field.split(vectors).ok_or_else(|| {
        let error = Error::new(Code::DimMismatch, "not a whole number of vectors");
        let error = match field.kind.varies() {
            true => error,
            false => error.number("expected", field.width()),
        };
        error.number("got", vectors.len())
    })
}

/// Refuses a `k` that no search has.
pub(crate) fn check_k(k: usize) -> Result<()> {
    if k == 0 {
        return Err(Error::new(Code::InvalidArgument, "k must be at least 1"));
    }
    if k > K_MAX {
        return Err(over("k", K_MAX, k));
    }
    Ok(())
}

fn push(candidates: &mut Vec<Candidate>, source: usize, found: &mut Vec<Hit>) {
    candidates.extend(found.drain(..).map(|hit| Candidate {
        distance: hit.distance,
        place: Place {
            source,
            row: hit.row,
        },
    }));
}

/// Bytes of the answer so far.
fn hits_bytes(hits: &Hits) -> usize {
    let keys = match &hits.keys {
        Keys::Str { bytes, .. } => bytes.len(),
        Keys::U64(numbers) => size_of_val(&numbers[..]),
    };
    let fields = hits.payloads.as_ref().map_or(0, |it| it.bytes.len());
    let vectors = hits.vectors.iter().flatten();
    let vectors: usize = vectors.map(|column| size_of_val(&column[..])).sum();
    let marks = hits.highlights.as_ref().map_or(0, |it| it.bytes.len());
    hits.distances.len() * RECORD_BYTES + keys + fields + vectors + marks
}

/// What was done somewhere, and how long it took.
fn stage(outcome: Outcome, allowed: Option<&Allowed>, spent: Duration) -> Stage {
    let micros = |spent: Duration| u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
    Stage {
        source: String::new(),
        field: None,
        path: outcome.path,
        rows: 0,
        estimate: allowed.map_or(outcome.matches, |it| it.foreseen.estimate) as u64,
        matches: outcome.matches as u64,
        ef: outcome.ef as u64,
        hops: outcome.hops,
        distances: outcome.distances,
        filter_micros: allowed.map_or(0, |allowed| micros(allowed.spent)),
        looked: allowed.map_or_else(Looked::default, |allowed| allowed.looked),
        waited_for: allowed.map_or_else(Vec::new, |it| it.foreseen.waited_for.clone()),
        micros: micros(spent),
    }
}

/// Nearest first, ties by key. Keys are looked up for ties alone.
pub(crate) fn nearer(view: &View, a: &Candidate, b: &Candidate) -> Ordering {
    let by_distance = a.distance.partial_cmp(&b.distance);
    by_distance
        .unwrap_or(Ordering::Equal)
        .then_with(|| view.key(a.place).cmp(&view.key(b.place)))
}

pub(crate) fn unknown_field() -> Error {
    Error::new(Code::InvalidArgument, "unknown vector field")
}

fn over(name: &'static str, limit: usize, got: usize) -> Error {
    Error::new(Code::LimitExceeded, "over the limit")
        .text("argument", name)
        .number("limit", limit)
        .number("got", got)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_what_searches_reuse_but_not_what_a_rare_one_took() {
        let place = Place { source: 0, row: 0 };
        let candidate = Candidate {
            distance: 0.0,
            place,
        };
        let mut space = Space::default();
        space.candidates.resize(1_000, candidate);
        space.trim();
        assert!(space.candidates.is_empty() && space.candidates.capacity() >= 1_000);
        space.candidates.resize(10 * KEPT_MAX, candidate);
        space.found.reserve(10 * KEPT_MAX);
        space.trim();
        assert!(space.candidates.capacity() <= 2 * KEPT_MAX);
        assert!(space.found.capacity() <= 2 * KEPT_MAX);
    }
}
