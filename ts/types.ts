// Plain data that crosses the public edge.
import type {
  FieldsInput,
  Key,
  Selected,
  Selection,
  Vector,
  VectorName,
  VectorsInput,
  WithVectors,
} from './infer.js'
import type { Schema } from './schema.js'

/** When a write is acknowledged. Each survives what the ones before it do. */
export type Durability =
  /** In memory: survives nothing until the next flush or `commit()`, or about a second without writes. */
  | 'memory'
  /** Handed to the kernel: survives the death of the process. */
  | 'os'
  /** Synced to the disk: survives power loss as well. */
  | 'sync'

/** One record to add or replace. */
export type Row<S extends Schema = Schema> = {
  readonly key: Key<S>
  /** Payload. `undefined` is missing, `null` is a value. */
  readonly fields?: FieldsInput<S> | undefined
} & VectorsInput<S>

/** A change of one record: given vectors are replaced, fields are merged. */
export type UpdateRow<S extends Schema = Schema> = {
  readonly key: Key<S>
  readonly fields?: FieldsInput<S> | undefined
} & Partial<VectorsInput<S>>

/** Keys of many records. */
export type Keys<S extends Schema = Schema> =
  readonly Key<S>[] | (bigint extends Key<S> ? BigUint64Array : never)

/** Many records, column by column. Every matrix is row-major, `rows * dim`. */
export interface Columns<S extends Schema = Schema> {
  readonly keys: Keys<S>
  /** A matrix by field, or one matrix where the schema has one vector field. */
  readonly vectors: Float32Array | { readonly [N in VectorName<S>]?: Float32Array | undefined }
  /** An array of values by field, or one object a row. */
  readonly fields?: ColumnFields<S> | undefined
}

/** A change of many records, column by column. */
export interface UpdateColumns<S extends Schema = Schema> {
  readonly keys: Keys<S>
  readonly vectors?: Columns<S>['vectors'] | undefined
  readonly fields?: ColumnFields<S> | undefined
}

/** Fields column by column, or row by row. */
export type ColumnFields<S extends Schema = Schema> =
  { readonly [name: string]: ArrayLike<unknown> } | readonly (FieldsInput<S> | undefined)[]

/** What `add` and `upsert` take. */
export type Rows<S extends Schema = Schema> = Row<S> | readonly Row<S>[] | Columns<S>

/** What `update` takes. */
export type Updates<S extends Schema = Schema> =
  UpdateRow<S> | readonly UpdateRow<S>[] | UpdateColumns<S>

/** Conditions and wishes of a write. */
export interface WriteOptions {
  /** Every record must have this version (`0n`: must not exist), else `ERR_CONDITION_FAILED`. */
  readonly if?: { readonly version: bigint } | undefined
  /**
   * A write that happened under this key is not done again: it answers what the first one did, with the
   * first one's version and durability, also after a restart. Another kind of write, or other keys,
   * vectors or fields, under the same key are an `ERR_CONFLICT`. A write that failed may be tried again.
   * 1-128 bytes of UTF-8. Remembered for `idempotencyWindowMs`, at most 100,000 a collection.
   */
  readonly idempotencyKey?: string | undefined
  /** Instead of the database's setting. */
  readonly durability?: Durability | undefined
  /** Ends the write with `ERR_ABORTED` if it has not been sequenced yet; then nothing happened. */
  readonly signal?: AbortSignal | undefined
}

/** Wishes of an update. */
export interface UpdateOptions extends WriteOptions {
  /** `'merge'` (default) or `'replace'` all fields. */
  readonly fieldsMode?: 'merge' | 'replace' | undefined
  /** A key that is not there: `'fail'` with `ERR_NOT_FOUND` (default) or `'skip'`. */
  readonly missing?: 'fail' | 'skip' | undefined
}

/** What a write did. */
export interface WriteResult {
  /** The version it made; the current one when it changed nothing. */
  readonly version: bigint
  /** Records that were not there before. */
  readonly inserted: number
  /** Records replaced or changed. */
  readonly updated: number
  /** Records removed. */
  readonly deleted: number
  /** Keys that were not there. */
  readonly skipped: number
}

/** Wishes of `ingest`. */
export interface IngestOptions {
  /** Which write each chunk is. Default `'upsert'`. */
  readonly mode?: 'add' | 'upsert' | 'update' | undefined
  /** With `mode: 'update'`: `'merge'` (default) or `'replace'` all fields. */
  readonly fieldsMode?: UpdateOptions['fieldsMode']
  /** With `mode: 'update'`: a key that is not there fails its chunk (`'fail'`, default) or is left out (`'skip'`). */
  readonly missing?: UpdateOptions['missing']
  /** Rows of a chunk, which is one atomic batch. Integer 1-100 000, default 1 000. Column batches stay as they are. */
  readonly chunkRows?: number | undefined
  /** Instead of the database's setting. */
  readonly durability?: Durability | undefined
  /** Called after each acknowledged chunk. */
  readonly onProgress?: ((progress: IngestProgress) => void) | undefined
  /** Ends the ingest with `ERR_ABORTED`, also while the source is silent; chunks acknowledged until then stay. */
  readonly signal?: AbortSignal | undefined
}

/** How far an ingest has come. */
export interface IngestProgress {
  /** Rows acknowledged. */
  readonly rows: number
  /** Chunks acknowledged. */
  readonly chunks: number
  /** Version of the newest. */
  readonly version: bigint
}

