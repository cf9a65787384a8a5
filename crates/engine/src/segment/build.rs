//! Writing a segment: rows from anywhere, their columns, and the graphs over their vectors.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use cairn_distance::{Kernels, Metric};
use cairn_env::{Env, KillPoint};
use cairn_index::{Graph, HnswConfig, Progress, Vectors, Workers};
use cairn_storage::{REQUIRED, SectionId, SegmentWriter, sync_segment_dir};

use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyType, Keys};
use crate::manifest::{SegmentEntry, Spread, StoredKey};
use crate::memtable::push_prepared;
use crate::schema::{MetricName, Schema, VectorField};
use crate::stop::{Job, Pace};
use crate::ulid::Ulid;

use super::open::segment_path;
use super::sections;

/// Floats gathered before they are handed to the writer: 1 MiB.
const FLOATS_PER_WRITE: usize = 256 * 1024;

/// Rows between two looks at whether the job was stopped.
const ROWS_PER_CHECK: usize = 4096;

/// Where a new segment's row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub source: u32,
    pub row: u32,
}

/// Records that a segment can be made of.
pub(crate) trait RowSource {
    fn with_key(&self, row: u32, f: &mut dyn FnMut(Key<'_>));
    fn version(&self, row: u32) -> u64;
    fn vector(&self, row: u32, field: usize, out: &mut [f32]) -> Result<()>;
    fn payload(&self, row: u32, out: &mut Vec<u8>) -> Result<()>;
}

/// Which fields get a graph, and who builds it.
pub(crate) struct GraphPlan<'a> {
    /// One per vector field.
    pub configs: Vec<Option<HnswConfig>>,
    pub workers: &'a dyn Workers,
}

/// How a segment is built. By default without graphs, as fast as the disk allows.
#[derive(Default)]
pub(crate) struct BuildPlan<'a> {
    pub graphs: Option<GraphPlan<'a>>,
    pub pace: Option<Pace>,
}

/// A segment on disk that no manifest lists yet.
pub(crate) struct Built {
    pub entry: SegmentEntry,
    /// Where each of its rows came from.
    pub origins: Vec<Origin>,
}

/// What a segment says of itself, whatever its manifest says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub rows: u32,
    pub key: KeyType,
    pub vectors: Vec<MetaVector>,
}

/// A vector field in [`Meta`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetaVector {
    pub name: String,
    pub dim: u32,
    pub metric: MetricName,
}

impl Meta {
    pub fn of(schema: &Schema, rows: u32) -> Self {
        let vector = |field: &VectorField| MetaVector {
            name: field.name.clone(),
            dim: field.dim,
            metric: field.metric,
        };
        Self {
            rows,
            key: schema.key,
            vectors: schema.vectors.iter().map(vector).collect(),
        }
    }
}

/// Writes the rows at `origins` as a new segment file in `dir`, synced, its name too.
///
/// # Errors
/// What the sources and the disk say; `ERR_ABORTED` when the job was stopped. Nothing of the
/// file is left then.
#[expect(clippy::too_many_arguments, reason = "all that a segment is made of")]
pub(crate) fn build(
    env: &Env,
    dir: &Path,
    collection: u64,
    schema: &Schema,
    sources: &[&dyn RowSource],
    origins: Vec<Origin>,
    plan: &BuildPlan<'_>,
    job: &Job,
) -> Result<Built> {
    let id = Ulid::new(env);
    let path = segment_path(dir, id);
    let builder = Builder {
        env,
        schema,
        sources,
        plan,
        job,
    };
    let built = builder
        .write(id, &path, collection, origins)
        .and_then(|built| {
            sync_segment_dir(env, dir)?;
            job.stop.check()?;
            Ok(built)
        });
    built.inspect_err(|_| {
        // Best effort: an orphan is removed at the next open.
        let _ = env.disk.remove_file(&path);
    })
}

struct Builder<'a> {
    env: &'a Env,
    schema: &'a Schema,
    sources: &'a [&'a dyn RowSource],
    plan: &'a BuildPlan<'a>,
    job: &'a Job,
}

