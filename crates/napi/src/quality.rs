//! Measurements of the recall, and settings that reach one.

use std::sync::Arc;

use cairn_engine::{Collection, Effort, Quality, QualityRequest, Queries, Result, TuneRequest};
use cairn_env::Lane;
use napi::bindgen_prelude::{Float32Array, Object};
use napi_derive::napi;

use crate::collection::BindingCollection;
use crate::convert::to_filter;
use crate::task::{Ticket, job, spawn};

/// What is asked for: `sample` records, or the vectors.
#[napi(object)]
pub struct BindingMeasurement {
    /// Position of the vector field.
    pub field: u32,
    /// Neighbours that are looked for.
    pub k: u32,
    /// The recall, if no candidate list is given.
    pub recall: f64,
    /// The candidate list.
    pub ef_search: Option<u32>,
    /// Records drawn, if there are no vectors.
    pub sample: u32,
    /// `[queries * dim]`.
    pub queries: Option<Float32Array>,
    /// JSON.
    pub filter: Option<String>,
}

/// What was measured.
#[napi(object)]
pub struct BindingQuality {
    pub recall: f64,
    pub low: f64,
    pub high: f64,
    pub queries: u32,
    pub search_micros: f64,
    pub exact_micros: f64,
}

/// Factors of the candidate lists, and what was measured with them.
#[napi(object)]
pub struct BindingTuned {
    pub factor_before: f64,
    pub before: BindingQuality,
    pub factor: f64,
    pub after: BindingQuality,
    pub applied: bool,
}

impl From<Quality> for BindingQuality {
    fn from(quality: Quality) -> Self {
        let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
        Self {
            recall: quality.recall.mean,
            low: quality.recall.low,
            high: quality.recall.high,
            queries: u32::try_from(quality.queries).expect("at most ten thousand"),
            search_micros: micros(quality.search_time),
            exact_micros: micros(quality.exact_time),
        }
    }
}

/// A measurement that no JavaScript memory is needed for.
struct Measurement {
    field: usize,
    k: usize,
    recall: f32,
    ef_search: Option<u32>,
    sample: usize,
    queries: Option<Vec<f32>>,
    filter: Option<String>,
}

impl From<BindingMeasurement> for Measurement {
    fn from(given: BindingMeasurement) -> Self {
        Self {
            field: given.field as usize,
            k: given.k as usize,
            recall: given.recall as f32,
            ef_search: given.ef_search,
            sample: given.sample as usize,
            queries: given.queries.map(|queries| queries.to_vec()),
            filter: given.filter,
        }
    }
}

impl Measurement {
    /// Hands the request to `f`, with the recall wanted.
    fn with<R>(&self, f: impl FnOnce(QualityRequest<'_>, f32) -> Result<R>) -> Result<R> {
        let filter = self.filter.as_deref().map(to_filter).transpose()?;
        let request = QualityRequest {
            field: self.field,
            k: self.k,
            effort: match self.ef_search {
                Some(ef) => Effort::EfSearch(ef as usize),
                None => Effort::Recall(self.recall),
            },
            filter: filter.as_ref(),
            queries: match &self.queries {
                Some(queries) => Queries::Vectors(queries),
                None => Queries::Sample(self.sample),
            },
        };
        f(request, self.recall)
    }
}

#[napi]
impl BindingCollection {
    /// Measures the recall of searches.
    #[napi]
    pub fn recall<'env>(
        &self,
        env: &'env napi::Env,
        measurement: BindingMeasurement,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let inner: Arc<Collection> = Arc::clone(&self.inner);
        let measurement = Measurement::from(measurement);
        let job = job(&ticket);
        let work = move || {
            let snapshot = inner.snapshot()?;
            measurement.with(|request, _| snapshot.quality(&request, &job))
        };
        spawn(
            env,
            &self.env.threads,
            Lane::Job,
            work,
            BindingQuality::from,
        )
    }

    /// Finds the candidate lists that reach a recall, and keeps them if `apply`.
    #[napi]
    pub fn tune<'env>(
        &self,
        env: &'env napi::Env,
        measurement: BindingMeasurement,
        apply: bool,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let inner: Arc<Collection> = Arc::clone(&self.inner);
        let measurement = Measurement::from(measurement);
        let job = job(&ticket);
        let work = move || {
            measurement.with(|request, recall| {
                let request = TuneRequest {
                    field: request.field,
                    k: request.k,
                    recall,
                    filter: request.filter,
                    queries: request.queries,
                    apply,
                };
                inner.tune(&request, &job)
            })
        };
        spawn(env, &self.env.threads, Lane::Job, work, |tuned| {
            BindingTuned {
                factor_before: f64::from(tuned.before.0),
                before: tuned.before.1.into(),
                factor: f64::from(tuned.after.0),
                after: tuned.after.1.into(),
                applied: tuned.applied,
            }
        })
    }
}
