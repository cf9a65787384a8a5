// A collection: checks, one call into the addon, and its answer in public types.
import process from 'node:process'
import { types } from 'node:util'
import { notYet, oneOf, optionsOf, wholeNumber } from './check.js'
import { CairnError, checked, toCairnError, withDetails } from './errors.js'
import type { AtRest } from './at-rest.js'
import type { Key } from './infer.js'
import { ingest, type WriteChunk } from './ingest.js'
import type { Lifetime } from './internal/lifetime.js'
import { runJob } from './job.js'
import type { Binding, BindingCollection, BindingTicket } from './native/binding.js'
import { Block, unwrap, type HitObject, type RowObject } from './native/from-native.js'
import type { Writes } from './native/writes.js'
import { durabilities } from './options.js'
import type { Selection } from './infer.js'
import { fromShape, type Schema, type SchemaShape, type StoredSchema } from './schema.js'
import { RecordScan, keyOfCursor, startCursor } from './scan.js'
import { toNativeBatchQuery, toNativeQuery, toNativeSelect } from './search.js'
import { checkSignal, throwIfAborted, underSignal } from './signal.js'
import type { SlowQueries } from './slow-query.js'
import { fromNativeStats, type CollectionStats } from './stats.js'
import type {
  CompactOptions,
  Durability,
  Hit,
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
  SearchStage,
  StoredRecord,
  UpdateOptions,
  Updates,
  WriteOptions,
  WriteResult,
} from './types.js'
import {
  BatchEncoder,
  idempotencyKeyOf,
  ifVersion,
  spellUpdate,
  type NativeBatch,
  type WriteKind,
} from './write.js'
import { checkRows } from './workspace.js'

/**
 * Records of one structure, each with a unique key.
 *
 * Everything given to a call is copied before it returns, so buffers can be used again at once.
 * Every call may fail with `ERR_CLOSED`.
 */
export interface Collection<S extends Schema = Schema> {
  /** Its name now: `renameCollection` changes it in every handle. */
  readonly name: string
  /** Its structure, defaults filled in. */
  readonly schema: StoredSchema

  /**
   * Adds new records: one row, an array, or columns. One atomic batch.
   *
   * @throws {CairnError} `ERR_ALREADY_EXISTS` if a key exists or comes twice; as {@link upsert}.
   */
  add(rows: Rows<S>, options?: WriteOptions): Promise<WriteResult>

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
  upsert(rows: Rows<S>, options?: WriteOptions): Promise<WriteResult>

  /**
   * Changes records: given vectors are replaced, fields are merged. One atomic batch.
   *
   * @throws {CairnError} `ERR_NOT_FOUND` for a missing key, unless `missing` is `'skip'`; as {@link upsert}.
   */
  update(rows: Updates<S>, options?: UpdateOptions): Promise<WriteResult>

  /** Removes records by key. Keys that are not there are counted as `skipped`. */
  delete(keys: Key<S> | Keys<S>, options?: WriteOptions): Promise<WriteResult>

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
  has(keys: Keys<S>): Promise<boolean[]>
  /** Whether a key is there. */
  has(key: Key<S>): Promise<boolean>

  /** Live records. */
  count(): Promise<number>

  /**
   * Records of one version in the order of their keys (strings by UTF-8 bytes). The version is
   * the newest at the first record, and stays pinned until the scan ends.
   */
  scan<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    options?: ScanOptions<S, Sel, V>,
  ): Scan<StoredRecord<S, Sel, V>>

  /**
   * The records nearest to a vector, nearest first, ties by key.
   *
   * @returns At least `min(k, count)` hits, unless `maxDistance` or `minScore` leave some out.
   * @throws {CairnError} `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`,
   * `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`, `ERR_ABORTED`, `ERR_DEADLINE`.
   */
  search<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    query: SearchQuery<S, Sel, V>,
  ): Promise<Hit<S, Sel, V>[]>

  /** As {@link search}, on this thread and without a promise: lowest latency, but the event loop waits. */
  searchSync<const Sel extends Selection<S> = undefined, const V extends boolean = false>(
    query: SearchQuery<S, Sel, V>,
  ): Hit<S, Sel, V>[]

  /** Many searches at once, answered in columns. At most 100 000 queries and 10 000 000 results. */
  searchBatch(query: SearchBatchQuery<S>): Promise<SearchBatchResult<S>>

  /** Runs a search and tells what it did in each memtable and segment. */
  explain(query: SearchQuery<S>): Promise<SearchPlan<S>>

  /** Makes everything acknowledged durable, whatever its `durability`; the version that is. */
  commit(): Promise<bigint>

  /** Resolves when everything is flushed, indexed and merged. It happens by itself, too. */
  compact(options?: CompactOptions): Promise<void>

  /** Figures. */
  stats(): Promise<CollectionStats>
}

