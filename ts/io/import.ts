// Rows of a file or a stream into a collection, batch by batch.
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import {
  callback,
  checkSignal,
  isPlainObject,
  oneOf,
  optionsOf,
  wholeNumber,
  wrong,
} from '../check.js'
import type { Collection } from '../collection.js'
import type { Database } from '../database.js'
import { CairnError, checked, isCairnError, withDetails, type ErrorCode } from '../errors.js'
import { limits } from '../limits.js'
import { checkPath, durabilities } from '../options.js'
import type { Schema, StoredSchema } from '../schema.js'
import { Interrupt } from '../signal.js'
import type { Row, WriteOptions } from '../types.js'
import { openArrow } from './arrow.js'
import { transformed } from './export.js'
import { formatOf } from './format.js'
import { openJsonl } from './jsonl.js'
import { openNpy } from './npy.js'
import { openParquet } from './parquet.js'
import {
  checkProgress,
  headOf,
  progressOf,
  StateFile,
  tokenOf,
  type Progress,
  type SourceHead,
} from './resume.js'
import { RowMapping, type RowBlock, type RowReader } from './rows.js'
import { openSource, type OpenSource } from './source.js'
import type {
  ByteSource,
  Format,
  ImportInto,
  ImportOptions,
  ImportResult,
  ImportTarget,
  TransferRecord,
} from './types.js'
import { openVecs } from './vecs.js'

/** Batches written at the same time: one is synced while the next is read. */
const chunksUnderWay = 3

/** Bytes of vectors in one batch, before its rows are counted. */
const chunkBytes = 16 * 1024 * 1024

/** The state file is written at most this often. */
const saveMs = 250

/** Rows of a batch that are left out one by one before each of its rows is written alone. */
const retriesMax = 8

const optionNames = new Set([
  'format',
  'mode',
  'key',
  'vector',
  'resume',
  'chunkRows',
  'durability',
  'transform',
  'onError',
  'onSkip',
  'onProgress',
  'signal',
])

/** Codes of what is wrong with one row; every other error ends an import. */
const rowCodes: ReadonlySet<ErrorCode> = new Set([
  'ERR_INVALID_ARGUMENT',
  'ERR_INVALID_KEY',
  'ERR_DIM_MISMATCH',
  'ERR_NOT_FINITE',
  'ERR_ZERO_VECTOR',
  'ERR_LIMIT_EXCEEDED',
  'ERR_ALREADY_EXISTS',
])

/**
 * Writes the rows of a file or a stream into a collection, batch by batch, reading no further ahead than three.
 *
 * Errors name the `row` (from 0), and where there are such the `line` and byte `offset`; batches before it stay.
 * `details.resumeToken` tells where to go on.
 *
 * @param target - A collection; or `{ db, name }`, created from what the source says when it is not there.
 * @param source - A path, a Readable, or another stream of bytes; Parquet needs a path.
 * @throws {CairnError} As `upsert`; `ERR_NOT_FOUND` where there is no such file; `ERR_CORRUPT` for a damaged or truncated source, `ERR_UNSUPPORTED_FORMAT`
 * for one that is not read here or whose package is not installed, `ERR_IO`, `ERR_ABORTED`.
 */
export async function importFrom<S extends Schema>(
  target: ImportTarget<S>,
  source: string | ByteSource,
  options?: ImportOptions,
): Promise<ImportResult> {
  const path = typeof source === 'string' ? checkPath(source, 'source') : undefined
  const wishes = checked(() => readOptions(path, options))
  const interrupt = new Interrupt(wishes.signal, new AbortController().signal)
  const opened = await openSource(source)
  try {
    if (interrupt.reason !== undefined) throw interrupt.reason
    const reader = await interrupt.wait(openReader(opened, wishes))
    const collection = await openTarget(target as ImportTarget, reader.schema, wishes)
    return await new Import(collection, opened, reader, wishes, interrupt).run()
  } finally {
    interrupt.end()
    opened.close()
  }
}

