// cairndb: the public entry. Everything a user can import is named here.
import { loadBinding } from './native/loader.js'

export { listBackups, pruneBackups, restore, verifyBackup } from './backup.js'
export { documentFields, documentOf } from './document.js'
export { CairnError, isCairnError } from './errors.js'
export { doctor } from './doctor.js'
export { open } from './open.js'
export { repair, verify } from './verify.js'
export { version } from './version.js'
export type { ArchiveOptions, ArchiveResult, ArchiveSource } from './archive.js'
export type {
  BackupInfo,
  BackupOptions,
  PruneOptions,
  RestoreOptions,
  RestoreResult,
  VerifiedBackups,
  VerifyBackupOptions,
} from './backup.js'
export type { Altered, AlterOptions, Alteration } from './alter.js'
export type { Collection } from './collection.js'
export type { CollectionInfo, Database } from './database.js'
export type { DoctorOptions, Finding } from './doctor.js'
export type { DocumentFields, DocumentMetadata, DocumentMetadataInput } from './document.js'
export type { Encryption, EncryptionKey, KeyProvider } from './encryption.js'
export type { ErrorCode, ErrorDetails } from './errors.js'
export type {
  Filter,
  FilterOrPredicate,
  FilterValue,
  GeoBox,
  GeoRadius,
  Predicate,
} from './filter.js'
export type {
  Fields,
  FieldsInput,
  FieldPath,
  FieldValue,
  GeoPoint,
  Json,
  Key,
  MeasuredField,
  Selection,
  MultiInput,
  SparseInput,
  SparseVector,
  Vector,
  VectorInput,
  VectorOf,
} from './infer.js'
export type {
  CairnWarning,
  CompactionPolicy,
  Compression,
  OpenOptions,
  SlowQuery,
} from './options.js'
export type {
  BaseType,
  FieldKind,
  FieldType,
  HnswOptions,
  Language,
  Metric,
  QuantizeOptions,
  Schema,
  StoredSchema,
  StoredVectorField,
  TextField,
  VectorField,
  VectorType,
} from './schema.js'
export type { Measured, RecallOptions, RecallReport, TuneOptions, TuneReport } from './quality.js'
export type { BackupSchedule, ScheduleOptions, ScheduleStats } from './schedule.js'
export type { BlockCacheStats, CollectionStats, DatabaseStats, SegmentStats } from './stats.js'
export type { VersionListener } from './internal/version-events.js'
export type {
  AggregateOptions,
  Bucket,
  CallOptions,
  ColumnFields,
  Columns,
  CompactOptions,
  CountOptions,
  Durability,
  FacetCount,
  FacetOptions,
  FieldFigures,
  FigureAnswers,
  Figures,
  Fuse,
  Highlights,
  Hit,
  Hits,
  IngestOptions,
  IngestProgress,
  Keys,
  Mark,
  OrderBy,
  ReadOptions,
  Rerank,
  Row,
  Rows,
  Scan,
  ScanOptions,
  SearchBatchQuery,
  SearchBatchResult,
  SearchEffort,
  SearchPlan,
  SearchQuery,
  SearchStage,
  StoredRecord,
  TextQuery,
  UpdateColumns,
  UpdateOptions,
  UpdateWhereOptions,
  UpdateRow,
  Updates,
  WriteOptions,
  WriteResult,
} from './types.js'
export type { VersionId, VersionInfo } from './versions.js'
export type {
  Problem,
  RepairOptions,
  RepairReport,
  VerifyDirectoryOptions,
  VerifyOptions,
  VerifyReport,
} from './verify.js'

/** Instruction set that the distance kernels use here: `avx512`, `avx2`, `neon` or `scalar`. */
export function simdLevel(): string {
  return loadBinding().simdLevel()
}
