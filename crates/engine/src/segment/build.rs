//! Writing a segment: rows from anywhere, their columns, and the graphs over their vectors.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use cairn_distance::Metric;
use cairn_env::{Bug, Env, KillPoint, planted};
use cairn_filter::IndexBuilder;
use cairn_index::ivf::Region;
use cairn_index::{Coded, Progress, Quantisation, SparseIndex, TrainError, Workers};
use cairn_storage::{REQUIRED, SectionId, SegmentWriter, sync_segment_dir};
use cairn_text::IndexBuilder as WordsBuilder;

use crate::effort::Curve;
use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyType, Keys};
use crate::manifest::{SegmentEntry, Spread, StoredKey};
use crate::options::Compression;
use crate::schema::{MetricName, Schema, VectorField, VectorKind};
use crate::stop::{Job, Pace};
use crate::text::TextFields;
use crate::ulid::Ulid;
use crate::vectors::{
    FieldGraph, GraphConfig, MadeClusters, Matrix, Measure, Site, entries, lent_rows,
};

use super::blocks::BlockWriter;
use super::open::segment_path;
use super::sections;

/// Bytes of vectors gathered before they are handed to the writer.
const BYTES_PER_WRITE: usize = 1024 * 1024;

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
    /// Appends the row's vector, as it is stored.
    fn vector(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()>;
    fn payload(&self, row: u32, out: &mut Vec<u8>) -> Result<()>;
}

/// Which fields get a graph, and who builds it.
pub(crate) struct GraphPlan<'a> {
    /// One per vector field.
    pub configs: Vec<Option<GraphConfig>>,
    /// One per vector field: what searches compare in the place of its vectors.
    pub codes: Vec<Option<Quantisation>>,
    pub workers: &'a dyn Workers,
}

/// How a segment is built. By default without graphs, as fast as the disk allows.
#[derive(Default)]
pub(crate) struct BuildPlan<'a> {
    pub graphs: Option<GraphPlan<'a>>,
    pub pace: Option<Pace>,
    pub compression: Compression,
    /// Fields that get no index, although their type has one.
    pub unindexed: &'a [String],
    /// Asked right before the file begins: the graphs may have taken minutes, and others the room.
    pub room: Option<&'a dyn Fn() -> Result<()>>,
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
    #[serde(
        rename = "type",
        default,
        skip_serializing_if = "VectorKind::is_default"
    )]
    pub kind: VectorKind,
}