/** What an import was asked for. */
export interface ImportWishes {
  readonly format: Format
  readonly mode: 'upsert' | 'add'
  readonly key: ImportOptions['key']
  readonly vector: ImportOptions['vector']
  readonly resume: true | string | undefined
  readonly chunkRows: number
  readonly durability: ImportOptions['durability']
  readonly transform: ImportOptions['transform']
  readonly skips: boolean
  readonly onSkip: ImportOptions['onSkip']
  readonly onProgress: ImportOptions['onProgress']
  readonly signal: AbortSignal | undefined
}

/** Rows that are written together. */
interface Chunk {
  readonly rows: Row[]
  /** Where each is. */
  readonly places: Place[]
  bytes: number
}

type Place = Readonly<Record<string, unknown>> & { readonly row: number }

class Import {
  readonly #collection: Collection
  readonly #source: OpenSource
  readonly #reader: RowReader
  readonly #wishes: ImportWishes
  readonly #interrupt: Interrupt
  readonly #mapping: RowMapping
  readonly #state: StateFile | undefined
  readonly #underWay: Promise<void>[] = []
  #head: SourceHead | null = null
  #chunk: Chunk = { rows: [], places: [], bytes: 0 }
  #failure: { readonly error: unknown } | undefined
  /** Whether a chunk was not written: none behind it counts. */
  #isBroken = false
  #written = 0
  #skipped = 0
  /** Rows of the source that are done with, all those before them, too. */
  #done = 0
  #savedAt = Number.NEGATIVE_INFINITY

  constructor(
    collection: Collection,
    source: OpenSource,
    reader: RowReader,
    wishes: ImportWishes,
    interrupt: Interrupt,
  ) {
    this.#collection = collection
    this.#source = source
    this.#reader = reader
    this.#wishes = wishes
    this.#interrupt = interrupt
    this.#mapping = new RowMapping(collection.schema, wishes)
    if (wishes.resume === true && source.path !== undefined) {
      this.#state = new StateFile(source.path)
    }
  }

