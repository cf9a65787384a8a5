// Plain data that crosses the public edge.
import type { Filter, FilterOrPredicate } from './filter.js'
import type {
  Declared,
  FieldElement,
  FieldPath,
  FieldsInput,
  Key,
  Matrix,
  MeasuredField,
  Selected,
  Selection,
  TextName,
  VectorInput,
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
  /**
   * A matrix by field, or one matrix where the schema has one vector field; of a field of type `sparse` or `multi` an
   * array with one entry for each row.
   */
  readonly vectors: Matrix<S> | { readonly [N in VectorName<S>]?: Matrix<S, N> | undefined }
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

/**
 * How a call is ended.
 *
 * Under a signal that has fired before, a call rejects with `ERR_ABORTED`, the signal's reason as its `cause`, and nothing
 * happened. What changes something asks the signal before it begins and not again: once begun it is finished, and tells
 * how it ended, because `ERR_ABORTED` means that nothing happened. What only reads or waits rejects as soon as the signal
 * fires; what it would have given is dropped.
 */
export interface CallOptions {
  /** Ends the call with `ERR_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** Conditions and wishes of a write. */
export interface WriteOptions<S extends Schema = Schema> {
  /**
   * Every record must have this version (`0n`: must not exist), or be there and the filter hold for it, else
   * `ERR_CONDITION_FAILED`. `{ version: 5n }` alone is the version; a field of this name is asked with `eq`.
   */
  readonly if?: { readonly version: bigint } | Filter<S> | undefined
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
export interface UpdateOptions<S extends Schema = Schema> extends WriteOptions<S> {
  /** `'merge'` (default) or `'replace'` all fields. */
  readonly fieldsMode?: 'merge' | 'replace' | undefined
  /** A key that is not there: `'fail'` with `ERR_NOT_FOUND` (default) or `'skip'`. */
  readonly missing?: 'fail' | 'skip' | undefined
}

/** Wishes of `updateWhere`. */
export type UpdateWhereOptions<S extends Schema = Schema> = Omit<UpdateOptions<S>, 'missing'>

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
  /** Give up with `ERR_DEADLINE` after that many milliseconds; a scan from its first record on. Above 0. */
  readonly deadlineMs?: number | undefined
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
  /**
   * Smaller is nearer. `l2` is squared, `dot` is minus the product, `cosine` is 1 - cos, `hamming` the bits that differ. Of a field of type `multi`
   * it is the sum of the smallest of these, over the vectors of the query. Of words, and of several sources together, it is minus the score.
   */
  readonly distance: number
  /**
   * Larger is better. `cosine` 1 - distance, `dot` the product, others 1 / (1 + distance). Of a field of type `multi`
   * the sum of the greatest cosines or products (MaxSim). Of words their BM25, of several sources the sum of
   * `weight / (k + rank)`.
   */
  readonly score: number
  /** With `highlight`: where the words stand. */
  readonly highlights?: Highlights<S>
}

/** A stretch of a string: where it begins and ends, as `slice` counts. */
export type Mark = readonly [start: number, end: number]

/** Stretches of texts by field, in order; of an array, those of each element. Fields without any are left out. */
export type Highlights<S extends Schema = Schema> = {
  readonly [N in TextName<S>]?: MarksOf<N extends keyof Declared<S> ? Declared<S>[N] : unknown>
}

type MarksOf<T> = T extends 'text[]' | { readonly type: 'text[]' }
  ? readonly (readonly Mark[])[]
  : T extends 'text' | { readonly type: 'text' }
    ? readonly Mark[]
    : readonly Mark[] | readonly (readonly Mark[])[]

/** How hard to look, and where to stop. */
export interface SearchEffort {
  /** Results wanted. Integer 1-10 000, default 10. */
  readonly k?: number | undefined
  /** Share of the true neighbours to aim for, 0.5-1, default 0.95; 1 means exact. */
  readonly recall?: number | undefined
  /**
   * Candidate list, instead of `recall`. Integer, at least `k`, at most 100 000. Larger: better recall, slower. Of an
   * `'ivf'` index the number of lists that are read.
   */
  readonly efSearch?: number | undefined
  /** Compare with every record. */
  readonly exact?: boolean | undefined
  /** Exact re-scoring of that many candidates. What codes find is measured by its vectors always, so it changes nothing. */
  readonly rerank?: boolean | number | undefined
  /** Leave out what is farther. For a search with one vector and nothing else. */
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
> extends Omit<SearchEffort, 'rerank'> {
  /**
   * The vector, or vectors by field name. Copied before the call returns. Without it, `like` and `text`, records
   * come in the order of their keys.
   */
  readonly vector?:
    | VectorInput<S, VectorName<S>>
    | { readonly [N in VectorName<S>]?: VectorInput<S, N> | undefined }
  /**
   * Words to look for in text fields, best first by BM25: any of the words, `"a phrase"`, `pre*`, `+must`,
   * `-not`, `AND`, `OR`, `NOT` and parentheses. No text is an error; one without words finds nothing. At most
   * 64 KiB. With `vector`, or with vectors of several fields, the answers of all are fused. Not with `like`,
   * `groupBy` and `diversity`, and neither are vectors of several fields.
   */
  readonly text?: string | TextQuery<S> | undefined
  /** How answers of several sources become one. Default `'rrf'`. */
  readonly fuse?: Fuse<S> | undefined
  /** Where the words stand in the texts of each hit: in all fields that were looked in, or in some. */
  readonly highlight?: boolean | { readonly fields: readonly TextName<S>[] } | undefined
  /**
   * A function: orders the best max(`k`, 100) records anew, and the first `k` of that are the answer. It gets
   * hits and the query, and gives a score for each of them, larger is better, or hits in another order. What it
   * throws is thrown. Not in `searchSync`, `searchBatch` and the call `explain`. Otherwise: exact re-scoring of that
   * many candidates. Vectors of this version are not quantised, so that changes nothing.
   */
  readonly rerank?: boolean | number | Rerank<S, Sel, V> | undefined
  /**
   * Instead of a vector: neighbours of the record with this key, which is left out itself. Where the schema has
   * several vector fields, with the one it is about.
   */
  readonly like?: Key<S> | { readonly key: Key<S>; readonly field?: VectorName<S> } | undefined
  /**
   * `k` groups of at most `size` (default 1) hits instead of `k` hits: records with the same value of the field, or
   * without any, are a group. Groups come by their nearest hit, and hits of a group behind each other. There are
   * `min(k, groups)` groups, even where one has nearly all records.
   */
  readonly groupBy?: { readonly field: FieldPath<S>; readonly size?: number } | undefined
  /**
   * 0 (only near) to 1 (only unlike each other): hits are taken one by one from the `4 * k` nearest (at least
   * 100), each time the one with the largest `(1 - diversity) * score - diversity * (score to the most similar one taken)`.
   */
  readonly diversity?: number | undefined
  /**
   * Leave out records that it does not hold for. A function is asked about the nearest records first, in rounds of four
   * times as many, until `k` have passed or there are no more; not with `groupBy`, `diversity` or several sources.
   */
  readonly filter?: FilterOrPredicate<S> | undefined
  /** Names of fields, or `false` for none. Default all. */
  readonly select?: Sel | undefined
  /** Whether vectors come along. Default false. */
  readonly vectors?: V | undefined
  /**
   * Whether the hits have a `plan`, which tells what this very search did. Costs a few looks at the clock, and with a
   * filter its estimates. Default false. Not in `searchSync` and `searchBatch`, and not with a function as `filter`.
   */
  readonly explain?: boolean | undefined
}

/** Words, and in which fields to look for them. */
export interface TextQuery<S extends Schema = Schema> {
  readonly query: string
  /** Names of text fields. Default all. */
  readonly fields?: readonly TextName<S>[] | undefined
}

/**
 * Reciprocal rank fusion: a record scores the sum of `weight / (k + rank)` over the sources that it is among
 * the best max(`k` of the search, 100) of, the first rank being 1. Sources are vector fields by name, and `text`.
 */
export type Fuse<S extends Schema = Schema> =
  | 'rrf'
  | {
      /** How little the first ranks stand out: 0-10,000, default 60. */
      readonly rrf?: { readonly k: number } | undefined
      /** What each source counts: 0.000001-1,000,000, default 1. */
      readonly weights?: { readonly [N in VectorName<S> | 'text']?: number | undefined } | undefined
    }

/** Orders hits anew, by scores or as an order; see `SearchQuery.rerank`. */
export type Rerank<
  S extends Schema = Schema,
  Sel extends Selection<S> = Selection<S>,
  V extends boolean = boolean,
> = (
  hits: Hit<S, Sel, V>[],
  query: SearchQuery<S, Sel, V>,
) =>
  | readonly Hit<S, Sel, V>[]
  | readonly number[]
  | Promise<readonly Hit<S, Sel, V>[] | readonly number[]>

/** Many questions of one shape. */
export interface SearchBatchQuery<S extends Schema = Schema> extends SearchEffort {
  /**
   * Row-major `queries * dim`, of a field of type `sparse` or `multi` an array with one entry for each query; or one
   * such matrix by field name. Copied before the call returns.
   */
  readonly vectors: Matrix<S> | { readonly [N in VectorName<S>]?: Matrix<S, N> | undefined }
  /** Leave out records that it does not hold for. */
  readonly filter?: Filter<S> | undefined
  /** A batch tells no plan. */
  readonly explain?: false | undefined
}

/**
 * Answers of a batch: query `i` has the hits `offsets[i]` up to `offsets[i + 1]`.
 *
 * The arrays are views of the memory that the engine filled, all of one `ArrayBuffer`: nothing is copied. Whoever
 * transfers one of them to another thread takes the others along; `slice()` it before, to keep them.
 */
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

/** Records found, nearest first. */
export interface Hits<
  S extends Schema = Schema,
  Sel extends Selection<S> = undefined,
  V extends boolean = false,
> extends Array<Hit<S, Sel, V>> {
  /** With `explain`: what the search that found them did. Not enumerable, so that it is no part of a copy or of JSON. */
  readonly plan?: SearchPlan<S>
}

/** What a search did. */
export interface SearchPlan<S extends Schema = Schema> {
  /** The version it read. */
  readonly version: bigint
  /** Keys found, nearest first; with `rerank`, those that the function was given. */
  readonly keys: Key<S>[]
  /** Microseconds that it took in the engine, by what it did, one behind another. Waiting for a thread is no part of it. */
  readonly micros: {
    /** Finding the rows that the filter holds for; 0 without one. */
    readonly filter: number
    /** Asking memtables and segments, and putting their answers in order. */
    readonly search: number
    /** Reading fields and vectors of the hits, and finding the words in them. */
    readonly read: number
  }
  /** What it did in each memtable and segment. */
  readonly stages: readonly SearchStage[]
}

/** What a search did in one memtable or segment. */
export interface SearchStage {
  /** `memtable` or the segment's id. */
  readonly source: string
  /** What was asked there: the name of a vector field, `'text'`, or `'key'` where nothing was. */
  readonly asked: string
  /**
   * How it looked: `flat` compares with each record; `codes` first with one bit of each component, and with the
   * records that may be near by that; `hnsw` and `qg` follow a graph, `qg` by codes of what it leads to; `ivf` reads the nearest
   * of many lists of records; `sparse` goes by
   * the records that have an index of the query; `text` has an index of words; `keys` goes by key, without a vector.
   */
  readonly path: 'flat' | 'codes' | 'hnsw' | 'qg' | 'ivf' | 'sparse' | 'text' | 'keys'
  /** Rows there, removed ones included. */
  readonly rows: number
  /**
   * Rows that the filter was expected to hold for, at most, before any was looked at: what indexes tell, removed rows
   * and rows of which none tells counted. Without a filter as many as `matches`.
   */
  readonly estimate: number
  /** Rows that could be found: those alive, or those of them that the filter holds for. */
  readonly matches: number
  /** Candidate list, of `ivf` the number of lists it was to look at; 0 where all rows were compared. */
  readonly ef: number
  /** Nodes expanded, or lists looked at. */
  readonly hops: number
  /** Distances computed. */
  readonly distances: number
  /** Microseconds it took to find the rows of the filter; 0 without one. */
  readonly filterMicros: number
  /** Keys that were looked at to find them: a filter of `$key` goes by an index of the keys. */
  readonly filterKeys: number
  /** Records that were read to find them: 0 where indexes of fields and keys tell. */
  readonly filterRecords: number
  /** Indexed fields of the filter whose index is not made there yet: it is made in the background. */
  readonly indexPending: readonly string[]
  /** Microseconds of the search among them. */
  readonly micros: number
}

/** Where a scan starts and what it reads. */
export interface ScanOptions<
  S extends Schema,
  Sel extends Selection<S>,
  V extends boolean,
> extends ReadOptions<S, Sel, V> {
  /** Leave out records that it does not hold for. A function is asked page by page. */
  readonly filter?: FilterOrPredicate<S> | undefined
  /**
   * By key (default, or `'$key'`), or by a field, ascending or descending; ties by key, ascending. Values order by
   * kind (null, booleans, numbers, dates, text, bytes), then by value; of an array counts the value that comes
   * first. Records without the field come last, in both directions.
   */
  readonly orderBy?: OrderBy<S> | undefined
  /**
   * Continue behind this cursor of an earlier scan, in any process. It holds the record's value and key, and no
   * version: what is read is the newest version, or that of a database `at` one.
   */
  readonly after?: string | undefined
  /** Most records to give. Integer of at least 1. Default all. */
  readonly limit?: number | undefined
}

/** An order of records. */
export type OrderBy<S extends Schema = Schema> =
  | FieldPath<S>
  | '$key'
  | { readonly field: FieldPath<S> | '$key'; readonly order?: 'asc' | 'desc' | undefined }

/** Records of one pinned version in their order. Iterate it once. */
export interface Scan<T> extends AsyncIterableIterator<T> {
  /** Give it as `after` to continue behind the last record read; null at the end. */
  readonly cursor: string | null
  [Symbol.asyncIterator](): Scan<T>
}

/** Wishes of `count`. */
export interface CountOptions {
  /** Give up with `ERR_DEADLINE` after that many milliseconds. Above 0. */
  readonly deadlineMs?: number | undefined
  /** Ends it with `ERR_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** Over which records figures are, and for how long. */
export interface AggregateOptions<S extends Schema = Schema> {
  /** Leave out records that it does not hold for. */
  readonly filter?: Filter<S> | undefined
  /** Give up with `ERR_DEADLINE` after that many milliseconds. Above 0. */
  readonly deadlineMs?: number | undefined
  /** Ends it with `ERR_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** Wishes of `facet`. */
export interface FacetOptions<S extends Schema = Schema> extends AggregateOptions<S> {
  /** Most values to give. Integer 1-10 000, default 10 000. */
  readonly k?: number | undefined
}

/** A value, and how many records have it. */
export interface FacetCount<S extends Schema = Schema, F = string> {
  readonly value: Schema extends S ? unknown : FieldElement<S, F> | null
  readonly count: number
}

/** What is asked about a field, by the name of its answer. */
export interface Figures<S extends Schema = Schema> {
  readonly [name: string]:
    | { readonly op: 'min' | 'max' | 'sum' | 'mean'; readonly field: MeasuredField<S> }
    /** Values of whatever kind, but null. */
    | { readonly op: 'count'; readonly field: FieldPath<S> }
    | {
        readonly op: 'histogram'
        readonly field: MeasuredField<S>
        /** So many of the same width, from the smallest to the largest value. */
        readonly buckets: number
      }
    | {
        readonly op: 'histogram'
        readonly field: MeasuredField<S>
        /** Where buckets begin and the last one ends, ascending; values outside are left out. */
        readonly bounds: readonly (number | bigint | Date)[]
      }
}

/** Numbers come as numbers, integers beyond 2^53 as bigints. */
type Measured<S extends Schema, F> = Schema extends S
  ? number | bigint | Date
  : FieldElement<S, F> extends infer V
    ? unknown extends V
      ? number | bigint | Date
      : V
    : never

/** Dates have a date as their mean; numbers, integers too, a number. */
type MeanOf<V> = V extends Date ? Date : number

/** Dates have no sum. */
type SumOf<V> = Exclude<V, Date>

/** Values from `from` up to `to`, which belongs to the next bucket; in the last one to this. */
export interface Bucket<V = number | bigint | Date> {
  readonly from: V
  readonly to: V
  readonly count: number
}

/** Figures of one field. */
export interface FieldFigures<S extends Schema = Schema, F = string> {
  /** Numbers, or dates, that there are. */
  readonly count: number
  readonly min: Measured<S, F> | null
  readonly max: Measured<S, F> | null
  readonly sum: SumOf<Measured<S, F>> | null
  readonly mean: MeanOf<Measured<S, F>> | null
}

/** Answers to {@link Figures}, by name. */
export type FigureAnswers<S extends Schema, A> = {
  readonly [N in keyof A]: A[N] extends { readonly op: infer O; readonly field: infer F }
    ? O extends 'count'
      ? number
      : O extends 'histogram'
        ? readonly Bucket<Measured<S, F>>[] | null
        : O extends 'mean'
          ? MeanOf<Measured<S, F>> | null
          : O extends 'sum'
            ? SumOf<Measured<S, F>> | null
            : Measured<S, F> | null
    : never
}

/** Wishes of `compact`. */
export interface CompactOptions {
  /** Called now and then with steps done and steps in all. */
  readonly onProgress?:
    ((progress: { readonly done: number; readonly total: number }) => void) | undefined
  /** Ends it with `ERR_ABORTED`; what was done stays done. */
  readonly signal?: AbortSignal | undefined
}
