//! How long the candidate list must be for a recall, measured on the graph itself.
//!
//! A row that is asked for while it stands in the graph is found too easily: its own links name its
//! neighbours. So a few rows are held back until the others are in, asked for as the unseen queries
//! that they are then, and inserted after that.

use super::Graph;
use super::HnswConfig;
use super::Scratch;
use super::build::{BuildError, order};
use crate::recall::{K, Point, Sample, query_count};
use crate::{
    Coded, CodedSpace, Component, Effort, Hit, Metric, Progress, Query, Stopped, Vectors, Workers,
};

impl<T: Component> Graph<T> {
    /// [`Graph::build`], and the recall@10 that lists of rising lengths reach, for queries like the
    /// rows: from 10 candidates on in steps of the square root of two, until all but a few neighbours in
    /// ten thousand are found, or with 2,048. Not measured with hardly a row.
    ///
    /// Cost beyond building: 400 distances a row at most, for up to 10,000 rows one for each 25 rows, and
    /// as many searches for each length; shared by the workers.
    ///
    /// # Errors
    /// As [`Graph::build`].
    ///
    /// # Panics
    /// As [`Graph::build`].
    pub fn build_calibrated(
        vectors: &Vectors<T>,
        metric: Metric,
        config: &HnswConfig,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<Point>), BuildError> {
        Self::build_asked(
            vectors,
            metric,
            config,
            workers,
            progress,
            &|graph, query, ef, scratch, hits| {
                graph.search(vectors, query, K, ef, |_| true, scratch, || false, hits)
            },
        )
    }

    fn build_asked(
        vectors: &Vectors<T>,
        metric: Metric,
        config: &HnswConfig,
        workers: &dyn Workers,
        progress: &dyn Progress,
        search: &Search<'_, T>,
    ) -> Result<(Self, Vec<Point>), BuildError> {
        let graph = Self::empty(metric, config, vectors.len())?;
        let order = order(graph.links.levels());
        let (first, queries) = hold_back(order);
        graph.add_all(vectors, &first, workers, progress)?;
        let points = graph
            .calibrate(vectors, &queries, workers, progress, search)
            .map_err(|Stopped| BuildError::Cancelled)?;
        graph.add_all(vectors, &queries, workers, progress)?;
        Ok((graph, points))
    }

    /// Measures with `queries`, the rows that are not inserted yet.
    fn calibrate(
        &self,
        vectors: &Vectors<T>,
        queries: &[u32],
        workers: &dyn Workers,
        progress: &dyn Progress,
        search: &Search<'_, T>,
    ) -> Result<Vec<Point>, Stopped> {
        let mut is_query = vec![false; vectors.len()];
        queries
            .iter()
            .for_each(|&row| is_query[row as usize] = true);
        let counts = |_, row: u32| !is_query[row as usize];
        let (metric, rows) = (self.metric(), queries.to_vec());
        let sample = Sample::new(vectors, metric, rows, K, &counts, workers, progress)?;
        sample.points(workers, progress, &|row, ef, scratch, hits| {
            let query = Query::of(vectors.row(row), vectors.stride());
            search(self, &query, ef, scratch, hits).expect("nobody stops it");
        })
    }
}

impl Graph {
    /// [`Graph::build_calibrated`] for searches that go by codes, see [`Graph::search_coded`].
    ///
    /// # Errors
    /// As [`Graph::build`].
    ///
    /// # Panics
    /// As [`Graph::build`].
    pub fn build_calibrated_coded(
        vectors: &Vectors,
        coded: &Coded,
        metric: Metric,
        config: &HnswConfig,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<Point>), BuildError> {
        Self::build_asked(
            vectors,
            metric,
            config,
            workers,
            progress,
            &|graph, query, ef, scratch, hits| {
                let (all, never, space) = (|_| true, || false, &mut CodedSpace::default());
                graph.search_coded(
                    vectors, coded, query, K, ef, all, scratch, space, never, hits,
                )
            },
        )
    }
}

/// How a question of a calibration is answered: about the `K` nearest, by a list of that length.
type Search<'a, T> = dyn Fn(&Graph<T>, &Query<T>, usize, &mut Scratch, &mut Vec<Hit>) -> Result<Effort, Stopped>
    + Sync
    + 'a;

/// The rows of `order` without some that are spread evenly over its second half, and those: nobody's
/// way leads through the layers above by them.
fn hold_back(order: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
    let count = query_count(order.len());
    let half = order.len() / 2;
    let step = (order.len() - half) / count.max(1);
    let is_query = |at: usize| at >= half && (at - half) % step == step - 1;
    let (queries, first): (Vec<_>, Vec<_>) = order
        .into_iter()
        .enumerate()
        .partition(|&(at, _)| count > 0 && is_query(at));
    let rows = |placed: Vec<(usize, u32)>| placed.into_iter().map(|(_, row)| row).collect();
    (rows(first), rows(queries))
}
