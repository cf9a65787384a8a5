//! How many lists a recall takes, measured on the postings themselves.

use std::sync::{Mutex, PoisonError};

use super::{Ivf, Postings, Scratch, SearchError};
use crate::bulk::{draw, seed_of};
use crate::recall::{K, Point, Sample, query_count};
use crate::{Progress, Query, Vectors, Workers};

/// A recall so high is not exceeded.
const RECALL_MAX: f32 = 0.9995;

impl Ivf {
    /// The recall@10 that rising numbers of probes reach, for queries like the rows: from one list on in steps of
    /// about the square root of two, until all but a few neighbours in ten thousand are found, or all lists are
    /// looked at. [`Point::ef`] is the number of probes.
    ///
    /// Rows are queries, up to 400 of them, and are passed by as if they were not there; with fewer than 25 rows
    /// nothing is measured. Nor is it where rows are lent that are not of length one though the metric is cosine.
    ///
    /// Cost: a distance for each query and row, and a search for each query and point; shared by the workers.
    ///
    /// # Errors
    /// [`SearchError::Stopped`] if `progress` said so; otherwise what a search had to say.
    ///
    /// # Panics
    /// If `vectors` has other rows than the lists.
    pub fn calibrate<P: Postings<Error: Send> + Sync>(
        &self,
        postings: &P,
        vectors: &Vectors,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Vec<Point>, SearchError<P::Error>> {
        assert_eq!(vectors.len(), self.rows, "vectors of other rows");
        let mut points = Vec::new();
        let queries = query_count(self.rows);
        if queries == 0 || vectors.has_scales() {
            return Ok(points);
        }
        let all: Vec<u32> = (0..self.rows as u32).collect();
        let queries = draw(&all, queries, seed_of(self.seed, 2));
        drop(all);
        let counts = |query: u32, row: u32| query != row;
        let sample = Sample::new(vectors, self.metric, queries, K, &counts, workers, progress)?;
        let failed = Mutex::new(None);
        let scratches = Mutex::new(Vec::new());
        let mut probes = 1;
        loop {
            let recall = sample.recall(workers, progress, &|row, _, hits| {
                let mut scratch: Scratch = lock(&scratches).pop().unwrap_or_default();
                let query = Query::new(vectors.row(row), vectors.stride());
                let (accept, stop) = (|other| other != row, || progress.cancelled());
                let found = self.search(
                    postings,
                    vectors,
                    &query,
                    K,
                    probes,
                    accept,
                    &mut scratch,
                    stop,
                    hits,
                );
                if let Err(error) = found {
                    *lock(&failed) = Some(error);
                }
                lock(&scratches).push(scratch);
            })?;
            if let Some(error) = lock(&failed).take() {
                return Err(error);
            }
            let ef = probes as u32;
            points.push(Point { ef, recall });
            if recall >= RECALL_MAX || probes >= self.lists() {
                return Ok(points);
            }
            let next = (probes as f32 * std::f32::consts::SQRT_2).ceil() as usize;
            probes = next.min(self.lists());
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