impl Meta {
    pub fn of(schema: &Schema, rows: u32) -> Self {
        let vector = |field: &VectorField| MetaVector {
            name: field.name.clone(),
            dim: field.dim,
            metric: field.metric,
            kind: field.kind,
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
        dir,
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

/// What searches of a field have besides its vectors.
#[derive(Default)]
struct Indexed {
    stands: Option<Stands>,
    /// What was measured of it.
    curve: Option<Curve>,
    codes: Option<Codes>,
}

/// What stands over the vectors of a field.
enum Stands {
    Graph(FieldGraph),
    Clusters(MadeClusters),
}

/// Codes of the vectors of a field.
enum Codes {
    Made(Coded),
    /// Vectors are too long to have any.
    Refused,
}

struct Builder<'a> {
    env: &'a Env,
    dir: &'a Path,
    schema: &'a Schema,
    sources: &'a [&'a dyn RowSource],
    plan: &'a BuildPlan<'a>,
    job: &'a Job,
}

impl Builder<'_> {
    fn write(&self, id: Ulid, path: &Path, collection: u64, origins: Vec<Origin>) -> Result<Built> {
        let rows = u32::try_from(origins.len()).expect("rows are counted in 32 bits");
        let (indexed, spread) = self.index(&origins)?;
        let faults = &self.env.faults;
        if let Some(room) = self.plan.room {
            room()?;
        }

        let mut writer = SegmentWriter::create(self.env, path, id.0, collection)?;
        for field in 0..self.schema.vectors.len() {
            self.write_vectors(&mut writer, field, &origins)?;
        }
        faults.hit(KillPoint::K10Vectors)?;
        self.write_sparse_indexes(&mut writer, &origins)?;
        // Each goes when it is written: it is as large as the vectors of short rows.
        for (field, indexed) in indexed.into_iter().enumerate() {
            let Indexed {
                stands,
                curve,
                codes,
            } = indexed;
            if let Some(stands) = stands {
                faults.hit(self.write_index(&mut writer, field, &stands)?)?;
            }
            if let Some(curve) = curve {
                let id = sections::calibration(field);
                write_section(&mut writer, id, 0, &curve.to_bytes())?;
            }
            if let Some(codes) = codes {
                writer.begin(sections::codes(field), 0)?;
                if let Codes::Made(coded) = codes {
                    coded.write(|bytes| {
                        self.spend(bytes.len());
                        writer.write(bytes)
                    })?;
                }
                writer.end()?;
                faults.hit(KillPoint::K12Codes)?;
            }
        }
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

    /// Writes what stands over a field; which step that was.
    fn write_index(
        &self,
        writer: &mut SegmentWriter,
        field: usize,
        stands: &Stands,
    ) -> Result<KillPoint> {
        let (id, written) = match stands {
            Stands::Graph(FieldGraph::Quantised(_)) => {
                (sections::quantised_graph(field), KillPoint::K12Codes)
            }
            Stands::Graph(_) => (sections::graph(field), KillPoint::K11Graph),
            Stands::Clusters(made) => {
                for region in [Region::Coarse, Region::Fine] {
                    writer.begin(sections::postings(field, region), 0)?;
                    for part in made.region(region).chunks(BYTES_PER_WRITE) {
                        self.spend(part.len());
                        writer.write(part)?;
                    }
                    writer.end()?;
                }
                (sections::clusters(field), KillPoint::K12Codes)
            }
        };
        writer.begin(id, 0)?;
        let put = |bytes: &[u8]| {
            self.spend(bytes.len());
            writer.write(bytes)
        };
        match stands {
            Stands::Graph(graph) => graph.write(put)?,
            Stands::Clusters(made) => made.head().write_head(put)?,
        }
        writer.end()?;
        Ok(written)
    }

    /// Builds the graphs and measures them, and how the vectors of each field spread.
    ///
    /// Rows stay in the order they came in: with huge pages and whole records fetched ahead, an
    /// order that keeps neighbours close was measured to gain nothing.
    fn index(&self, origins: &[Origin]) -> Result<(Vec<Indexed>, Vec<Spread>)> {
        let mut indexed = Vec::new();
        let mut spread = Vec::new();
        for (field, shape) in self.schema.vectors.iter().enumerate() {
            let metric = shape.metric.metric();
            let plan = self.plan.graphs.as_ref();
            let plan = plan.filter(|it| it.configs[field].is_some() || it.codes[field].is_some());
            indexed.push(match plan {
                None => {
                    // Gone through twice rather than gathered: nothing else needs them.
                    spread.push(measure_spread(shape, origins.len(), |each| {
                        self.each_vector(field, origins, &mut |vector| {
                            if metric.normalises() {
                                let _ = cairn_distance::normalise(vector);
                            }
                            each(vector);
                        })
                    })?);
                    Indexed::default()
                }
                Some(plan) => {
                    let vectors = match plan.configs[field] {
                        Some(GraphConfig::Clusters(_)) => self.lent_vectors(field, origins)?,
                        _ => self.gather_vectors(field, origins)?,
                    };
                    spread.push(spread_of(&vectors, shape)?);
                    self.index_field(field, &vectors, metric, plan)?
                }
            });
        }
        Ok((indexed, spread))
    }

    fn index_field(
        &self,
        field: usize,
        vectors: &Matrix,
        metric: Metric,
        plan: &GraphPlan<'_>,
    ) -> Result<Indexed> {
        let failed = |error: String| {
            let stopped = self.job.stop.check().err();
            stopped.unwrap_or_else(|| Error::new(Code::Internal, error))
        };
        let progress = GraphProgress::new(self.job, vectors.len());
        let coded = plan.codes[field].zip(vectors.as_f32());
        let codes = coded.map(|(quantisation, vectors)| {
            // What remains is told of the graph.
            let quiet = Quiet(&progress);
            match Coded::new(vectors, metric, quantisation, plan.workers, &quiet) {
                Ok(coded) => Ok(Codes::Made(coded)),
                Err(TrainError::NotFinite { .. } | TrainError::TooFewRows { .. }) => {
                    Ok(Codes::Refused)
                }
                Err(error) => Err(failed(error.to_string())),
            }
        });
        let codes = codes.transpose()?;
        let coded = codes.as_ref().and_then(|codes| match codes {
            Codes::Made(coded) => Some(coded),
            Codes::Refused => None,
        });
        let workers = plan.workers;
        let built = plan.configs[field].as_ref().map(|config| match config {
            GraphConfig::Clusters(config) => {
                let vectors = vectors.as_f32().expect("lists are of vectors of f32");
                let site = Site {
                    env: self.env,
                    dir: self.dir,
                    workers,
                    progress: &progress,
                    failed: &failed,
                };
                let made = MadeClusters::build(vectors, metric, config, &site);
                made.map(|(made, points)| (Stands::Clusters(made), points))
            }
            _ => FieldGraph::build(vectors, coded, metric, config, workers, &progress)
                .map(|(graph, points)| (Stands::Graph(graph), points))
                .map_err(failed),
        });
        let (stands, points) = built.transpose()?.unzip();
        Ok(Indexed {
            stands,
            curve: points.and_then(Curve::new),
            codes,
        })
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

    /// Those of a field that should not be in memory.
    fn lent_vectors(&self, field: usize, origins: &[Origin]) -> Result<Matrix> {
        let shape = &self.schema.vectors[field];
        let lent = lent_rows(self.env, self.dir, shape, |each| {
            self.each_vector(field, origins, each)
        })?;
        match lent {
            Some(vectors) => Ok(vectors),
            None => self.gather_vectors(field, origins),
        }
    }

    fn gather_vectors(&self, field: usize, origins: &[Origin]) -> Result<Matrix> {
        let shape = &self.schema.vectors[field];
        let mut vectors = Matrix::of(shape, origins.len());
        self.each_vector(field, origins, &mut |vector| {
            vectors.push(vector, shape.normalises());
        })?;
        Ok(vectors)
    }

    /// Hands over each vector as it is stored.
    fn each_vector(
        &self,
        field: usize,
        origins: &[Origin],
        each: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        let mut vector = Vec::new();
        for chunk in origins.chunks(ROWS_PER_CHECK) {
            self.job.stop.check()?;
            for origin in chunk {
                vector.clear();
                self.source(origin).vector(origin.row, field, &mut vector)?;
                each(&mut vector);
            }
        }
        Ok(())
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
        let shape = &self.schema.vectors[field];
        let mut vector = Vec::new();
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        let mut written = 0_u64;
        writer.begin(sections::vectors(field), REQUIRED)?;
        for (number, origin) in origins.iter().enumerate() {
            if number.is_multiple_of(ROWS_PER_CHECK) {
                self.job.stop.check()?;
            }
            vector.clear();
            self.source(origin).vector(origin.row, field, &mut vector)?;
            shape.kind.encode(&vector, &mut bytes);
            if shape.kind.varies() {
                ends.push(written + bytes.len() as u64);
            }
            if bytes.len() >= BYTES_PER_WRITE || number + 1 == origins.len() {
                writer.write(&bytes)?;
                self.spend(bytes.len());
                written += bytes.len() as u64;
                bytes.clear();
            }
        }
        writer.end()?;
        if shape.kind.varies() {
            let ends = bytemuck::cast_slice(&ends);
            write_section(writer, sections::vector_ends(field), REQUIRED, ends)?;
            self.spend(ends.len());
        }
        Ok(())
    }

    /// The inverted index of each sparse field.
    fn write_sparse_indexes(&self, writer: &mut SegmentWriter, origins: &[Origin]) -> Result<()> {
        let fields = self.schema.vectors.iter().enumerate();
        for (field, _) in fields.filter(|(_, shape)| shape.kind == VectorKind::Sparse) {
            let mut index = SparseIndex::default();
            self.each_vector(field, origins, &mut |vector| {
                let skipped = usize::from(planted(Bug::SparseIndexLosesEntry));
                index.push(entries(vector).skip(skipped));
            })?;
            writer.begin(sections::sparse_index(field), REQUIRED)?;
            index.write(|bytes| {
                self.spend(bytes.len());
                writer.write(bytes)
            })?;
            writer.end()?;
        }
        Ok(())
    }

    fn write_payloads(&self, writer: &mut SegmentWriter, origins: &[Origin]) -> Result<()> {
        let mut blocks = BlockWriter::new(self.plan.compression, origins.len());
        let mut payload = Vec::new();
        let is_unindexed = |name: &&str| self.plan.unindexed.iter().any(|it| it == name);
        let names: Vec<&str> = self
            .schema
            .indexed()
            .filter(|it| !is_unindexed(it))
            .collect();
        let mut indexes = IndexBuilder::new(names.iter().copied());
        let texts = TextFields::of(self.schema);
        let mut texts = texts.map(|fields| (WordsBuilder::new(fields.analyzers()), fields));
        writer.begin(sections::BLOCKS, REQUIRED)?;
        for chunk in origins.chunks(ROWS_PER_CHECK) {
            self.job.stop.check()?;
            let mut bytes = 0;
            for origin in chunk {
                payload.clear();
                self.source(origin).payload(origin.row, &mut payload)?;
                blocks.push(&payload, writer)?;
                indexes.push(&payload);
                if let Some((words, fields)) = &mut texts {
                    fields.index(words, &payload);
                }
                bytes += payload.len();
            }
            self.spend(bytes);
        }
        let table = blocks.finish(writer)?;
        writer.end()?;
        write_section(writer, sections::BLOCK_TABLE, REQUIRED, &table)?;
        let indexes = names.into_iter().zip(indexes.finish());
        let indexes = indexes.filter_map(|(name, index)| Some((name, index?.to_bytes())));
        for (number, (name, index)) in (0..).zip(indexes) {
            let length = u32::try_from(name.len()).expect("names are short");
            writer.begin(sections::field_index(number), 0)?;
            for part in [&length.to_le_bytes(), name.as_bytes(), &index] {
                writer.write(part)?;
                self.spend(part.len());
            }
            writer.end()?;
        }
        if let Some((words, fields)) = texts {
            self.job.stop.check()?;
            let index = words.finish();
            writer.begin(sections::TEXT_INDEX, 0)?;
            for part in [&fields.header()[..], index.as_bytes()] {
                writer.write(part)?;
                self.spend(part.len());
            }
            writer.end()?;
        }
        Ok(())
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

/// As [`measure_spread`], of vectors in memory.
fn spread_of(vectors: &Matrix, field: &VectorField) -> Result<Spread> {
    let mut vector = vec![0.0_f32; vectors.width()];
    let is_of_any_length = field.metric.metric().normalises() && !field.normalises();
    measure_spread(field, vectors.len(), |each| {
        for row in 0..vectors.len() as u32 {
            vectors.read(row, &mut vector);
            if is_of_any_length {
                let _ = cairn_distance::normalise(&mut vector);
            }
            each(&vector);
        }
        Ok(())
    })
}

/// Mean of `rows` vectors as searches compare them, and the largest distance from it; nothing of bits, and of
/// vectors that differ in length.
/// `all` hands them over, twice.
fn measure_spread(
    field: &VectorField,
    rows: usize,
    mut all: impl FnMut(&mut dyn FnMut(&[f32])) -> Result<()>,
) -> Result<Spread> {
    if field.metric.metric() == Metric::Hamming || field.kind.varies() {
        return Ok(Spread {
            centroid: Vec::new(),
            radius: 0.0,
        });
    }
    let mut sum = vec![0.0_f64; field.width()];
    all(&mut |vector: &[f32]| {
        for (sum, &x) in sum.iter_mut().zip(vector) {
            *sum += f64::from(x);
        }
    })?;
    let mean = |sum: &f64| (sum / rows.max(1) as f64) as f32;
    let centroid: Vec<f32> = sum.iter().map(mean).collect();
    let l2 = Measure::of(Metric::L2);
    let mut square = 0.0_f32;
    all(&mut |vector: &[f32]| square = square.max(l2.distance(vector, &centroid)))?;
    Ok(Spread {
        centroid,
        radius: square.sqrt(),
    })
}

/// Passes on that the work is to end, and nothing of how far it is.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
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