impl Builder<'_> {
    fn write(&self, id: Ulid, path: &Path, collection: u64, origins: Vec<Origin>) -> Result<Built> {
        let rows = u32::try_from(origins.len()).expect("rows are counted in 32 bits");
        let (graphs, spread) = self.index(&origins)?;
        let faults = &self.env.faults;

        let mut writer = SegmentWriter::create(self.env, path, id.0, collection)?;
        for field in 0..self.schema.vectors.len() {
            self.write_vectors(&mut writer, field, &origins)?;
        }
        faults.hit(KillPoint::K10Vectors)?;
        for (field, graph) in graphs.iter().enumerate() {
            if let Some(graph) = graph {
                let bytes = graph.to_bytes();
                write_section(&mut writer, sections::graph(field), 0, &bytes)?;
                self.spend(bytes.len());
            }
        }
        faults.hit(KillPoint::K11Graph)?;
        faults.hit(KillPoint::K12Codes)?;
        self.write_payloads(&mut writer, &origins)?;
        faults.hit(KillPoint::K13Payload)?;
        let keys = self.gather_keys(&origins);
        let version = |origin: &Origin| self.source(origin).version(origin.row);
        let versions: Vec<u64> = origins.iter().map(version).collect();
        let meta = rmp_serde::to_vec_named(&Meta::of(self.schema, rows))
            .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
        write_section(&mut writer, sections::KEYS, REQUIRED, &key_bytes(&keys))?;
        let version_bytes = bytemuck::cast_slice(&versions);
        write_section(&mut writer, sections::VERSIONS, REQUIRED, version_bytes)?;
        write_section(&mut writer, sections::META, REQUIRED, &meta)?;
        faults.hit(KillPoint::K14Keys)?;
        let file = writer.finish()?;

        let stored = |key: Option<Key<'_>>| key.expect("a segment has a row").into();
        let (key_min, key_max): (StoredKey, StoredKey) =
            (stored(keys.iter().min()), stored(keys.iter().max()));
        Ok(Built {
            entry: SegmentEntry {
                id,
                file: file.into(),
                rows,
                lsn_min: versions.iter().copied().min().unwrap_or(0),
                lsn_max: versions.iter().copied().max().unwrap_or(0),
                key_min,
                key_max,
                spread,
                deletions: None,
            },
            origins,
        })
    }

    /// Builds the graphs, and measures how the vectors of each field spread.
    ///
    /// Rows stay in the order they came in: with huge pages and whole records fetched ahead, an
    /// order that keeps neighbours close was measured to gain nothing.
    fn index(&self, origins: &[Origin]) -> Result<(Vec<Option<Graph>>, Vec<Spread>)> {
        let plan = self.plan.graphs.as_ref();
        let mut graphs = Vec::new();
        let mut spread = Vec::new();
        for (field, shape) in self.schema.vectors.iter().enumerate() {
            let vectors = self.gather_vectors(field, origins)?;
            spread.push(measure_spread(&vectors));
            let config = plan.and_then(|plan| Some((plan.workers, plan.configs[field].as_ref()?)));
            graphs.push(match config {
                None => None,
                Some((workers, config)) => {
                    let progress = GraphProgress::new(self.job, vectors.len());
                    let metric = shape.metric.metric();
                    let built = Graph::build(&vectors, metric, config, workers, &progress);
                    Some(built.map_err(|error| {
                        let stopped = self.job.stop.check().err();
                        stopped.unwrap_or_else(|| Error::new(Code::Internal, error.to_string()))
                    })?)
                }
            });
        }
        Ok((graphs, spread))
    }

    /// Counts what was written, and waits while that goes faster than it may.
    fn spend(&self, bytes: usize) {
        if let Some(pace) = &self.plan.pace {
            pace.spend(bytes, &self.job.stop);
        }
    }

    fn source(&self, origin: &Origin) -> &dyn RowSource {
        self.sources[origin.source as usize]
    }

    fn gather_vectors(&self, field: usize, origins: &[Origin]) -> Result<Vectors> {
        let shape = &self.schema.vectors[field];
        let dim = shape.dim as usize;
        let mut vectors = Vectors::with_capacity(dim, origins.len());
        let mut raw = vec![0.0; dim];
        for chunk in origins.chunks(ROWS_PER_CHECK) {
            self.job.stop.check()?;
            for origin in chunk {
                self.source(origin).vector(origin.row, field, &mut raw)?;
                push_prepared(&mut vectors, shape.metric.metric(), &raw);
            }
        }
        Ok(vectors)
    }

    fn gather_keys(&self, origins: &[Origin]) -> Keys {
        let mut keys = Keys::new(self.schema.key);
        for origin in origins {
            let push = &mut |key: Key<'_>| keys.push(key);
            self.source(origin).with_key(origin.row, push);
        }
        keys
    }

    fn write_vectors(
        &self,
        writer: &mut SegmentWriter,
        field: usize,
        origins: &[Origin],
    ) -> Result<()> {
        let dim = self.schema.vectors[field].dim as usize;
        let rows_per_write = (FLOATS_PER_WRITE / dim).max(1);
        let mut buffer = vec![0.0_f32; rows_per_write * dim];
        writer.begin(sections::vectors(field), REQUIRED)?;
        for chunk in origins.chunks(rows_per_write) {
            self.job.stop.check()?;
            for (origin, row) in chunk.iter().zip(buffer.chunks_exact_mut(dim)) {
                self.source(origin).vector(origin.row, field, row)?;
            }
            let bytes = bytemuck::cast_slice(&buffer[..chunk.len() * dim]);
            writer.write(bytes)?;
            self.spend(bytes.len());
        }
        writer.end()?;
        Ok(())
    }

    fn write_payloads(&self, writer: &mut SegmentWriter, origins: &[Origin]) -> Result<()> {
        let mut ends = Vec::with_capacity(origins.len());
        let mut end = 0_u64;
        let mut payload = Vec::new();
        writer.begin(sections::PAYLOAD, REQUIRED)?;
        for chunk in origins.chunks(ROWS_PER_CHECK) {
            self.job.stop.check()?;
            let before = end;
            for origin in chunk {
                payload.clear();
                self.source(origin).payload(origin.row, &mut payload)?;
                writer.write(&payload)?;
                end += payload.len() as u64;
                ends.push(end);
            }
            self.spend((end - before) as usize);
        }
        writer.end()?;
        if end == 0 {
            ends.clear();
        }
        let bytes = bytemuck::cast_slice(&ends);
        write_section(writer, sections::PAYLOAD_ENDS, REQUIRED, bytes)
    }
}

