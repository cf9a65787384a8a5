//! The engine: collections of records with vectors, written durably, searched at once.
//!
//! A write is validated, logged, synced and applied by the collection's commit leader; readers
//! take an immutable view and never wait. Memtables become segments by flush, segments become
//! fewer by compaction; each such step is published by one manifest. `ARCHITECTURE.md` follows
//! an insert and a query through the code.
//!
//! ```
//! use std::path::Path;
//! use cairn_engine::*;
//!
//! let database = Database::open(cairn_env::Env::memory(1), Path::new("/db"), Options::default())?;
//! let schema = Schema {
//!     key: KeyType::String,
//!     vectors: vec![VectorField {
//!         name: "vector".into(),
//!         dim: 2,
//!         metric: MetricName::L2,
//!         index: IndexKind::Auto,
//!         kind: VectorKind::F32,
//!         quantize: Quantize::None,
//!     }],
//!     fields: Vec::new(),
//!     extra: Extra::Allow,
//!     expires_at: None,
//! };
//! let points = database.create_collection("points", schema)?;
//! let mut keys = Keys::new(KeyType::String);
//! keys.push(Key::Str("a"));
//! let data = vec![0.5, 0.5];
//! let batch = WriteBatch {
//!     kind: WriteKind::Upsert,
//!     keys,
//!     vectors: vec![Some(VectorColumn { data, present: None })],
//!     payloads: None,
//! };
//! assert_eq!(points.write(batch, WriteOptions::default())?.inserted, 1);
//! let hits = points.snapshot()?.search(
//!     &SearchRequest::new(&[0.0, 0.5], 1),
//!     &Stop::never(),
//! )?;
//! assert_eq!(hits.keys.get(0), Key::Str("a"));
//! assert_eq!(hits.distances, [0.25]);
//! # Ok::<(), Error>(())
//! ```

#![deny(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("stored numbers are little-endian and are read as they lie");

mod alter;
mod backup;
mod batch;
mod block_cache;
mod catalog;
mod codes;
mod collection;
mod database;
mod doctor;
mod effort;
pub mod encryption;
mod error;
mod expiry;
mod figures;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
mod idempotency;
mod keys;
pub mod limits;
mod manifest;
mod memtable;
mod options;
mod payload;
mod quality;
mod query;
mod refresh;
mod repair;
mod retained;
mod scan;
mod schema;
mod search;
mod segment;
mod shape;
mod snapshot;
mod sort;
mod space;
mod stop;
mod structure;
mod text;
mod tombstones;
mod ulid;
mod vectors;
mod verify;
mod versions;
mod view;

pub use backup::{
    Archive, BackupInfo, BackupOptions, RestoreInfo, Unarchive, Verified, backup_key_ids,
    list_backups, prune_backups, restore, verify_backup,
};
pub use batch::{
    Condition, Matching, Otherwise, Payloads, VectorColumn, WriteBatch, WriteKind, WriteOptions,
    WriteResult,
};
pub use block_cache::BlockCacheStats;
pub use cairn_filter::{Filter, FilterError};
pub use cairn_index::Point;
pub use cairn_text::Language;
pub use collection::{BackgroundError, Collection, CollectionStats, Done, Health, SegmentStats};
pub use database::{CollectionInfo, Database};
pub use doctor::{DoctorOptions, Finding, Severity, doctor};
pub use error::{Code, Error, Fact, Result};
pub use figures::DatabaseStats;
pub use keys::{Key, KeyBuf, KeyType, Keys};
pub use options::{Compaction, Compression, Durability, Options};
pub use quality::{Interval, Quality, QualityRequest, Queries, TuneRequest, Tuned};
pub use query::{
    Effort, Highlight, Hits, Looked, Record, SearchRequest, Select, SelectFields, Sources, Stage,
    Times, VectorSource, WordSource,
};
pub use repair::{LeftVersion, Lost, RepairOptions, RepairReport, Repaired, repair};
pub use scan::Scan;
pub use schema::{
    DeclaredField, Extra, FIELD_TYPES, HnswSettings, IndexKind, MetricName, Quantize, Schema,
    TextSettings, VectorField, VectorKind, validate_collection_name,
};
pub use shape::{
    Aggregate, AggregateValue, Buckets, By, FacetValue, GroupBy, Histogram, Operation, OrderBy,
    OrderedScan, Position, Shape,
};
pub use snapshot::Snapshot;
pub use stop::{Job, ProgressFn, Stop};
pub use structure::Alteration;
pub use vectors::{multi_vector, sparse_vector};
pub use verify::{Problem, ProblemKind, Report, Unlocked, VerifyOptions, verify_directory};
pub use versions::{VersionId, VersionInfo};

/// The instruction set whose distance kernels this process uses, such as `avx512`.
#[must_use]
pub fn simd_level() -> &'static str {
    cairn_distance::Simd::active().name()
}
