// A stream of rows, written as a sequence of atomic chunks.
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import { types } from 'node:util'
import { callback, checkSignal, isObject, oneOf, optionsOf, wholeNumber, wrong } from './check.js'
import { CairnError, toCairnError, withDetails } from './errors.js'
import { limits } from './limits.js'
import { durabilities } from './options.js'
import { Interrupt } from './signal.js'
import type { IngestOptions, WriteOptions, WriteResult } from './types.js'
import { spellUpdate, type WriteKind } from './write.js'

/** Chunks written at the same time: one is synced while the next is encoded. */
const chunksUnderWay = 4

const updateNames = ['fieldsMode', 'missing'] as const
const optionNames = new Set([
  'mode',
  'chunkRows',
  'durability',
  'onProgress',
  'signal',
  ...updateNames,
])

/** One chunk's write. */
export type WriteChunk = (
  kind: WriteKind,
  spelling: string,
  rows: unknown,
  options: WriteOptions,
) => Promise<WriteResult>

/**
 * Writes everything `source` gives, chunk by chunk, and reads no further ahead than four chunks.
 *
 * When it fails, chunks acknowledged before stay, the source is ended with `return()`, and the
 * error is the write's, with the row's place in the stream as `details.row`, or the source's own.
 *
 * When the caller's signal or `ending` fires it ends at once, also while the source is silent, and does
 * not wait for what the source does about it.
 *
 * @param ending - Fires when the database begins to close.
 */
export async function ingest(
  source: unknown,
  options: IngestOptions | undefined,
  write: WriteChunk,
  ending: AbortSignal,
): Promise<WriteResult> {
  const settings = readOptions(options)
  const iterator = iteratorOf(source)
  const interrupt = new Interrupt(settings.signal, ending)
  const run = new Ingest(settings, write, interrupt)
  let ended = false
  try {
    for (;;) {
      run.check()
      const item = await interrupt.wait(iterator.next())
      if (item.done === true) break
      await run.take(item.value)
    }
    ended = true
    return await run.finish()
  } finally {
    await run.settle()
    if (!ended) await endQuietly(iterator, interrupt)
    interrupt.end()
  }
}

class Ingest {
  readonly #options: ReadOptions
  readonly #write: WriteChunk
  readonly #interrupt: Interrupt
  readonly #total = { version: 0n, inserted: 0, updated: 0, deleted: 0, skipped: 0 }
  readonly #underWay = new Set<Promise<void>>()
  #pending: unknown[] = []
  #failure: { readonly error: unknown } | undefined
  #sentRows = 0
  #doneRows = 0
  #doneChunks = 0

  constructor(options: ReadOptions, write: WriteChunk, interrupt: Interrupt) {
    this.#options = options
    this.#write = write
    this.#interrupt = interrupt
  }

  /** Throws when there is no point in going on. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    const { reason } = this.#interrupt
    if (reason !== undefined) throw reason
  }

  /** Takes a row, an array of rows, or columns. */
  async take(item: unknown): Promise<void> {
    if (isColumns(item)) {
      await this.#flush()
      this.#begin(item, item.keys.length)
      await this.#pace()
    } else if (Array.isArray(item)) {
      for (const row of item) if (this.#add(row)) await this.#flush()
    } else if (this.#add(item)) {
      await this.#flush()
    }
  }

  /** Writes what is left and waits for all. */
  async finish(): Promise<WriteResult> {
    await this.#flush()
    await this.settle()
    if (this.#failure !== undefined) throw this.#failure.error
    return this.#total
  }

  /** Waits for every chunk under way, however it ends. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  /** Keeps a row for the next chunk, and tells when that is full. */
  #add(row: unknown): boolean {
    this.#pending.push(row)
    return this.#pending.length === this.#options.chunkRows
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return
    this.#beginPending()
    await this.#pace()
  }

  /** Not part of an async function: that would keep the rows while it waits. */
  #beginPending(): void {
    const rows = this.#pending
    this.#pending = []
    this.#begin(rows, rows.length)
  }