  async run(): Promise<ImportResult> {
    const { path } = this.#source
    if (path !== undefined) this.#head = await headOf(path)
    this.#done = await this.#start()
    const blocks = this.#reader.blocks(this.#done)[Symbol.asyncIterator]()
    try {
      let row = this.#done
      for (;;) {
        this.#check()
        const block = await this.#interrupt.wait(blocks.next())
        if (block.done === true) break
        row = await this.#take(block.value, row)
      }
      await this.#send(row)
      await this.#settle()
    } catch (error) {
      await Promise.all(this.#underWay)
      // Not waited for: a source that is silent cannot even begin to end.
      void blocks.return?.().then(undefined, () => undefined)
      await this.#save(true)
      throw this.#withToken(error)
    }
    await this.#state?.remove()
    return { rows: this.#written, skipped: this.#skipped, resumeToken: tokenOf(this.#progress()) }
  }

  /** The row to begin with. */
  async #start(): Promise<number> {
    const { resume } = this.#wishes
    if (resume === undefined) return 0
    const progress = resume === true ? await this.#state?.load() : progressOf(resume)
    if (progress === undefined) return 0
    await checkProgress(progress, this.#collection.name, this.#source.path)
    return progress.rows
  }

  /** Takes the rows of a block from number `from` on; the number of the row behind them. */
  async #take(block: RowBlock, from: number): Promise<number> {
    let next = from
    for (let index = Math.max(0, from - block.first); index < block.rows; index += 1) {
      const row = block.first + index
      this.#add(block, index, row)
      next = row + 1
      const { rows, bytes } = this.#chunk
      if (rows.length >= this.#wishes.chunkRows || bytes >= chunkBytes) await this.#send(next)
    }
    return next
  }

  #add(block: RowBlock, index: number, row: number): void {
    const { transform } = this.#wishes
    let record: TransferRecord | null
    try {
      record = this.#mapping.record(block.row(index))
    } catch (error) {
      this.#refuse(error, { ...block.place(index), row })
      return
    }
    if (transform !== undefined) record = transformed(transform, record)
    if (record === null) {
      this.#skipped += 1
      return
    }
    const { key, vectors, fields } = record
    this.#chunk.rows.push({ key, vectors, fields })
    this.#chunk.places.push({ ...block.place(index), row })
    for (const vector of Object.values(vectors)) {
      const numbers = 'indices' in vector ? 2 * vector.values.length : vector.length
      this.#chunk.bytes += 4 * numbers
    }
  }

  /** Ends the import for a wrong row, or leaves it out. */
  #refuse(error: unknown, place: Place): void {
    const placed = error instanceof CairnError ? withDetails(error, place) : error
    if (!this.#wishes.skips || !(placed instanceof CairnError) || !isOfRow(placed)) throw placed
    this.#skipped += 1
    this.#wishes.onSkip?.(placed)
  }

  /** Begins to write what was collected; everything before row `end` is done with it. */
  async #send(end: number): Promise<void> {
    const chunk = this.#chunk
    this.#chunk = { rows: [], places: [], bytes: 0 }
    // One after another where a row may be left out: a batch that is written again must not
    // overwrite a later one.
    const atOnce = this.#wishes.skips ? 1 : chunksUnderWay
    const before = this.#underWay.at(-1) ?? Promise.resolve()
    this.#underWay.push(this.#finish(this.#write(chunk), before, end))
    await yieldToLoop()
    while (this.#underWay.length >= atOnce) await this.#oldest()
    this.#check()
  }

  /** Counts in order, so that what is counted is everything before some row. */
  async #finish(writing: Promise<number>, before: Promise<void>, end: number): Promise<void> {
    try {
      const rows = await writing
      await before
      if (!this.#isBroken) await this.#count(rows, end)
    } catch (error) {
      this.#fail(error)
      // What was sent before this may still be written, and then it counts.
      await before
      this.#isBroken = true
    }
  }

  async #oldest(): Promise<void> {
    await this.#underWay[0]
    void this.#underWay.shift()
  }

  async #settle(): Promise<void> {
    while (this.#underWay.length > 0) await this.#oldest()
    this.#check()
  }

