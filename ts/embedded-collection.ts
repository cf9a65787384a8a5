// A collection of an embedded database: checks, one call into the addon, and its answer in public types.
import process from 'node:process'
import { types } from 'node:util'
import { alterWith, type Alteration, type AlterOptions, type Structure } from './alter.js'
import { checkSignal, isMany, optionsOf, wholeNumber, wrong } from './check.js'
import type { Collection } from './collection.js'
import type { CollectionContext } from './context.js'
import { CairnError, checked, toCairnError, withDetails } from './errors.js'
import { toNativeAggregate, toNativeFacet, toNativeOver } from './figures.js'
import { toNativeFilter, type Filter, type FilterOrPredicate } from './filter.js'
import type { FieldsInput, Selection } from './infer.js'
import { ingest, type WriteChunk } from './ingest.js'
import { runJob, watchJob } from './job.js'
import type { BindingCollection, BindingPlan, BindingTicket } from './native/binding.js'
import {
  Block,
  fromNativeFacet,
  fromNativePlan,
  unwrap,
  type HitObject,
  type RowObject,
  type VectorLayout,
} from './native/from-native.js'
import { among, inRounds, inRoundsSync, parted, type AnyPredicate } from './predicate.js'
import {
  fromQuality,
  fromTuned,
  toRecall,
  toTune,
  type RecallOptions,
  type RecallReport,
  type TuneOptions,
  type TuneReport,
} from './quality.js'
import { reranked, rethrown } from './rerank.js'
import { RecordScan, keyOfCursor, startCursor, type ScanRequest } from './scan.js'
import type { Schema, SchemaShape, StoredSchema } from './schema.js'
import {
  deadlineOf,
  toExplainedQuery,
  toNativeBatchQuery,
  toNativeQuery,
  toNativeSelect,
  toSyncQuery,
  type NativeQuery,
} from './search.js'
import { placeOfCursor, toFieldPath, toOrder } from './shape.js'
import { Interrupt, callSignal, throwIfAborted, underSignal, unlessAborted } from './signal.js'
import { fromNativeStats, type CollectionStats } from './stats.js'
import { SyncSearch } from './sync-search.js'
import type {
  AggregateOptions,
  CallOptions,
  CompactOptions,
  CountOptions,
  Durability,
  FacetOptions,
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
  UpdateOptions,
  UpdateWhereOptions,
  Updates,
  WriteOptions,
  WriteResult,
} from './types.js'
import { writeNames, writeOptions, type WriteWishes } from './wishes.js'
import { checkRows } from './workspace.js'
import { nothingBut, spellUpdate, type NativeBatch, type WriteKind } from './write.js'

const updateNames = new Set([...writeNames, 'fieldsMode', 'missing'])
const updateWhereNames = new Set([...writeNames, 'fieldsMode'])
const readNames = new Set(['select', 'vectors', 'deadlineMs', 'signal'])
const countNames = new Set(['deadlineMs', 'signal'])
const scanNames = new Set([...readNames, 'after', 'limit', 'filter', 'orderBy'])

/** A collection of an embedded database. */
export class EmbeddedCollection implements Collection {
  readonly #native: BindingCollection
  readonly #context: CollectionContext
  readonly #structure: Structure
  readonly #layout: VectorLayout
  readonly #sync: SyncSearch
  #starting = false

  constructor(native: BindingCollection, context: CollectionContext) {
    this.#native = native
    this.#context = context
    this.#structure = context.structures.of(native)
    this.#layout = this.#structure.layout
    this.#sync = new SyncSearch(native, this.#layout, context.slowQueries)
  }

  get name(): string {
    return this.#native.name
  }

  get schema(): StoredSchema {
    return this.#structure.schema
  }

