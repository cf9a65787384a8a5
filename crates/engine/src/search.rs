//! Nearest neighbours of one version: every segment and memtable is asked, the answers merged.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::time::Duration;

use cairn_env::{Bug, Clock, planted};
use cairn_index::{Hit, Query, Scratch};

use crate::batch::Payloads;
use crate::collection::check_vector;
use crate::error::{Code, Error, Result};
use crate::keys::Keys;
use crate::limits::{EF_MAX, K_MAX};
use crate::query::{Effort, Hits, SearchRequest, SelectFields, Stage};
use crate::segment::Outcome;
use crate::snapshot::{RECORD_BYTES, Snapshot, check_answer};
use crate::stop::Stop;
use crate::view::{Place, View};

cairn_env::sync::thread_local! {
    /// What searches of this thread reuse, so that a warm search allocates only its answer.
    static SPACE: RefCell<Space> = RefCell::default();
}

#[derive(Default)]
struct Space {
    scratch: Scratch,
    query: Option<Query>,
    prepared: Vec<f32>,
    found: Vec<Hit>,
    candidates: Vec<Candidate>,
}

impl Space {
    /// Puts the query into the form kernels want: padded, of length one under cosine.
    fn prepare(&mut self, vector: &[f32], normalise: bool) {
        self.prepared.clear();
        self.prepared.extend_from_slice(vector);
        if normalise {
            // The zero vector was refused before.
            let _ = cairn_distance::normalise(&mut self.prepared);
        }
        let stride = vector.len().next_multiple_of(STRIDE_FLOATS);
        match &mut self.query {
            Some(query) if query.padded().len() == stride => query.set(&self.prepared),
            slot => *slot = Some(Query::new(&self.prepared, stride)),
        }
    }
}

#[derive(Clone, Copy)]
struct Candidate {
    distance: f32,
    place: Place,
}

