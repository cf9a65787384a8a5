// A collection as its users see it.
import type { Alterable } from './alter.js'
import type { Filter, FilterOrPredicate } from './filter.js'
import type { FieldPath, FieldsInput, Key, MeasuredField, Selection } from './infer.js'
import type { Measurable } from './quality.js'
import type { AnySchema, Schema, StoredSchema } from './schema.js'
import type { CollectionStats } from './stats.js'
import type {
  AggregateOptions,
  CallOptions,
  CompactOptions,
  CountOptions,
  FacetCount,
  FacetOptions,
  FieldFigures,
  FigureAnswers,
  Figures,
  Hit,
  Hits,
  IngestOptions,
  Keys,
  ReadOptions,
  Rows,
  Scan,
  ScanOptions,
  SearchBatchQuery,
  SearchBatchResult,
  SearchPlan,
  SearchQuery,
  StoredRecord,
  UpdateOptions,
  UpdateWhereOptions,
  Updates,
  WriteOptions,
  WriteResult,
} from './types.js'

/**
 * Records of one structure, each with a unique key.
 *
 * Everything given to a call is copied before it returns, so buffers can be used again at once.
 * Every call may fail with `ERR_CLOSED`, and under a {@link CallOptions | signal} with `ERR_ABORTED`.
 */
export interface Collection<S extends Schema = AnySchema> extends Alterable<S>, Measurable<S> {
  /** Its name now: `renameCollection` changes it in every handle. */
  readonly name: string
  /** Its structure now, defaults filled in. */
  readonly schema: StoredSchema

  /**
   * Adds new records: one row, an array, or columns. One atomic batch.
   *
   * @throws {CairnError} `ERR_ALREADY_EXISTS` if a key exists or comes twice; as {@link upsert}.
   */
  add(rows: Rows<S>, options?: WriteOptions<S>): Promise<WriteResult>

  /**
   * Adds or replaces whole records: one row, an array, or columns. One atomic batch; of rows with
   * the same key the last wins.
   *
   * @throws {CairnError} `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`, `ERR_INVALID_KEY`,
   * `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`, with `details.index`, `key` and `field`; nothing of
   * the batch is applied. `ERR_CONDITION_FAILED` with `details.index`, `key`, `expected` and `found`;
   * `ERR_CONFLICT`, `ERR_ABORTED`, `ERR_NO_SPACE`, `ERR_IO`. `ERR_OUTCOME_UNKNOWN` with the version it
   * would have as `details.version`: open the database again, and write again under the same
   * `idempotencyKey`.
   */
  upsert(rows: Rows<S>, options?: WriteOptions<S>): Promise<WriteResult>

  /**
   * Changes records: given vectors are replaced, fields are merged. One atomic batch.
   *
   * @throws {CairnError} `ERR_NOT_FOUND` for a missing key, unless `missing` is `'skip'`; as {@link upsert}.
   */
  update(rows: Updates<S>, options?: UpdateOptions<S>): Promise<WriteResult>

  /** Removes records by key. Keys that are not there are counted as `skipped`. */
  delete(keys: Key<S> | Keys<S>, options?: WriteOptions<S>): Promise<WriteResult>

  /**
   * Removes all records that a filter holds for: `{}` holds for every one. One atomic batch. Records are those that
   * are there when it is called; those that others change meanwhile, so that it no longer holds, stay and are
   * counted as `skipped`. A function is asked once about each record, in a scan; one that others change behind that
   * stays. It goes with no `idempotencyKey`.
   *
   * @throws {CairnError} `ERR_INVALID_FILTER` with the place in `details.path`; `ERR_LIMIT_EXCEEDED` when the
   * keys have more than 256 MiB, or a function leaves more than a million; as {@link upsert}.
   */
  deleteWhere(filter: FilterOrPredicate<S>, options?: WriteOptions<S>): Promise<WriteResult>

  /**
   * Merges fields into all records that a filter holds for, or replaces theirs. As {@link deleteWhere}.
   *
   * @throws {CairnError} As {@link deleteWhere}; the limit is for the records as they are then.
   */
  updateWhere(
    filter: Filter<S>,
    fields: FieldsInput<S>,
    options?: UpdateWhereOptions<S>,
  ): Promise<WriteResult>

  /**
   * Writes a stream of rows, arrays of rows, or columns, in atomic chunks, reading no further
   * ahead than four of them. Chunks acknowledged before a failure stay. Closing the database ends
   * it with `ERR_CLOSED`. A row that was yielded belongs to its chunk until that is written: yield
   * another object, and another vector, for the next one.
   *
   * @param source - An (async) iterable; an array of rows will do.
   */
  ingest(
    source: AsyncIterable<Rows<S> | Updates<S>> | Iterable<Rows<S> | Updates<S>>,
    options?: IngestOptions,
  ): Promise<WriteResult>