/** What collections of one database share. */
export interface CollectionContext {
  readonly binding: Binding
  readonly lifetime: Lifetime
  readonly writes: Writes
  /** Fires when the database begins to close. */
  readonly ending: AbortSignal
  /** Of writes that do not say. */
  readonly durability: Durability
  /** Whether another process writes. */
  readonly readOnly: boolean
  /** Measures searches, where that was asked for. */
  readonly slowQueries?: SlowQueries | undefined
  /** Told of writes that were not synced; nobody where there is nothing to sync. */
  readonly commits: AtRest<BindingCollection> | undefined
  readonly tidies: AtRest<{ readonly name: string }> | undefined
}

const writeNames = new Set(['if', 'durability', 'signal', 'idempotencyKey'])
const updateNames = new Set([...writeNames, 'fieldsMode', 'missing'])
const readNames = new Set(['select', 'vectors', 'signal'])
const scanNames = new Set([...readNames, 'after', 'limit', 'filter', 'orderBy'])

/** Rows of a synchronous search fit this block at first; it grows as it must. */
const syncBytes = 16 * 1024

/** A collection of an embedded database. */
export class EmbeddedCollection implements Collection {
  readonly schema: StoredSchema
  readonly #native: BindingCollection
  readonly #context: CollectionContext
  readonly #shape: SchemaShape
  readonly #encoder: BatchEncoder
  readonly #layout: { readonly names: readonly string[] }
  #syncBlock: Block | undefined
  #starting = false