  get #shape(): SchemaShape {
    return this.#structure.shape
  }

  alter(change: Alteration, options?: AlterOptions): Promise<never> {
    const altered = this.#run(async () => {
      this.#refuseReader()
      await alterWith(this.#native, change, options, this.#context)
      this.#structure.look()
      return this
    })
    return altered as Promise<never>
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
      const wishes = writeOptions(options, this.#shape)
      return this.#structure.encoder.encodeKeys(keys, (column, keyEnds) =>
        this.#submit('delete', { ...nothingBut, keys: column, keyEnds }, wishes),
      )
    })
  }

  deleteWhere(filter: FilterOrPredicate, options?: WriteOptions): Promise<WriteResult> {
    return this.#run(async () => {
      this.#refuseReader()
      const { declared, predicate } = parted(filter ?? null)
      const json = toNativeFilter(declared, this.#shape)
      if (predicate === undefined) return this.#writeMatching(json, null, false, options)
      if (writeOptions(options, this.#shape).idempotencyKey !== null) {
        throw wrong('a function may answer otherwise', 'no idempotencyKey', filter, 'filter')
      }
      const signal = checkSignal(options?.signal)
      const keys: (string | bigint)[] = []
      // No record that passed has a later version; whoever changes one of them gives it one.
      let newest = 0n
      for await (const { key, version } of this.#passing(json, predicate, { signal })) {
        keys.push(key)
        if (version > newest) newest = version
      }
      return this.#writeMatching(among(json, keys), null, false, options, newest)
    }, rethrown)
  }

  updateWhere(
    filter: Filter,
    fields: FieldsInput,
    options?: UpdateWhereOptions,
  ): Promise<WriteResult> {
    return this.#run(() => {
      this.#refuseReader()
      const given = optionsOf<UpdateWhereOptions>(options, updateWhereNames, 'update options')
      const { fieldsMode, ...rest } = given
      const isReplaced = spellUpdate({ fieldsMode }).includes('replace')
      const json = toNativeFilter(filter ?? null, this.#shape)
      return this.#structure.encoder.encodeFields(fields, (payload) =>
        this.#writeMatching(json, payload, isReplaced, rest),
      )
    })
  }

  async #writeMatching(
    json: string | null,
    fields: Uint8Array | null,
    isReplaced: boolean,
    options: WriteOptions | undefined,
    asOf: bigint | null = null,
  ): Promise<WriteResult> {
    const { condition, idempotencyKey, durability, signal } = writeOptions(options, this.#shape)
    const filter = json ?? '{}'
    const { version, filter: also } = condition
    const writing = underSignal(this.#context.binding, signal, (ticket) =>
      this.#native.writeMatching(
        filter,
        fields,
        isReplaced,
        asOf,
        version,
        also,
        idempotencyKey,
        durability,
        this.#structure.changes,
        ticket,
      ),
    )
    const written = writing.then((result): WriteResult => ({ inserted: 0, ...result }))
    return this.#noted(written, durability)
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
      const deadlineMs = deadlineOf(given)
      throwIfAborted(signal)
      if (Array.isArray(keys)) checkRows(keys.length)
      const list = Array.isArray(keys) ? Array.from<string | bigint>(keys) : keys
      const answer = this.#structure.encoder.encodeKeys(list, (column, ends) =>
        underSignal(this.#context.binding, signal, (ticket) =>
          this.#native.get(
            column,
            ends,
            select.fields,
            select.names,
            select.vectors,
            deadlineMs,
            ticket,
          ),
        ),
      )
      // Like everything that was given, the keys may change while this waits.
      const wanted = types.isBigUint64Array(list)
        ? list.slice()
        : typeof list === 'object'
          ? list
          : [list]
      const block = new Block(await answer)
      throwIfAborted(signal)
      return block.records(this.#layout, wanted)
    })
    return isMany(keys) ? records : (records[0] ?? null)
  }

  has(keys: Keys, options?: CallOptions): Promise<boolean[]>
  has(key: string | bigint, options?: CallOptions): Promise<boolean>
  async has(keys: string | bigint | Keys, options?: CallOptions): Promise<boolean[] | boolean> {
    const flags = await this.#read(options, async () => {
      const answer = this.#structure.encoder.encodeKeys(keys, (column, ends) =>
        this.#native.has(column, ends),
      )
      return Array.from(unwrap(await answer), (is) => is === 1)
    })
    return isMany(keys) ? flags : (flags[0] ?? false)
  }

  count(filter?: FilterOrPredicate, options?: CountOptions): Promise<number> {
    return this.#run(async () => {
      const given = optionsOf(options, countNames, 'count options')
      const signal = checkSignal(given.signal)
      const deadlineMs = deadlineOf(given)
      const { declared, predicate } = parted(filter)
      const json = toNativeFilter(declared, this.#shape)
      throwIfAborted(signal)
      if (predicate !== undefined) {
        let count = 0
        for await (const _ of this.#passing(json, predicate, { signal, deadlineMs })) count += 1
        return count
      }
      if (json === null) return unwrap(this.#native.count())
      return underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.countMatching(json, deadlineMs, ticket),
      )
    }, rethrown)
  }

  #scanned(): Pick<ScanRequest, 'addon' | 'binding' | 'lifetime' | 'layout'> {
    const { binding: addon, lifetime } = this.#context
    return { addon, binding: this.#native, lifetime, layout: this.#layout }
  }

  /** The records that a function passes, by key, over one pinned version. */
  #passing(
    filter: string | null,
    predicate: AnyPredicate,
    { signal, deadlineMs = 0 }: Pick<ScanRequest, 'signal'> & { readonly deadlineMs?: number },
  ): RecordScan {
    return new RecordScan({
      ...this.#scanned(),
      select: { fields: 0, names: null, vectors: false },
      predicate,
      isInner: true,
      filter,
      after: null,
      order: null,
      cursor: startCursor,
      limit: Number.POSITIVE_INFINITY,
      deadlineMs,
      signal,
    })
  }

  scan(options?: ScanOptions<Schema, Selection<Schema>, boolean>): Scan<never> {
    return checked(() => {
      const given = optionsOf(options, scanNames, 'scan options')
      this.#refuseClosed()
      const { after } = given
      const keyType = this.#shape.key
      const order = toOrder(given.orderBy, this.#shape)
      const isBegun = after !== undefined && after !== startCursor
      const place =
        order !== undefined && isBegun ? placeOfCursor(after, order, keyType) : undefined
      const behind = order !== undefined || after === undefined ? null : keyOfCursor(after, keyType)
      const { declared, predicate } = parted(given.filter)
      return new RecordScan({
        ...this.#scanned(),
        select: toNativeSelect(given, this.#shape),
        predicate,
        filter: toNativeFilter(declared, this.#shape),
        after: place?.key ?? behind,
        order: place?.order ?? order ?? null,
        cursor: after ?? startCursor,
        limit:
          given.limit === undefined
            ? Number.POSITIVE_INFINITY
            : wholeNumber(given.limit, 'limit', 1, Number.MAX_SAFE_INTEGER),
        deadlineMs: deadlineOf(given),
        signal: checkSignal(given.signal),
      }) as unknown as Scan<never>
    })
  }

  search(query: SearchQuery): Promise<never[]> {
    const hits: Promise<HitObject[]> = this.#run(async () => {
      const given = toNativeQuery(query, this.#shape)
      if (given.explains) {
        const { found, plan } = await this.#explained(given)
        const ordered = await this.#ordered(found, query, given)
        return Object.defineProperty(ordered, 'plan', { value: plan })
      }
      const found = await inRounds(given, (round) => this.#searched(round))
      return given.rerank === undefined ? found : this.#ordered(found, query, given)
    }, rethrown)
    return hits as Promise<never[]>
  }

  /** Hits in the order that a function of the caller's gives them, where there is one. */
  async #ordered(
    found: HitObject[],
    query: SearchQuery,
    { rerank, signal }: NativeQuery,
  ): Promise<HitObject[]> {
    if (rerank === undefined) return found
    const interrupt = new Interrupt(signal, this.#context.ending)
    try {
      return await reranked(found, query, rerank, interrupt)
    } finally {
      interrupt.end()
    }
  }

  /** The hits of a search, and what it did. */
  async #explained(given: NativeQuery): Promise<{ found: HitObject[]; plan: SearchPlan }> {
    const answered = this.#context.slowQueries?.begin(this.#native, given)
    const told = await this.#told(given)
    const plan = fromNativePlan(told)
    answered?.(plan)
    return { found: new Block(told.hits).hits(this.#layout), plan }
  }

  #told(given: NativeQuery): Promise<BindingPlan> {
    const { vector, numbers, names, filter, shape, sources, signal } = given
    return underSignal(this.#context.binding, signal, (ticket) =>
      this.#native.explain(vector, numbers, names, filter, shape, sources, ticket),
    )
  }

  async #searched(given: NativeQuery): Promise<HitObject[]> {
    const { vector, numbers, names, filter, shape, sources, signal } = given
    const answered = this.#context.slowQueries?.begin(this.#native, given)
    const bytes = await underSignal(this.#context.binding, signal, (ticket) =>
      this.#native.search(vector, numbers, names, filter, shape, sources, ticket),
    )
    answered?.()
    return new Block(bytes).hits(this.#layout)
  }

  searchSync(query: SearchQuery): never[] {
    this.#refuseClosed()
    const given = checked(() => toSyncQuery(query, this.#shape))
    try {
      return inRoundsSync(given, (round) => this.#sync.search(round)) as never[]
    } catch (error) {
      throw rethrown(error)
    }
  }

  searchBatch(query: SearchBatchQuery): Promise<SearchBatchResult> {
    return this.#run(async () => {
      const given = toNativeBatchQuery(query, this.#shape)
      const { vectors, queries, numbers, filter, signal } = given
      const bytes = await underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.searchBatch(vectors, numbers, filter, ticket),
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
    return this.#run(async () =>
      fromNativePlan(await this.#told(toExplainedQuery(query, this.#shape))),
    )
  }

  facet(field: string, options?: FacetOptions): Promise<never[]> {
    const counted = this.#run(async () => {
      const name = toFieldPath(field, 'field', this.#shape)
      const { filter, k, deadlineMs, signal } = toNativeFacet(options, this.#shape)
      const facet = await underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.facet(name, k, filter, deadlineMs, ticket),
      )
      return fromNativeFacet(facet)
    })
    return counted as Promise<never[]>
  }

  aggregate(wanted: unknown, options?: AggregateOptions): Promise<never> {
    const figures = this.#run(async () => {
      const { questions, answer } = toNativeAggregate(wanted, this.#shape)
      const { filter, deadlineMs, signal } = toNativeOver(options, this.#shape)
      const found = await underSignal(this.#context.binding, signal, (ticket) =>
        this.#native.aggregate(questions, filter, deadlineMs, ticket),
      )
      return answer(found)
    })
    return figures as Promise<never>
  }

  recall(options?: RecallOptions): Promise<RecallReport> {
    const { binding, ending } = this.#context
    return this.#run(async () => {
      const { measurement, ...job } = toRecall(options, this.#shape)
      const found = await watchJob(binding, job, ending, (ticket) =>
        this.#native.recall(measurement, ticket),
      )
      return fromQuality(found)
    })
  }

  tune(options: TuneOptions): Promise<TuneReport> {
    const { binding, ending } = this.#context
    return this.#run(async () => {
      const { measurement, apply, ...job } = toTune(options, this.#shape)
      const found = await watchJob(binding, job, ending, (ticket) =>
        this.#native.tune(measurement, apply, ticket),
      )
      return fromTuned(found, measurement.recall)
    })
  }

  commit(options?: CallOptions): Promise<bigint> {
    return this.#read(options, async () => unwrap(await this.#native.commit()))
  }

  compact(options?: CompactOptions): Promise<void> {
    const { binding, ending } = this.#context
    return this.#run(() =>
      runJob(binding, options, ending, (ticket) => this.#native.compact(ticket)),
    )
  }

  stats(options?: CallOptions): Promise<CollectionStats> {
    return this.#read(options, async () => fromNativeStats(unwrap(await this.#native.stats())))
  }

  #write(
    kind: WriteKind,
    spelling: string,
    rows: unknown,
    options: WriteOptions | undefined,
  ): Promise<WriteResult> {
    return this.#begin(() => {
      const wishes = writeOptions(options, this.#shape)
      return this.#structure.encoder.encode(kind, rows, (batch) =>
        this.#submit(spelling, batch, wishes),
      )
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
          condition.version,
          condition.filter,
          idempotencyKey,
          durability,
          this.#structure.changes,
          ticket,
        )
        if (isHeld) this.#startSoon()
      }, this.#withKey)
    const written =
      signal === undefined ? begin(null) : underSignal(this.#context.binding, signal, begin)
    return this.#noted(written, durability)
  }

  /** A write under way, noted for what is done once the collection is at rest. */
  #noted(written: Promise<WriteResult>, durability: Durability | null): Promise<WriteResult> {
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

  /** A call that reads or waits: it goes on without its caller when the signal fires. */
  #read<T>(options: CallOptions | undefined, work: () => Promise<T>): Promise<T> {
    const { lifetime } = this.#context
    return this.#run(() => unlessAborted(callSignal(options), work, { lifetime }))
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