  /** Records by key, in the order asked, `null` where there is none. */
  get<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    keys: Keys<S>,
    options?: ReadOptions<S, Sel, V>,
  ): Promise<(StoredRecord<S, Sel, V> | null)[]>
  /** The record of a key, or `null`. */
  get<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    key: Key<S>,
    options?: ReadOptions<S, Sel, V>,
  ): Promise<StoredRecord<S, Sel, V> | null>

  /** Whether each key is there. */
  has(keys: Keys<S>, options?: CallOptions): Promise<boolean[]>
  /** Whether a key is there. */
  has(key: Key<S>, options?: CallOptions): Promise<boolean>

  /**
   * Live records, or those that a filter holds for.
   *
   * @throws {CairnError} `ERR_INVALID_FILTER` with the place in `details.path`, `ERR_LIMIT_EXCEEDED`, `ERR_ABORTED`.
   */
  count(filter?: FilterOrPredicate<S>, options?: CountOptions): Promise<number>

  /**
   * Records of one version in the order of their keys (strings by UTF-8 bytes), or of a field. The version is
   * the newest at the first record, and stays pinned until the scan ends. A filter is decided for all
   * of them before the first one comes.
   *
   * @throws {CairnError} As {@link count}.
   */
  scan<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    options?: ScanOptions<S, Sel, V>,
  ): Scan<StoredRecord<S, Sel, V>>

  /**
   * The records nearest to a vector, or to that of a stored record, nearest first, ties by key; the best by words, or by
   * several vectors and words together. Without any of these, records in the order of their keys, with a distance
   * and a score of 0.
   *
   * @returns At least `min(k, count(filter))` hits, unless `maxDistance` or `minScore` leave some out; with
   * `groupBy` those of `min(k, groups)` groups; of words alone, only records that have any. With `explain` they have a
   * `plan`.
   * @throws {CairnError} `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`,
   * `ERR_INVALID_FILTER`, `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`, `ERR_ABORTED`, `ERR_DEADLINE`;
   * `ERR_NOT_FOUND` where there is no record to be `like`.
   */
  search<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    query: SearchQuery<S, Sel, V>,
  ): Promise<Hits<S, Sel, V>>

  /** As {@link search}, on this thread and without a promise: lowest latency, but the event loop waits. */
  searchSync<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    query: SearchQuery<S, Sel, V> & {
      readonly rerank?: boolean | number | undefined
      readonly explain?: false | undefined
    },
  ): Hit<S, Sel, V>[]

  /** Many searches at once, answered in columns. At most 100 000 queries and 10 000 000 results. */
  searchBatch(query: SearchBatchQuery<S>): Promise<SearchBatchResult<S>>

  /** Runs a search and tells what it did in each memtable and segment. `search` with `explain` tells it with the hits. */
  explain(
    query: SearchQuery<S> & { readonly rerank?: boolean | number | undefined },
  ): Promise<SearchPlan<S>>

  /**
   * How many records have each value of a field, the most frequent value first, then by value. Exact: the
   * filter `{ [field]: value }` holds for `count` of them, so an array counts for each of its
   * elements once, `null` is a value, and what is missing is none.
   *
   * @throws {CairnError} As {@link count}; `ERR_DEADLINE`.
   */
  facet<const F extends FieldPath<S>>(
    field: F,
    options?: FacetOptions<S>,
  ): Promise<FacetCount<S, F>[]>

  /**
   * Figures over the numbers or dates of a field: each element of an array counts, what is missing or of
   * another kind does not. Sums of integers are exact, and a bigint beyond 2^53; sums of floats are rounded
   * once. Where there are no values, `count` is 0 and all else `null`.
   *
   * @throws {CairnError} As {@link count}; `ERR_DEADLINE`; `ERR_LIMIT_EXCEEDED` for more than 100 figures or 10,000 buckets.
   */
  aggregate<const F extends MeasuredField<S>>(
    field: F,
    options?: AggregateOptions<S>,
  ): Promise<FieldFigures<S, F>>
  /** Figures by name, such as `{ oldest: { op: 'min', field: 'year' } }`. */
  aggregate<const A extends Figures<S>>(
    figures: A,
    options?: AggregateOptions<S>,
  ): Promise<FigureAnswers<S, A>>

  /**
   * Makes everything acknowledged durable, whatever its `durability`; the version that is. A signal that fires ends the
   * wait for it alone.
   */
  commit(options?: CallOptions): Promise<bigint>

  /** Resolves when everything is flushed, indexed and merged. It happens by itself, too. */
  compact(options?: CompactOptions): Promise<void>

  /** Figures. */
  stats(options?: CallOptions): Promise<CollectionStats>
}