  #begin(chunk: unknown, rows: number): void {
    const { kind, spelling, durability, signal } = this.#options
    const start = this.#sentRows
    this.#sentRows += rows
    const done = this.#write(kind, spelling, chunk, { ...durability, signal }).then(
      (result) => this.#count(result, rows),
      (error: unknown) => this.#fail(atRow(error, start)),
    )
    this.#underWay.add(done)
    void done.finally(() => this.#underWay.delete(done))
  }

  /** Encoding took milliseconds: timers and sockets come first now, then the writes under way. */
  async #pace(): Promise<void> {
    await yieldToLoop()
    while (this.#underWay.size >= chunksUnderWay) await Promise.race(this.#underWay)
    this.check()
  }

  #count(result: WriteResult, rows: number): void {
    const total = this.#total
    total.inserted += result.inserted
    total.updated += result.updated
    total.deleted += result.deleted
    total.skipped += result.skipped
    if (result.version > total.version) total.version = result.version
    this.#doneRows += rows
    this.#doneChunks += 1
    try {
      this.#options.onProgress?.({
        rows: this.#doneRows,
        chunks: this.#doneChunks,
        version: total.version,
      })
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
  }
}

type AnyIterator = AsyncIterator<unknown> | Iterator<unknown>

/** A write's error with the row's place in the whole stream. */
function atRow(error: unknown, start: number): unknown {
  if (!(error instanceof CairnError)) return error
  const { index } = error.details
  return typeof index === 'number' ? withDetails(error, {}, { row: start + index }) : error
}

interface ReadOptions {
  readonly kind: WriteKind
  readonly spelling: string
  readonly chunkRows: number
  readonly onProgress: IngestOptions['onProgress']
  readonly signal: AbortSignal | undefined
  readonly durability: Pick<WriteOptions, 'durability'>
}

function readOptions(options: IngestOptions | undefined): ReadOptions {
  try {
    const given = optionsOf<IngestOptions>(options, optionNames, 'ingest options')
    const { mode = 'upsert', chunkRows = 1000, durability } = given
    const kind = oneOf(mode, ['add', 'upsert', 'update'], 'mode')
    return {
      kind,
      spelling: spell(kind, given),
      chunkRows: wholeNumber(chunkRows, 'chunkRows', 1, limits.batchRowsMax),
      onProgress: callback(given.onProgress, 'onProgress'),
      signal: checkSignal(given.signal),
      durability:
        durability === undefined
          ? {}
          : { durability: oneOf(durability, durabilities, 'durability') },
    }
  } catch (error) {
    throw toCairnError(error)
  }
}

/** The write as the addon spells it. */
function spell(kind: WriteKind, given: Partial<IngestOptions>): string {
  if (kind === 'update') return spellUpdate(given)
  const foreign = updateNames.find((name) => given[name] !== undefined)
  if (foreign !== undefined)
    throw wrong(`${foreign} is for updates`, "mode 'update'", kind, foreign)
  return kind
}

function iteratorOf(source: unknown): AnyIterator {
  try {
    const { [Symbol.asyncIterator]: ofAsync, [Symbol.iterator]: ofSync } = Object(
      source,
    ) as Partial<AsyncIterable<unknown> & Iterable<unknown>>
    if (typeof ofAsync === 'function') return ofAsync.call(source as AsyncIterable<unknown>)
    if (typeof ofSync === 'function' && typeof source !== 'string' && !types.isTypedArray(source)) {
      return ofSync.call(source as Iterable<unknown>)
    }
  } catch (error) {
    throw toCairnError(error)
  }
  throw wrong(
    'ingest takes an iterable of rows, arrays of rows, or columns',
    'async iterable',
    source,
  )
}

function isColumns(item: unknown): item is { keys: ArrayLike<unknown> } {
  if (!isObject(item) || Object.hasOwn(item, 'key') || !Object.hasOwn(item, 'keys')) return false
  return Array.isArray(item['keys']) || types.isBigUint64Array(item['keys'])
}

/**
 * Ends the source. Its own trouble with ending must not hide why it was ended, nor keep anyone waiting who
 * has given up: then it gets one turn of the loop. A generator that is silent in the middle of `next()`
 * cannot even begin to end.
 */
async function endQuietly(iterator: AnyIterator, interrupt: Interrupt): Promise<void> {
  try {
    const ended = Promise.resolve(iterator.return?.())
    if (interrupt.reason === undefined) await interrupt.wait(ended)
    else await Promise.race([ended, yieldToLoop()])
  } catch {
    // The first error is the one that matters.
  }
}
