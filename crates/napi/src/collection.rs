//! The collection class.

#![expect(
    clippy::too_many_arguments,
    reason = "a batch is columns, and each column is an argument"
)]

use std::sync::Arc;

use cairn_engine::{Collection, Database, Result, SearchRequest, Snapshot, Stage};
use cairn_env::{Env, Lane};
use napi::bindgen_prelude::{BigInt, BufferSlice, Either, Object, Uint8Array};
use napi_derive::napi;

use crate::convert::{
    BatchParts, BindingSchema, QueryNumbers, to_batch, to_key_buf, to_keys, to_select,
    to_write_options,
};
use crate::error::{Answer, answer, guarded};
use crate::owned::Owned;
use crate::pack::{BatchHits, Rows, pack, pack_into};
use crate::scan::BindingScan;
use crate::stats::BindingCollectionStats;
use crate::task::{Ticket, job, spawn, stop};
use crate::writes::Writes;

/// A collection of an open database.
#[napi]
pub struct BindingCollection {
    inner: Owned<Collection>,
    /// A program may keep a collection alone: its database must not be collected before it.
    database: Owned<Database>,
    /// Where answers to writes go.
    writes: Arc<Writes>,
    env: Env,
}

/// What a search did in one memtable or segment.
#[napi(object)]
pub struct BindingStage {
    /// `memtable` or the segment's id.
    pub source: String,
    /// `flat` or `hnsw`.
    pub path: String,
    /// Rows there.
    pub rows: f64,
    /// Candidate list, 0 for flat.
    pub ef: f64,
    /// Nodes expanded.
    pub hops: f64,
    /// Distances computed.
    pub distances: f64,
    /// Microseconds.
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
        BindingSchema::from(self.inner.schema())
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
        idempotency_key: Option<String>,
        durability: Option<String>,
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
            let mut options = to_write_options(if_version, durability.as_deref())?;
            options.idempotency_key = idempotency_key;
            options.stop = stop(&ticket, &self.env.clock, 0.0);
            Ok((batch, options))
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
    ) -> napi::Result<Object<'env>> {
        let keys = to_keys(&keys, key_ends);
        let select = to_select(fields as usize, names, vectors);
        self.read(env, move |snapshot| {
            pack(&Rows(snapshot.get(&keys?, &select)?))
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

    /// Nearest neighbours, packed.
    #[napi]
    pub fn search<'env>(
        &self,
        env: &'env napi::Env,
        vector: &[f32],
        numbers: &[f64],
        names: Option<Vec<String>>,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let vector = vector.to_vec();
        let query = QueryNumbers::read(numbers, names);
        let deadline_ms = query.as_ref().map_or(0.0, |query| query.deadline_ms);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        self.read(env, move |snapshot| {
            pack(&snapshot.search(&request(&query?, &vector, false), &stop)?)
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
        mut out: BufferSlice<'_>,
    ) -> Answer<u32> {
        answer(guarded(|| {
            let query = QueryNumbers::read(numbers, names)?;
            let stop = stop(&None, &self.env.clock, query.deadline_ms);
            let snapshot = self.inner.snapshot()?;
            let hits = snapshot.search(&request(&query, vector, false), &stop)?;
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
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let vectors = vectors.to_vec();
        let query = QueryNumbers::read(numbers, None);
        let deadline_ms = query.as_ref().map_or(0.0, |query| query.deadline_ms);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        self.read(env, move |snapshot| {
            let (hits, offsets) =
                snapshot.search_batch(&vectors, &request(&query?, &[], false), &stop)?;
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
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let vector = vector.to_vec();
        let query = QueryNumbers::read(numbers, None);
        let deadline_ms = query.as_ref().map_or(0.0, |query| query.deadline_ms);
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        let inner = Arc::clone(&self.inner);
        let work = move || {
            let snapshot = inner.snapshot()?;
            let hits = snapshot.search(&request(&query?, &vector, true), &stop)?;
            Ok((snapshot.version(), pack(&hits)?, hits.stages))
        };
        spawn(
            env,
            &self.env.threads,
            Lane::Foreground,
            work,
            |(version, hits, stages)| BindingPlan {
                version: BigInt::from(version),
                hits: Uint8Array::from(hits),
                stages: stages.into_iter().map(BindingStage::from).collect(),
            },
        )
    }

    /// Walks one pinned version by key, from after a key.
    #[napi]
    pub fn scan<'env>(
        &self,
        env: &'env napi::Env,
        after: Option<Either<String, BigInt>>,
    ) -> napi::Result<Object<'env>> {
        let after = after.map(to_key_buf);
        let inner = Arc::clone(&self.inner);
        let threads = Arc::clone(&self.env.threads);
        let database = self.database.clone();
        spawn(
            env,
            &self.env.threads,
            Lane::Foreground,
            move || inner.snapshot()?.scan(after.as_ref()),
            move |scan| BindingScan::new(scan, database, threads),
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

fn request<'a>(query: &QueryNumbers, vector: &'a [f32], explain: bool) -> SearchRequest<'a> {
    SearchRequest {
        field: query.field,
        vector,
        k: query.k,
        effort: query.effort,
        max_distance: query.max_distance,
        min_score: query.min_score,
        select: query.select.clone(),
        explain,
    }
}

impl From<Stage> for BindingStage {
    fn from(stage: Stage) -> Self {
        Self {
            source: stage.source,
            path: stage.path.to_owned(),
            rows: stage.rows as f64,
            ef: stage.ef as f64,
            hops: stage.hops as f64,
            distances: stage.distances as f64,
            micros: stage.micros as f64,
        }
    }
}