/** Which parts of records to read. */
export interface ReadOptions<S extends Schema, Sel extends Selection<S>, V extends boolean> {
  /** Names of fields, or `false` for none. Default all. */
  readonly select?: Sel | undefined
  /** Whether vectors come along, bit for bit as written. Default false. */
  readonly vectors?: V | undefined
  /** Ends the read with `ERR_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** A record read back. */
export type StoredRecord<
  S extends Schema = Schema,
  Sel extends Selection<S> = undefined,
  V extends boolean = false,
> = {
  readonly key: Key<S>
  /** Version of the write that made it. */
  readonly version: bigint
  /** Its fields; one that it lacks is absent. */
  readonly fields: Selected<S, Sel>
} & WithVectors<S, V>

/** A record found. */
export type Hit<
  S extends Schema = Schema,
  Sel extends Selection<S> = undefined,
  V extends boolean = false,
> = StoredRecord<S, Sel, V> & {
  /** Smaller is nearer. `l2` is squared, `dot` is minus the product, `cosine` is 1 - cos. */
  readonly distance: number
  /** Larger is better. `cosine` 1 - distance, `dot` the product, others 1 / (1 + distance). */
  readonly score: number
}

/** How hard to look, and where to stop. */
export interface SearchEffort {
  /** Results wanted. Integer 1-10 000, default 10. */
  readonly k?: number | undefined
  /** Share of the true neighbours to aim for, 0.5-1, default 0.95; 1 means exact. */
  readonly recall?: number | undefined
  /** Candidate list, instead of `recall`. Integer, at least `k`, at most 100 000. Larger: better recall, slower. */
  readonly efSearch?: number | undefined
  /** Compare with every record. */
  readonly exact?: boolean | undefined
  /** Exact re-scoring of that many candidates. Vectors of this version are not quantised, so it changes nothing. */
  readonly rerank?: boolean | number | undefined
  /** Leave out what is farther. */
  readonly maxDistance?: number | undefined
  /** Leave out what scores lower. */
  readonly minScore?: number | undefined
  /** Give up with `ERR_DEADLINE` after that many milliseconds. Above 0. */
  readonly deadlineMs?: number | undefined
  /** Ends the search with `ERR_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** A nearest-neighbour question. */
export interface SearchQuery<
  S extends Schema = Schema,
  Sel extends Selection<S> = Selection<S>,
  V extends boolean = boolean,
> extends SearchEffort {
  /** The vector, or one by field name. Copied before the call returns. */
  readonly vector: Vector | { readonly [N in VectorName<S>]?: Vector | undefined }
  /** Names of fields, or `false` for none. Default all. */
  readonly select?: Sel | undefined
  /** Whether vectors come along. Default false. */
  readonly vectors?: V | undefined
}

/** Many questions of one shape. */
export interface SearchBatchQuery<S extends Schema = Schema> extends SearchEffort {
  /** Row-major `queries * dim`, or one such matrix by field name. Copied before the call returns. */
  readonly vectors: Float32Array | { readonly [N in VectorName<S>]?: Float32Array | undefined }
}

/** Answers of a batch: query `i` has the hits `offsets[i]` up to `offsets[i + 1]`. */
export interface SearchBatchResult<S extends Schema = Schema> {
  readonly keys: Schema extends S
    ? string[] | BigUint64Array
    : bigint extends Key<S>
      ? BigUint64Array
      : string[]
  readonly distances: Float32Array
  readonly scores: Float32Array
  readonly offsets: Uint32Array
}

/** What a search did. */
export interface SearchPlan<S extends Schema = Schema> {
  /** The version it read. */
  readonly version: bigint
  /** Keys found, nearest first. */
  readonly keys: Key<S>[]
  /** What it did in each memtable and segment. */
  readonly stages: readonly SearchStage[]
}

/** What a search did in one memtable or segment. */
export interface SearchStage {
  /** `memtable` or the segment's id. */
  readonly source: string
  /** How it looked. */
  readonly path: 'flat' | 'hnsw'
  /** Rows there, removed ones included. */
  readonly rows: number
  /** Candidate list, 0 where all rows were compared. */
  readonly ef: number
  /** Nodes expanded. */
  readonly hops: number
  /** Distances computed. */
  readonly distances: number
  /** Microseconds. */
  readonly micros: number
}

/** Where a scan starts and what it reads. */
export interface ScanOptions<
  S extends Schema,
  Sel extends Selection<S>,
  V extends boolean,
> extends ReadOptions<S, Sel, V> {
  /** Continue behind this cursor of an earlier scan. */
  readonly after?: string | undefined
  /** Most records to give. Integer of at least 1. Default all. */
  readonly limit?: number | undefined
}

/** Records of one pinned version in the order of their keys. Iterate it once. */
export interface Scan<T> extends AsyncIterableIterator<T> {
  /** Give it as `after` to continue behind the last record read; null at the end. */
  readonly cursor: string | null
  [Symbol.asyncIterator](): Scan<T>
}

/** Wishes of `compact`. */
export interface CompactOptions {
  /** Called now and then with steps done and steps in all. */
  readonly onProgress?:
    ((progress: { readonly done: number; readonly total: number }) => void) | undefined
  /** Ends it with `ERR_ABORTED`; what was done stays done. */
  readonly signal?: AbortSignal | undefined
}
