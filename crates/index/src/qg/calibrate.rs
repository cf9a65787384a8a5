//! How long the candidate list must be for a recall, measured on the graph itself.
//!
//! A row that is asked for while it stands in the graph is found too easily: its own links name its
//! neighbours. A sealed graph cannot take it in later, so it is passed by as if it were not there.

use super::{BuildError, Config, QuantisedGraph};
use crate::bulk::{draw, seed_of};
use crate::recall::{K, Point, Sample, query_count};
use crate::{Metric, Progress, Query, Stopped, Vectors, Workers};

impl QuantisedGraph {
    /// [`QuantisedGraph::build`], and the recall@10 that lists of rising lengths reach, for queries like
    /// the rows: from 10 candidates on in steps of the square root of two, until all but a few neighbours
    /// in ten thousand are found, or with 2,048. Not measured with hardly a row.
    ///
    /// What is measured is a little less than what unseen queries get: links that the row stood in the way
    /// of are not there.
    ///
    /// Cost beyond building: 400 distances a row at most, for up to 10,000 rows one for each 25 rows, and
    /// as many searches for each length; shared by the workers.
    ///
    /// # Errors
    /// As [`QuantisedGraph::build`].
    ///
    /// # Panics
    /// As [`QuantisedGraph::build`].
    pub fn build_calibrated(
        vectors: &Vectors,
        metric: Metric,
        config: &Config,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<Point>), BuildError> {
        let graph = Self::build(vectors, metric, config, workers, progress)?;
        let points = graph
            .calibrate(vectors, workers, progress)
            .map_err(|Stopped| BuildError::Cancelled)?;
        Ok((graph, points))
    }

    fn calibrate(
        &self,
        vectors: &Vectors,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Vec<Point>, Stopped> {
        let nodes: Vec<u32> = (0..self.rows as u32)
            .filter(|&row| !self.twins.contains(row))
            .collect();
        let queries = draw(&nodes, query_count(self.rows), seed_of(self.config.seed, 2));
        let counts = |query: u32, row: u32| query != row;
        let metric = self.metric();
        let sample = Sample::new(vectors, metric, queries, K, &counts, workers, progress)?;
        sample.points(workers, progress, &|row, ef, scratch, hits| {
            let query = Query::new(vectors.row(row), vectors.stride());
            scratch.hide(Some(row));
            self.search(vectors, &query, K, ef, |_| true, scratch, || false, hits)
                .expect("nobody stops it");
        })
    }
}
