//! The collection class.

#![expect(
    clippy::too_many_arguments,
    reason = "a batch is columns, and each column is an argument"
)]

use std::sync::Arc;
use std::time::Duration;

use cairn_engine::{
    Collection, Database, Filter, Matching, Result, Schema, SearchRequest, Snapshot, Sources,
    Stage, Times, WriteResult,
};
use cairn_env::{Env, Lane};
use napi::bindgen_prelude::{BigInt, BufferSlice, Either, Object, Uint8Array};
use napi_derive::napi;

use crate::convert::{
    BatchParts, BindingAlteration, BindingSchema, QueryNumbers, Wishes, to_alteration, to_batch,
    to_filter, to_key_buf, to_keys, to_select,
};
use crate::error::{Answer, answer, guarded};
use crate::owned::Owned;
use crate::pack::{BatchHits, Rows, pack, pack_into};
use crate::scan::{BindingScan, Walk};
use crate::shape::{BindingOrder, BindingShape, OwnShape, own_shape, to_order};
use crate::sources::BindingSources;
use crate::stats::BindingCollectionStats;
use crate::task::{Ticket, job, spawn, stop};
use crate::writes::Writes;

/// A collection of an open database.
#[napi]
pub struct BindingCollection {
    pub(crate) inner: Owned<Collection>,
    /// A program may keep a collection alone: its database must not be collected before it.
    database: Owned<Database>,
    /// Where answers to writes go.
    writes: Arc<Writes>,
    pub(crate) env: Env,
}

/// What a write to the records of a filter did.
#[napi(object)]
pub struct BindingWriteResult {
    /// The version it made.
    pub version: BigInt,
    /// Records changed.
    pub updated: f64,
    /// Records removed.
    pub deleted: f64,
    /// Records that were changed by others meanwhile.
    pub skipped: f64,
}

/// What a search did in one memtable or segment.
#[napi(object)]
pub struct BindingStage {
    /// `memtable` or the segment's id.
    pub source: String,
    /// What was asked: the name of a vector field, `text`, or `key` where nothing was.
    pub asked: String,
    /// `flat`, `codes`, `hnsw`, `qg`, `sparse`, `text` or `keys`.
    pub path: String,
    /// Rows there.
    pub rows: f64,
    /// Rows that the filter was expected to leave, at most.
    pub estimate: f64,
    /// Rows that could be returned.
    pub matches: f64,
    /// Candidate list, 0 for flat.
    pub ef: f64,
    /// Nodes expanded.
    pub hops: f64,
    /// Distances computed.
    pub distances: f64,
    /// Microseconds for the filter.
    pub filter_micros: f64,
    /// Keys looked at for it.
    pub filter_keys: f64,
    /// Records read for it.
    pub filter_records: f64,
    /// Fields of it whose index is not made yet.
    pub index_pending: Vec<String>,
    /// Microseconds for the search.
    pub micros: f64,
}

/// What a search did, stage by stage.
#[napi(object)]
pub struct BindingPlan {
    /// The version it read.
    pub version: BigInt,
    /// Its hits, packed.
    pub hits: Uint8Array,
    /// Its stages.
    pub stages: Vec<BindingStage>,
    /// How long it took.
    pub micros: BindingTimes,
}

/// Microseconds that parts of a search took, one behind another.
#[napi(object)]
pub struct BindingTimes {
    /// Finding the rows of the filter.
    pub filter: f64,
    /// Asking memtables and segments.
    pub search: f64,
    /// Reading the hits.
    pub read: f64,
}

impl BindingCollection {
    /// A handle.
    pub fn new(
        inner: Arc<Collection>,
        database: Owned<Database>,
        writes: Arc<Writes>,
        env: Env,
    ) -> Self {
        Self {
            inner: Owned::new(inner, &env.threads),
            database,
            writes,
            env,
        }
    }
}

#[napi]
impl BindingCollection {
    /// Its name now.
    #[napi(getter)]
    #[must_use]
    pub fn name(&self) -> String {
        self.inner.name()
    }

    /// Its structure.
    #[napi(getter)]
    #[must_use]
    pub fn schema(&self) -> BindingSchema {
        BindingSchema::from(self.inner.schema()).without_indexes(self.inner.unindexed())
    }

    /// Another for every collection of a database.
    #[napi(getter)]
    #[must_use]
    pub fn id(&self) -> f64 {
        self.inner.id() as f64
    }