impl Snapshot {
    /// The `k` records nearest to the request's vector; fewer only when fewer match.
    ///
    /// # Errors
    /// `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`, `ERR_LIMIT_EXCEEDED` or
    /// `ERR_INVALID_ARGUMENT` for the request; `ERR_LIMIT_EXCEEDED` as soon as the hits have more
    /// bytes than [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX); `ERR_ABORTED`,
    /// `ERR_DEADLINE` from `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn search(&self, request: &SearchRequest<'_>, stop: &Stop) -> Result<Hits> {
        self.check_request(request)?;
        let mut hits = self.no_hits(request);
        self.search_into(request, stop, &mut hits)?;
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
        let dim = match self.schema().vectors.get(request.field) {
            Some(field) => field.dim as usize,
            None => return Err(unknown_field()),
        };
        if !vectors.len().is_multiple_of(dim) {
            return Err(
                Error::new(Code::DimMismatch, "not a whole number of vectors")
                    .number("expected", dim)
                    .number("got", vectors.len()),
            );
        }
        let mut hits = self.no_hits(request);
        let mut offsets = vec![0];
        for (index, vector) in vectors.chunks_exact(dim).enumerate() {
            let one = SearchRequest {
                vector,
                ..request.clone()
            };
            let found = self
                .check_request(&one)
                .and_then(|()| self.search_into(&one, stop, &mut hits));
            found.map_err(|error| error.number("query", index))?;
            let end = u32::try_from(hits.distances.len());
            offsets.push(end.expect("an answer is limited in bytes"));
        }
        Ok((hits, offsets))
    }

    fn check_request(&self, request: &SearchRequest<'_>) -> Result<()> {
        self.collection().check_open()?;
        let field = self
            .schema()
            .vectors
            .get(request.field)
            .ok_or_else(unknown_field)?;
        let name = |error: Error| error.text("field", field.name.clone());
        if request.vector.len() != field.dim as usize {
            return Err(name(
                Error::new(Code::DimMismatch, "the query vector has the wrong length")
                    .number("expected", field.dim)
                    .number("got", request.vector.len()),
            ));
        }
        check_vector(request.vector, field.metric.metric()).map_err(name)?;
        if request.k == 0 {
            return Err(Error::new(Code::InvalidArgument, "k must be at least 1"));
        }
        if request.k > K_MAX {
            return Err(over("k", K_MAX, request.k));
        }
        match request.effort {
            Effort::Recall(recall) if !(0.5..=1.0).contains(&recall) => Err(Error::new(
                Code::InvalidArgument,
                "recall must be from 0.5 to 1",
            )),
            Effort::EfSearch(0) => Err(Error::new(
                Code::InvalidArgument,
                "efSearch must be at least 1",
            )),
            Effort::EfSearch(ef) if ef > EF_MAX => Err(over("efSearch", EF_MAX, ef)),
            _ => Ok(()),
        }
    }

    fn no_hits(&self, request: &SearchRequest<'_>) -> Hits {
        let schema = self.schema();
        Hits {
            keys: Keys::new(schema.key),
            distances: Vec::new(),
            scores: Vec::new(),
            versions: Vec::new(),
            payloads: (request.select.fields != SelectFields::None).then(Payloads::default),
            vectors: (request.select.vectors).then(|| vec![Vec::new(); schema.vectors.len()]),
            stages: Vec::new(),
        }
    }

    fn search_into(&self, request: &SearchRequest<'_>, stop: &Stop, hits: &mut Hits) -> Result<()> {
        SPACE.with(|space| {
            let space = &mut *space.borrow_mut();
            self.gather(request, stop, space, &mut hits.stages)?;
            self.collect(request, &space.candidates, hits)
        })
    }

    /// Asks every part of the view; leaves the best candidates in order.
    fn gather(
        &self,
        request: &SearchRequest<'_>,
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
        let metric = self.schema().vectors[request.field].metric.metric();
        space.prepare(request.vector, metric.normalises());
        let Space {
            scratch,
            query,
            found,
            candidates,
            ..
        } = space;
        let query = query.as_ref().expect("it was prepared above");
        let (field, k, lsn) = (request.field, request.k, view.lsn);
        let clock = request.explain.then_some(&*self.collection().env().clock);
        candidates.clear();
        for (source, segment) in view.segments.iter().enumerate() {
            let since = clock.map(Clock::now);
            let effort = request.effort;
            let outcome = segment.search(field, query, k, effort, lsn, stop, scratch, found)?;
            if let (Some(clock), Some(since)) = (clock, since) {
                let spent = clock.now().saturating_sub(since);
                stages.push(stage(
                    segment.id.to_string(),
                    segment.rows(),
                    outcome,
                    spent,
                ));
            }
            push(candidates, source, found);
        }
        for (index, memtable) in view.memtables.iter().enumerate() {
            let since = clock.map(Clock::now);
            let (table, rows) = (&memtable.table, memtable.rows);
            let distances = table.search(field, query, k, rows, lsn, stop, found)?;
            if let (Some(clock), Some(since)) = (clock, since) {
                let outcome = Outcome {
                    path: "flat",
                    ef: 0,
                    hops: 0,
                    distances,
                };
                let spent = clock.now().saturating_sub(since);
                stages.push(stage("memtable".into(), rows, outcome, spent));
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
        hits: &mut Hits,
    ) -> Result<()> {
        let view = self.view();
        let metric = self.schema().vectors[request.field].metric.metric();
        for &Candidate { distance, place } in candidates {
            let score = metric.score(distance);
            if request.max_distance.is_some_and(|max| distance > max)
                || request.min_score.is_some_and(|min| score < min)
            {
                continue;
            }
            view.with_key(place, |key| hits.keys.push(key));
            hits.distances.push(distance);
            hits.scores.push(score);
            hits.versions.push(view.version(place));
            if let Some(payloads) = &mut hits.payloads {
                view.payload(place, &request.select.fields, &mut payloads.bytes)?;
                payloads.end_row();
            }
            if let Some(columns) = &mut hits.vectors {
                for (field, column) in columns.iter_mut().enumerate() {
                    view.vector(place, field, column)?;
                }
            }
            check_answer(hits_bytes(hits))?;
        }
        Ok(())
    }
}

/// Rows in memory are padded to whole cache lines of floats.
const STRIDE_FLOATS: usize = 16;

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
    hits.distances.len() * RECORD_BYTES + keys + fields + vectors
}

fn stage(source: String, rows: usize, outcome: Outcome, spent: Duration) -> Stage {
    Stage {
        source,
        path: outcome.path,
        rows: rows as u64,
        ef: outcome.ef as u64,
        hops: outcome.hops,
        distances: outcome.distances,
        micros: u64::try_from(spent.as_micros()).unwrap_or(u64::MAX),
    }
}

/// Nearest first, ties by key. Keys are looked up for ties alone.
fn nearer(view: &View, a: &Candidate, b: &Candidate) -> Ordering {
    let by_distance = a.distance.partial_cmp(&b.distance);
    by_distance
        .unwrap_or(Ordering::Equal)
        .then_with(|| view.key(a.place).cmp(&view.key(b.place)))
}

fn unknown_field() -> Error {
    Error::new(Code::InvalidArgument, "unknown vector field")
}

fn over(name: &'static str, limit: usize, got: usize) -> Error {
    Error::new(Code::LimitExceeded, "over the limit")
        .text("argument", name)
        .number("limit", limit)
        .number("got", got)
}