  constructor(native: BindingCollection, context: CollectionContext) {
    this.#native = native
    this.#context = context
    this.#shape = native.schema
    this.#encoder = new BatchEncoder(this.#shape)
    this.#layout = { names: this.#shape.vectors.map(({ name }) => name) }
    this.schema = fromShape(this.#shape)
  }

  get name(): string {
    return this.#native.name
  }

  add(rows: Rows, options?: WriteOptions): Promise<WriteResult> {
    return this.#write('add', 'add', rows, options)
  }

  upsert(rows: Rows, options?: WriteOptions): Promise<WriteResult> {
    return this.#write('upsert', 'upsert', rows, options)
  }

  async update(rows: Updates, options?: UpdateOptions): Promise<WriteResult> {
    const { fieldsMode, missing, ...rest } = checked(() =>
      optionsOf<UpdateOptions>(options, updateNames, 'update options'),
    )
    return this.#write('update', spellUpdate({ fieldsMode, missing }), rows, rest)
  }

  delete(keys: string | bigint | Keys, options?: WriteOptions): Promise<WriteResult> {
    return this.#begin(() => {
      const wishes = writeOptions(options)
      return this.#encoder.encodeKeys(keys, (column, keyEnds) =>
        this.#submit('delete', { ...nothingBut, keys: column, keyEnds }, wishes),
      )
    })
  }

  ingest(
    source: AsyncIterable<Rows | Updates> | Iterable<Rows | Updates>,
    options?: IngestOptions,
  ): Promise<WriteResult> {
    const write: WriteChunk = (...chunk) => this.#write(...chunk)
    // What the source itself throws goes to the caller as it is.
    return this.#run(
      () => {
        this.#refuseReader()
        return ingest(source, options, write, this.#context.ending)
      },
      (error) => error,
    )
  }

  get(keys: Keys, options?: ReadOptions<Schema, Selection<Schema>, boolean>): Promise<never>
  get(
    key: string | bigint,
    options?: ReadOptions<Schema, Selection<Schema>, boolean>,
  ): Promise<never>
  async get(
    keys: string | bigint | Keys,
    options?: ReadOptions<Schema, Selection<Schema>, boolean>,
  ): Promise<(RowObject | null)[] | RowObject | null> {
    const records = await this.#run(async () => {
      const given = optionsOf(options, readNames, 'read options')
      const select = toNativeSelect(given, this.#shape)
      const signal = checkSignal(given.signal)
      throwIfAborted(signal)
      if (Array.isArray(keys)) checkRows(keys.length)
      const list = Array.isArray(keys) ? Array.from<string | bigint>(keys) : keys
      const answer = this.#encoder.encodeKeys(list, (column, ends) =>
        this.#native.get(column, ends, select.fields, select.names, select.vectors),
      )
      // Like everything that was given, the keys may change while this waits.
      const wanted = types.isBigUint64Array(list)
        ? list.slice()
        : typeof list === 'object'
          ? list
          : [list]
      const block = new Block(unwrap(await answer))
      throwIfAborted(signal)
      return block.records(this.#layout, wanted)
    })
    return isMany(keys) ? records : (records[0] ?? null)
  }

  has(keys: Keys): Promise<boolean[]>
  has(key: string | bigint): Promise<boolean>
  async has(keys: string | bigint | Keys): Promise<boolean[] | boolean> {
    const flags = await this.#run(async () => {
      const answer = this.#encoder.encodeKeys(keys, (column, ends) =>
        this.#native.has(column, ends),
      )
      return Array.from(unwrap(await answer), (is) => is === 1)
    })
    return isMany(keys) ? flags : (flags[0] ?? false)
  }

  count(...filter: readonly unknown[]): Promise<number> {
    return this.#run(async () => {
      if (filter[0] !== undefined) throw notYet('filter')
      return unwrap(this.#native.count())
    })
  }

  scan(options?: ScanOptions<Schema, Selection<Schema>, boolean>): Scan<never> {
    return checked(() => {
      const given = optionsOf<typeof options & { filter?: unknown; orderBy?: unknown }>(
        options,
        scanNames,
        'scan options',
      )
      if (given.filter !== undefined) throw notYet('filter')
      if (given.orderBy !== undefined) throw notYet('orderBy')
      this.#refuseClosed()
      return new RecordScan({
        binding: this.#native,
        lifetime: this.#context.lifetime,
        layout: this.#layout,
        select: toNativeSelect(given, this.#shape),
        after: given.after === undefined ? null : keyOfCursor(given.after, this.#shape.key),
        cursor: given.after ?? startCursor,
        limit:
          given.limit === undefined
            ? Number.POSITIVE_INFINITY
            : wholeNumber(given.limit, 'limit', 1, Number.MAX_SAFE_INTEGER),
        signal: checkSignal(given.signal),
      }) as unknown as Scan<never>
    })
  }

  search(query: SearchQuery): Promise<never[]> {
    const hits: Promise<HitObject[]> = this.#run(async () => {
      const given = toNativeQuery(query, this.#shape)
      const { vector, numbers, names, signal } = given
      const answered = this.#context.slowQueries?.begin(this.#native, given)
      const bytes = await underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.search(vector, numbers, names, ticket),
      )
      answered?.()
      return new Block(bytes).hits(this.#layout)
    })
    return hits as Promise<never[]>
  }

  searchSync(query: SearchQuery): never[] {
    this.#refuseClosed()
    const given = checked(() => toNativeQuery(query, this.#shape))
    const { vector, numbers, names, signal } = given
    throwIfAborted(signal)
    const answered = this.#context.slowQueries?.begin(this.#native, given)
    this.#syncBlock ??= new Block(new Uint8Array(syncBytes))
    for (;;) {
      const { bytes } = this.#syncBlock
      const length = unwrap(this.#native.searchSync(vector, numbers, names, bytes))
      if (length <= bytes.length) {
        answered?.()
        return this.#syncBlock.hits(this.#layout) as never[]
      }
      this.#syncBlock = new Block(new Uint8Array(2 * length))
    }
  }

  searchBatch(query: SearchBatchQuery): Promise<SearchBatchResult> {
    return this.#run(async () => {
      const { vectors, queries, numbers, signal } = toNativeBatchQuery(query, this.#shape)
      const bytes = await underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.searchBatch(vectors, numbers, ticket),
      )
      const block = new Block(bytes)
      return {
        keys: this.#shape.key === 'u64' ? block.keyNumbers() : block.keyStrings(),
        distances: block.distances(),
        scores: block.scores(),
        offsets: block.offsets(queries),
      }
    })
  }

  explain(query: SearchQuery): Promise<SearchPlan> {
    return this.#run(async () => {
      const { vector, numbers, signal } = toNativeQuery(query, this.#shape)
      const plan = await underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.explain(vector, numbers, ticket),
      )
      return {
        version: plan.version,
        keys: new Block(plan.hits).keys(),
        stages: plan.stages as readonly SearchStage[],
      }
    })
  }

  commit(): Promise<bigint> {
    return this.#run(async () => unwrap(await this.#native.commit()))
  }

  compact(options?: CompactOptions): Promise<void> {
    const { binding, ending } = this.#context
    return this.#run(() =>
      runJob(binding, options, ending, (ticket) => this.#native.compact(ticket)),
    )
  }

  stats(): Promise<CollectionStats> {
    return this.#run(async () => fromNativeStats(unwrap(await this.#native.stats())))
  }

  #write(
    kind: WriteKind,
    spelling: string,
    rows: unknown,
    options: WriteOptions | undefined,
  ): Promise<WriteResult> {
    return this.#begin(() => {
      const wishes = writeOptions(options)
      return this.#encoder.encode(kind, rows, (batch) => this.#submit(spelling, batch, wishes))
    })
  }

  /** A write, with no promise of its own: they cost as much as it does. */
  #begin(write: () => Promise<WriteResult>): Promise<WriteResult> {
    try {
      this.#refuseClosed()
      this.#refuseReader()
      return write()
    } catch (error) {
      return Promise.reject(this.#ours(error, toCairnError))
    }
  }

  #submit(
    spelling: string,
    batch: NativeBatch,
    { condition, idempotencyKey, durability, signal }: WriteWishes,
  ): Promise<WriteResult> {
    const begin = (ticket: BindingTicket | null): Promise<WriteResult> =>
      this.#context.writes.begin((id) => {
        const isHeld = this.#native.write(
          id,
          spelling,
          batch.keys,
          batch.keyEnds,
          batch.vectors,
          batch.present,
          batch.payload,
          batch.payloadEnds,
          condition,
          idempotencyKey,
          durability,
          ticket,
        )
        if (isHeld) this.#startSoon()
      }, this.#withKey)
    const written =
      signal === undefined ? begin(null) : underSignal(this.#context.binding, signal, begin)
    this.#context.tidies?.note({ name: this.#native.name })
    const isSynced = (durability ?? this.#context.durability) === 'sync'
    return isSynced ? written : this.#noteUnsynced(written)
  }

  /** Once all that runs now has had its turn: what it writes is synced together. */
  #startSoon(): void {
    if (this.#starting) return
    this.#starting = true
    process.nextTick(this.#start)
  }

  readonly #start = (): void => {
    this.#starting = false
    this.#native.start()
  }

  async #noteUnsynced(written: Promise<WriteResult>): Promise<WriteResult> {
    const result = await written
    const changed = result.inserted + result.updated + result.deleted
    if (changed > 0) this.#context.commits?.note(this.#native)
    return result
  }

  /**
   * A call while the database is open; what it throws is ours.
   *
   * The part before the first await runs here and not in an async function, which would keep
   * hold of the caller's rows until the write is acknowledged.
   */
  #run<T>(work: () => Promise<T>, foreign: (error: unknown) => unknown = toCairnError): Promise<T> {
    try {
      this.#refuseClosed()
      return this.#settle(work(), foreign)
    } catch (error) {
      return Promise.reject(this.#ours(error, foreign))
    }
  }

  async #settle<T>(running: Promise<T>, foreign: (error: unknown) => unknown): Promise<T> {
    try {
      return await this.#context.lifetime.track(running)
    } catch (error) {
      throw this.#ours(error, foreign)
    }
  }

  #ours(error: unknown, foreign: (error: unknown) => unknown): unknown {
    return error instanceof CairnError ? this.#withKey(error) : foreign(error)
  }

  /** The addon shows keys as numbers or text; here they get the type they have. */
  readonly #withKey = (error: CairnError): CairnError => {
    const { key } = error.details
    if (this.#shape.key !== 'u64' || !/^\d+$/.test(String(key))) return error
    return withDetails(error, {}, { key: BigInt(String(key)) })
  }

  /** The engine refuses every change too; here, also those that would change nothing. */
  #refuseReader(): void {
    if (!this.#context.readOnly) return
    throw new CairnError('ERR_READ_ONLY', 'the database was opened for reading')
  }

  #refuseClosed(): void {
    if (!this.#context.lifetime.open) throw new CairnError('ERR_CLOSED', 'the database is closed')
  }
}

function isMany(keys: unknown): boolean {
  return typeof keys === 'object' && keys !== null
}

/** A batch of keys alone. */
const nothingBut = { vectors: [], present: [], payload: null, payloadEnds: null }

interface WriteWishes {
  readonly condition: bigint | null
  readonly idempotencyKey: string | null
  readonly durability: Durability | null
  readonly signal: AbortSignal | undefined
}

function writeOptions(options: WriteOptions | undefined): WriteWishes {
  const given = optionsOf<WriteOptions>(options, writeNames, 'write options')
  return {
    condition: ifVersion(given.if),
    idempotencyKey: idempotencyKeyOf(given.idempotencyKey),
    durability:
      given.durability === undefined ? null : oneOf(given.durability, durabilities, 'durability'),
    signal: checkSignal(given.signal),
  }
}