    /// How often its structure has changed.
    #[napi(getter)]
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.inner.changes()
    }

    /// Gives it another structure.
    #[napi]
    pub fn alter<'env>(
        &self,
        env: &'env napi::Env,
        change: BindingAlteration,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let (inner, database) = (Arc::clone(&self.inner), self.database.clone());
        let stop = job(&ticket).stop;
        let work = move || database.alter(&inner, &to_alteration(change)?, &stop);
        spawn(env, &self.env.threads, Lane::Job, work, |()| ())
    }

    /// Writes one atomic batch. Everything is copied before this returns; the answer comes under
    /// `id`. When this returns true, `start` must follow: more writes may come before it, and
    /// they are synced together.
    #[napi]
    pub fn write(
        &self,
        id: u32,
        kind: String,
        keys: Either<&[u8], &[u64]>,
        key_ends: &[u32],
        vectors: Vec<Option<&[f32]>>,
        present: Vec<Option<&[u8]>>,
        payload: Option<&[u8]>,
        payload_ends: Option<&[u32]>,
        if_version: Option<BigInt>,
        if_filter: Option<String>,
        idempotency_key: Option<String>,
        durability: Option<String>,
        changes: u32,
        ticket: Ticket<'_>,
    ) -> bool {
        let prepared = guarded(|| {
            let batch = to_batch(&BatchParts {
                kind: &kind,
                keys,
                key_ends,
                vectors,
                present,
                payload,
                payload_ends,
            })?;
            let stop = stop(&ticket, &self.env.clock, 0.0);
            let wishes = Wishes {
                if_version,
                if_filter,
                idempotency_key,
                durability,
                changes,
            };
            Ok((batch, wishes.options(stop)?))
        });
        match prepared {
            Ok((batch, options)) => {
                let writes = Arc::clone(&self.writes);
                let done = move |result| writes.answer(id, result);
                let submit = || Ok(self.inner.submit_held(batch, options, Box::new(done)));
                // Should it panic, `done` is told when it is dropped.
                guarded(submit).unwrap_or(false)
            }
            Err(error) => {
                self.writes.answer(id, Err(error));
                false
            }
        }
    }

    /// Removes or changes all records that a filter holds for: with fields they are updated.
    #[napi]
    pub fn write_matching<'env>(
        &self,
        env: &'env napi::Env,
        filter: String,
        fields: Option<&[u8]>,
        replace_fields: bool,
        as_of: Option<BigInt>,
        if_version: Option<BigInt>,
        if_filter: Option<String>,
        idempotency_key: Option<String>,
        durability: Option<String>,
        changes: u32,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let wishes = Wishes {
            if_version,
            if_filter,
            idempotency_key,
            durability,
            changes,
        };
        let options = wishes.options(stop(&ticket, &self.env.clock, 0.0));
        let change = match fields {
            None => Matching::Delete,
            Some(fields) => Matching::Update {
                fields: fields.to_vec(),
                replace_fields,
            },
        };
        let inner = Arc::clone(&self.inner);
        let as_of = as_of.map(|version| version.get_u64().1);
        let work = move || inner.write_matching(filter.as_bytes(), &change, as_of, options?);
        let to_js = BindingWriteResult::from;
        spawn(env, &self.env.threads, Lane::Blocking, work, to_js)
    }

    /// Starts writes that wait for others.
    #[napi]
    pub fn start(&self) {
        self.inner.start();
    }

    /// Records by key, packed in the order asked.
    #[napi]
    pub fn get<'env>(
        &self,
        env: &'env napi::Env,
        keys: Either<&[u8], &[u64]>,
        key_ends: &[u32],
        fields: u32,
        names: Option<Vec<String>>,
        vectors: bool,
        deadline_ms: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let keys = to_keys(&keys, key_ends);
        let select = to_select(fields as usize, names, vectors);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        self.read(env, move |snapshot| {
            pack(&Rows(snapshot.get_until(&keys?, &select, &stop)?))
        })
    }

    /// Whether a key is there, for each: 0 or 1.
    #[napi]
    pub fn has<'env>(
        &self,
        env: &'env napi::Env,
        keys: Either<&[u8], &[u64]>,
        key_ends: &[u32],
    ) -> napi::Result<Object<'env>> {
        let keys = to_keys(&keys, key_ends);
        self.read(env, move |snapshot| {
            let is_there = |key| Ok(u8::from(snapshot.has(key)?));
            keys?.iter().map(is_there).collect()
        })
    }

    /// Live records now.
    #[napi]
    #[must_use]
    pub fn count(&self) -> Answer<f64> {
        answer(guarded(|| Ok(self.inner.snapshot()?.count() as f64)))
    }

    /// Live records that a filter holds for.
    #[napi]
    pub fn count_matching<'env>(
        &self,
        env: &'env napi::Env,
        filter: String,
        deadline_ms: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        let snapshot = guarded(|| self.inner.snapshot());
        let work = move || snapshot?.count_matching(&to_filter(&filter)?, &stop);
        spawn(env, &self.env.threads, Lane::Foreground, work, |count| {
            count as f64
        })
    }

    /// Nearest neighbours, packed.
    #[napi]
    pub fn search<'env>(
        &self,
        env: &'env napi::Env,
        vector: &[f32],
        numbers: &[f64],
        names: Option<Vec<String>>,
        filter: Option<String>,
        shape: Option<BindingShape>,
        sources: Option<BindingSources>,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let vector = vector.to_vec();
        let shape = own_shape(shape);
        let query = QueryNumbers::read(numbers, names);
        let deadline_ms = query.as_ref().map_or(0.0, |query| query.deadline_ms);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        self.read(env, move |snapshot| {
            let filter = filter.as_deref().map(to_filter).transpose()?;
            let sources = of(sources.as_ref(), &snapshot, &vector)?;
            let request = request(&query?, &vector, filter.as_ref(), sources.as_ref(), &shape);
            pack(&snapshot.search(&request, &stop)?)
        })
    }

    /// Nearest neighbours on this thread, packed into `out`: the length of the block, which
    /// is not there when `out` is shorter.
    #[napi]
    pub fn search_sync(
        &self,
        vector: &[f32],
        numbers: &[f64],
        names: Option<Vec<String>>,
        filter: Option<String>,
        shape: Option<BindingShape>,
        sources: Option<BindingSources>,
        mut out: BufferSlice<'_>,
    ) -> Answer<u32> {
        answer(guarded(|| {
            let query = QueryNumbers::read(numbers, names)?;
            let filter = filter.as_deref().map(to_filter).transpose()?;
            let stop = stop(&None, &self.env.clock, query.deadline_ms);
            let snapshot = self.inner.snapshot()?;
            let shape = own_shape(shape);
            let sources = of(sources.as_ref(), &snapshot, vector)?;
            let request = request(&query, vector, filter.as_ref(), sources.as_ref(), &shape);
            let hits = snapshot.search(&request, &stop)?;
            Ok(pack_into(&hits, &mut out)? as u32)
        }))
    }

    /// Nearest neighbours of many vectors, packed with offsets.
    #[napi]
    pub fn search_batch<'env>(
        &self,
        env: &'env napi::Env,
        vectors: &[f32],
        numbers: &[f64],
        filter: Option<String>,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let vectors = vectors.to_vec();
        let query = QueryNumbers::read(numbers, None);
        let deadline_ms = query.as_ref().map_or(0.0, |query| query.deadline_ms);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        self.read(env, move |snapshot| {
            let filter = filter.as_deref().map(to_filter).transpose()?;
            let shape = own_shape(None);
            let request = request(&query?, &[], filter.as_ref(), None, &shape);
            let (hits, offsets) = snapshot.search_batch(&vectors, &request, &stop)?;
            pack(&BatchHits { hits, offsets })
        })
    }

    /// A search and what it did.
    #[napi]
    pub fn explain<'env>(
        &self,
        env: &'env napi::Env,
        vector: &[f32],
        numbers: &[f64],
        names: Option<Vec<String>>,
        filter: Option<String>,
        shape: Option<BindingShape>,
        sources: Option<BindingSources>,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let vector = vector.to_vec();
        let shape = own_shape(shape);
        let query = QueryNumbers::read(numbers, names);
        let deadline_ms = query.as_ref().map_or(0.0, |query| query.deadline_ms);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        let snapshot = guarded(|| self.inner.snapshot());
        let work = move || {
            let snapshot = snapshot?;
            let filter = filter.as_deref().map(to_filter).transpose()?;
            let sources = of(sources.as_ref(), &snapshot, &vector)?;
            let request = SearchRequest {
                explain: true,
                ..request(&query?, &vector, filter.as_ref(), sources.as_ref(), &shape)
            };
            let hits = snapshot.search(&request, &stop)?;
            let stages = hits.stages.iter();
            let stages = stages.map(|stage| BindingStage::of(stage, snapshot.schema()));
            let stages: Vec<BindingStage> = stages.collect();
            Ok((snapshot.version(), pack(&hits)?, stages, hits.times))
        };
        spawn(
            env,
            &self.env.threads,
            Lane::Foreground,
            work,
            |(version, hits, stages, times)| BindingPlan {
                version: BigInt::from(version),
                hits: Uint8Array::from(hits),
                stages,
                micros: BindingTimes::from(times),
            },
        )
    }

    /// Walks one pinned version by key or in another order, from after a record: all records, or
    /// those that a filter holds for.
    #[napi]
    pub fn scan<'env>(
        &self,
        env: &'env napi::Env,
        after: Option<Either<String, BigInt>>,
        filter: Option<String>,
        order: Option<BindingOrder>,
        deadline_ms: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        let after = after.map(to_key_buf);
        let key = after.clone();
        let order = order.map(|order| to_order(order, key));
        let inner = Arc::clone(&self.inner);
        let host = self.env.clone();
        let database = self.database.clone();
        spawn(
            env,
            &self.env.threads,
            Lane::Foreground,
            move || {
                let snapshot = inner.snapshot()?;
                let filter = filter.as_deref().map(to_filter).transpose()?;
                if let Some(order) = order {
                    let (by, after) = order?;
                    let scan = snapshot.scan_ordered(by, after, filter.as_ref(), &stop);
                    return scan.map(Walk::Ordered);
                }
                let scan = match filter {
                    Some(filter) => snapshot.scan_matching(after.as_ref(), &filter, &stop),
                    None => snapshot.scan_until(after.as_ref(), &stop),
                };
                scan.map(Walk::ByKey)
            },
            move |walk| BindingScan::new(walk, database, &host),
        )
    }

    /// Makes everything acknowledged durable; the version that is.
    #[napi]
    pub fn commit<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || inner.commit();
        spawn(env, &self.env.threads, Lane::Blocking, work, BigInt::from)
    }

    /// Gives space back that a collection at rest does not need.
    #[napi]
    pub fn tidy<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || inner.tidy();
        spawn(env, &self.env.threads, Lane::Blocking, work, |()| ())
    }

    /// Flushes, indexes and merges.
    #[napi]
    pub fn compact<'env>(
        &self,
        env: &'env napi::Env,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let job = job(&ticket);
        let work = move || inner.compact(&job);
        spawn(env, &self.env.threads, Lane::Job, work, |()| ())
    }

    /// Figures.
    #[napi]
    pub fn stats<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || inner.stats();
        spawn(env, &self.env.threads, Lane::Blocking, work, |stats| {
            BindingCollectionStats::from(&stats)
        })
    }

    /// Runs `work` on a snapshot taken now, so that a write acknowledged before is seen.
    fn read<'env>(
        &self,
        env: &'env napi::Env,
        work: impl FnOnce(Snapshot) -> Result<Vec<u8>> + Send + 'static,
    ) -> napi::Result<Object<'env>> {
        let snapshot = guarded(|| self.inner.snapshot());
        spawn(
            env,
            &self.env.threads,
            Lane::Foreground,
            move || work(snapshot?),
            Uint8Array::from,
        )
    }
}

