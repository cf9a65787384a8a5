//! The graph over the vectors of one field, of whatever kind they are.

use cairn_distance::f16;
use cairn_env::{Bug, planted};
use cairn_index::ivf;
use cairn_index::qg::{self, QuantisedGraph};
use cairn_index::{
    Coded, CodedSpace, Effort, FormatError, Graph, Hit, HnswConfig, Metric, Point, Progress, Query,
    Scratch, Stopped, Vectors, Workers,
};

use crate::effort::Growth;
use crate::schema::{VectorField, VectorKind};

use super::{FieldQuery, Matrix, Stored};

// What callers see to.
const WITHOUT_GRAPH: &str = "no graph is over vectors that differ in length";
const NO_GRAPH: &str = "postings are no graph";
const NOT_QUANTISED: &str = "a quantised graph is over vectors of f32";

/// The graph over one field.
pub(crate) enum FieldGraph {
    F32(Graph),
    F16(Graph<f16>),
    I8(Graph<i8>),
    Bits(Graph<u8>),
    /// Of vectors of `f32`.
    Quantised(QuantisedGraph),
}

/// How the graph over a field is built, or the postings that stand in its place.
#[derive(Clone, Debug)]
pub(crate) enum GraphConfig {
    Hnsw(HnswConfig),
    Quantised(qg::Config),
    Clusters(ivf::Config),
}

impl GraphConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// A sentence about the first setting that is outside its range.
    pub fn validate(&self, dim: usize, metric: Metric) -> Result<(), String> {
        match self {
            Self::Hnsw(config) => config.validate().map_err(|error| error.to_string()),
            Self::Quantised(config) => config.validate().map_err(|error| error.to_string()),
            Self::Clusters(config) => config
                .validate(dim, metric)
                .map_err(|error| error.to_string()),
        }
    }

    /// Bytes of a graph for each row of `dim` components, about: of HNSW every link of layer 0, and a
    /// sixteenth for the layers above.
    pub fn row_bytes(&self, dim: usize) -> usize {
        match self {
            Self::Hnsw(config) => (4 * config.m0 + 4) * 17 / 16,
            Self::Quantised(config) => config.record_bytes(dim),
            Self::Clusters(_) => ivf::Config::row_bytes(dim),
        }
    }
}

impl FieldGraph {
    /// [`Graph::build_calibrated`], for searches that go by `coded` where there is that, or
    /// [`QuantisedGraph::build_calibrated`].
    ///
    /// # Errors
    /// What those say: above all that `progress` cancelled it.
    pub fn build(
        vectors: &Matrix,
        coded: Option<&Coded>,
        metric: Metric,
        config: &GraphConfig,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<Point>), String> {
        let config = match config {
            GraphConfig::Hnsw(config) => config,
            GraphConfig::Quantised(config) => {
                let vectors = vectors.as_f32().ok_or(NOT_QUANTISED)?;
                let built =
                    QuantisedGraph::build_calibrated(vectors, metric, config, workers, progress);
                let (graph, points) = built.map_err(|error| error.to_string())?;
                return Ok((Self::Quantised(graph), points));
            }
            GraphConfig::Clusters(_) => unreachable!("{NO_GRAPH}"),
        };
        if let Some((coded, vectors)) = coded.zip(vectors.as_f32()) {
            let built =
                Graph::build_calibrated_coded(vectors, coded, metric, config, workers, progress);
            let (graph, points) = built.map_err(|error| error.to_string())?;
            return Ok((Self::F32(graph), points));
        }
        each!(
            vectors,
            vectors => {
                let built = Graph::build_calibrated(vectors, metric, config, workers, progress);
                let (graph, points) = built.map_err(|error| error.to_string())?;
                Ok((Stored::wrap(graph), points))
            },
            Matrix::Sparse(_) | Matrix::Multi(_) => unreachable!("{WITHOUT_GRAPH}")
        )
    }