fn write_section(
    writer: &mut SegmentWriter,
    id: SectionId,
    flags: u32,
    bytes: &[u8],
) -> Result<()> {
    writer.begin(id, flags)?;
    writer.write(bytes)?;
    writer.end()?;
    Ok(())
}

/// Numbers as they are; strings as the end of each (u32), then all of them end to end.
fn key_bytes(keys: &Keys) -> Vec<u8> {
    match keys {
        Keys::U64(numbers) => bytemuck::cast_slice(numbers).to_vec(),
        Keys::Str { bytes, ends } => {
            let mut out: Vec<u8> = bytemuck::cast_slice(ends).to_vec();
            out.extend_from_slice(bytes.as_bytes());
            out
        }
    }
}

/// Mean of the prepared vectors, and the largest distance from it.
fn measure_spread(vectors: &Vectors) -> Spread {
    let rows = u32::try_from(vectors.len()).expect("rows are counted in 32 bits");
    let mut sum = vec![0.0_f64; vectors.dim()];
    for row in 0..rows {
        for (sum, &x) in sum.iter_mut().zip(vectors.row(row)) {
            *sum += f64::from(x);
        }
    }
    let mean = |sum: &f64| (sum / f64::from(rows.max(1))) as f32;
    let centroid: Vec<f32> = sum.iter().map(mean).collect();
    let kernels = Kernels::<f32>::new(Metric::L2);
    let distances = (0..rows).map(|row| kernels.one(vectors.row(row), &centroid));
    let radius = distances.fold(0.0, f32::max).sqrt();
    Spread { centroid, radius }
}

/// Tells a job how far the graph is, and the graph when the job is stopped.
struct GraphProgress<'a> {
    job: &'a Job,
    done: AtomicU64,
    total: u64,
}

impl<'a> GraphProgress<'a> {
    fn new(job: &'a Job, total: usize) -> Self {
        Self {
            job,
            done: AtomicU64::new(0),
            total: total as u64,
        }
    }
}

impl Progress for GraphProgress<'_> {
    fn advance(&self, rows: usize) {
        let done = self.done.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
        if let Some(progress) = &self.job.progress {
            progress(done, self.total);
        }
    }

    fn cancelled(&self) -> bool {
        self.job.stop.is_due()
    }
}