  async #count(rows: number, end: number): Promise<void> {
    this.#written += rows
    this.#done = end
    await this.#save(false)
    this.#wishes.onProgress?.({ rows: end, bytes: this.#source.read() })
  }

  /** Writes a batch; how many of its rows were written. */
  async #write({ rows, places }: Chunk): Promise<number> {
    if (rows.length === 0) return 0
    for (let retries = 0; ; retries += 1) {
      try {
        if (rows.length > 0) await this.#call(rows)
        return rows.length
      } catch (error) {
        const { index } = error instanceof CairnError ? error.details : {}
        if (typeof index !== 'number' || places[index] === undefined) throw error
        this.#refuse(error, places[index])
        rows.splice(index, 1)
        places.splice(index, 1)
        if (retries === retriesMax) return this.#writeAlone(rows, places)
      }
    }
  }

  /** Writes rows one by one: so many are wrong that batches would be tried for ever. */
  async #writeAlone(rows: readonly Row[], places: readonly Place[]): Promise<number> {
    let written = 0
    for (const [index, row] of rows.entries()) {
      try {
        await this.#call([row])
        written += 1
      } catch (error) {
        this.#refuse(error, places[index] as Place)
      }
    }
    return written
  }

  async #call(rows: readonly Row[]): Promise<void> {
    const { durability, resume, signal, mode } = this.#wishes
    // What the state file says is done must survive whatever the file does.
    const options: WriteOptions = { durability: resume === true ? 'sync' : durability, signal }
    await this.#collection[mode](rows, options)
  }

  #progress(): Progress {
    return { rows: this.#done, collection: this.#collection.name, head: this.#head }
  }

  async #save(isLast: boolean): Promise<void> {
    if (this.#state === undefined) return
    const now = performance.now()
    if (!isLast && now - this.#savedAt < saveMs) return
    await this.#state.save(this.#progress())
    this.#savedAt = performance.now()
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    const { reason } = this.#interrupt
    if (reason !== undefined) throw reason
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
  }

  #withToken(error: unknown): unknown {
    if (!(error instanceof CairnError)) return error
    // Last: it is long, and for programs.
    return withDetails(error, {}, { resumeToken: tokenOf(this.#progress()) })
  }
}

function isOfRow(error: CairnError): boolean {
  return rowCodes.has(error.code)
}

async function openReader(source: OpenSource, { format }: ImportWishes): Promise<RowReader> {
  switch (format) {
    case 'arrow':
    case 'arrow-stream':
      return openArrow(source)
    case 'npy':
      return openNpy(source)
    case 'fvecs':
    case 'bvecs':
    case 'ivecs':
      return openVecs(source, format)
    case 'parquet':
      return openParquet(source)
    default:
      return openJsonl(source.bytes)
  }
}

async function openTarget(
  target: ImportTarget,
  found: StoredSchema | undefined,
  { signal }: ImportWishes,
): Promise<Collection> {
  if (!isInto(target)) return target
  const { db, name, schema } = target
  if (schema !== undefined) return db.collection(name, schema, { signal })
  try {
    return await db.openCollection(name, { signal })
  } catch (error) {
    if (!isCairnError(error, 'ERR_NOT_FOUND')) throw error
  }
  if (found === undefined) {
    throw wrong('the source does not say its schema', 'schema', undefined, 'target.schema')
  }
  return db.createCollection<Schema>(name, found, { signal })
}

function isInto(target: ImportTarget): target is ImportInto {
  if (!isPlainObject(target)) {
    const { upsert, schema } = Object(target) as Partial<Collection>
    if (typeof upsert === 'function' && schema !== undefined) return false
    throw wrong('not a collection', 'collection | { db, name }', target, 'target')
  }
  const { db, name } = target as { db?: Partial<Database>; name?: unknown }
  if (typeof db?.openCollection === 'function' && typeof name === 'string') return true
  throw wrong('not a collection', 'collection | { db, name }', target, 'target')
}

function readOptions(path: string | undefined, options: ImportOptions | undefined): ImportWishes {
  const given = optionsOf<ImportOptions>(options, optionNames, 'import options')
  const mode = given.mode === undefined ? 'upsert' : oneOf(given.mode, ['upsert', 'add'], 'mode')
  const { resume, durability, onError } = given
  if (resume !== undefined && resume !== true && typeof resume !== 'string') {
    throw wrong(
      'resume takes true, or the token of an earlier import',
      'true | token',
      resume,
      'resume',
    )
  }
  if (resume !== undefined && mode !== 'upsert') {
    throw wrong('only an upsert can be resumed: it may write a batch again', 'upsert', mode, 'mode')
  }
  if (resume === true && path === undefined) {
    throw wrong('the state of an import is kept beside its file', 'path | token', resume, 'resume')
  }
  return {
    format: formatOf(given.format, path),
    mode,
    key: given.key,
    vector: given.vector,
    resume,
    chunkRows:
      given.chunkRows === undefined
        ? 1000
        : wholeNumber(given.chunkRows, 'chunkRows', 1, limits.batchRowsMax),
    durability:
      durability === undefined ? undefined : oneOf(durability, durabilities, 'durability'),
    transform: callback(given.transform, 'transform'),
    skips: onError !== undefined && oneOf(onError, ['stop', 'skip'], 'onError') === 'skip',
    onSkip: callback(given.onSkip, 'onSkip'),
    onProgress: callback(given.onProgress, 'onProgress'),
    signal: checkSignal(given.signal),
  }
}