    /// What searches call their way through it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quantised(_) => "qg",
            _ => "hnsw",
        }
    }

    /// How its candidate lists become longer with the neighbours that are looked for.
    pub fn growth(&self) -> Growth {
        match self {
            Self::Quantised(_) => Growth::InProportion,
            _ => Growth::Added,
        }
    }

    /// Rows that are compared one by one while a walk takes one hop, about. Of 60,000 rows with 784 components a hop
    /// of HNSW, which is twenty rows, took 3.8 microseconds, and one of the quantised graph 1.8.
    pub fn hop_distances(&self) -> f32 {
        match self {
            Self::Quantised(_) => 10.0,
            _ => 20.0,
        }
    }

    /// [`QuantisedGraph::from_bytes`] for a field of `f32`.
    ///
    /// # Errors
    /// As that one, and that the graph is of another metric.
    pub fn quantised(bytes: &[u8], field: &VectorField, rows: usize) -> Result<Self, String> {
        let graph = QuantisedGraph::from_bytes(bytes, field.width(), rows);
        let graph = graph.map_err(|error| error.to_string())?;
        if graph.metric() != field.metric.metric() {
            return Err(format!(
                "the graph is of another metric, metric={}",
                graph.metric()
            ));
        }
        Ok(Self::Quantised(graph))
    }

    /// [`Graph::read`] for a field.
    ///
    /// # Errors
    /// As that one; of a kind that has no graphs, whatever the bytes are.
    pub fn from_bytes(kind: VectorKind, bytes: &[u8], rows: usize) -> Result<Self, FormatError> {
        Ok(match kind {
            VectorKind::F32 => Self::F32(Graph::read(bytes, rows)?),
            VectorKind::F16 => Self::F16(Graph::read(bytes, rows)?),
            VectorKind::I8 => Self::I8(Graph::read(bytes, rows)?),
            VectorKind::Binary => Self::Bits(Graph::read(bytes, rows)?),
            VectorKind::Sparse | VectorKind::Multi => Self::F32(Graph::read(&[], rows)?),
        })
    }

    /// [`Graph::write`].
    ///
    /// # Errors
    /// As that one.
    pub fn write<E>(&self, put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::F32(graph) => graph.write(put),
            Self::F16(graph) => graph.write(put),
            Self::I8(graph) => graph.write(put),
            Self::Bits(graph) => graph.write(put),
            Self::Quantised(graph) => graph.write(put),
        }
    }

    /// [`Graph::bytes`].
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(graph) => graph.bytes(),
            Self::F16(graph) => graph.bytes(),
            Self::I8(graph) => graph.bytes(),
            Self::Bits(graph) => graph.bytes(),
            Self::Quantised(graph) => graph.bytes(),
        }
    }

    /// [`Graph::search`], or [`QuantisedGraph::search`].
    ///
    /// # Errors
    /// As that one.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    pub fn search(
        &self,
        vectors: &Matrix,
        query: &FieldQuery,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        if let (Self::Quantised(graph), Matrix::F32(vectors)) = (self, vectors) {
            let query = Stored::query(query);
            let accept = |row| accept(row) || planted(Bug::QuantisedGraphReturnsDeleted);
            return graph.search(vectors, query, k, ef, accept, scratch, stop, hits);
        }
        each!(
            vectors,
            vectors => {
                let (graph, query) = (graph_over(self, vectors), Stored::query(query));
                graph.search(vectors, query, k, ef, accept, scratch, stop, hits)
            },
            Matrix::Sparse(_) | Matrix::Multi(_) => unreachable!("{WITHOUT_GRAPH}")
        )
    }

    /// [`Graph::search_coded`]: by codes of the vectors, where the graph is one over `f32`.
    ///
    /// # Errors
    /// As that one.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    pub fn search_coded(
        &self,
        vectors: &Vectors,
        coded: &Coded,
        query: &Query,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        space: &mut CodedSpace,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        let graph: &Graph = Stored::graph(self);
        graph.search_coded(
            vectors, coded, query, k, ef, accept, scratch, space, stop, hits,
        )
    }
}

fn graph_over<'a, T: Stored>(graph: &'a FieldGraph, _: &Vectors<T>) -> &'a Graph<T> {
    T::graph(graph)
}