/// What is asked beside one vector.
fn of<'a>(
    sources: Option<&'a BindingSources>,
    snapshot: &Snapshot,
    vectors: &'a [f32],
) -> Result<Option<Sources<'a>>> {
    let sources = sources.map(|it| it.of(snapshot.schema(), vectors));
    sources.transpose()
}

fn request<'a>(
    query: &QueryNumbers,
    vector: &'a [f32],
    filter: Option<&'a Filter>,
    sources: Option<&'a Sources<'a>>,
    shape: &'a OwnShape,
) -> SearchRequest<'a> {
    SearchRequest {
        field: query.field,
        vector,
        k: query.k,
        effort: query.effort,
        filter,
        max_distance: query.max_distance,
        min_score: query.min_score,
        select: query.select.clone(),
        explain: false,
        shape: shape.borrow(),
        sources,
    }
}

impl From<WriteResult> for BindingWriteResult {
    fn from(result: WriteResult) -> Self {
        Self {
            version: BigInt::from(result.version),
            updated: result.updated as f64,
            deleted: result.deleted as f64,
            skipped: result.skipped as f64,
        }
    }
}

impl From<Times> for BindingTimes {
    fn from(times: Times) -> Self {
        // Rounded down, each of them: together they are no longer than the call.
        let micros = |spent: Duration| spent.as_micros() as f64;
        Self {
            filter: micros(times.filter),
            search: micros(times.search),
            read: micros(times.read),
        }
    }
}

impl BindingStage {
    fn of(stage: &Stage, schema: &Schema) -> Self {
        let field = stage.field.and_then(|field| schema.vectors.get(field));
        let other = if stage.path == "text" { "text" } else { "key" };
        Self {
            source: stage.source.clone(),
            asked: field.map_or(other, |field| &field.name).to_owned(),
            path: stage.path.to_owned(),
            rows: stage.rows as f64,
            estimate: stage.estimate as f64,
            matches: stage.matches as f64,
            ef: stage.ef as f64,
            hops: stage.hops as f64,
            distances: stage.distances as f64,
            filter_micros: stage.filter_micros as f64,
            filter_keys: stage.looked.keys as f64,
            filter_records: stage.looked.records as f64,
            index_pending: stage.waited_for.clone(),
            micros: stage.micros as f64,
        }
    }
}
