// Records in the order of their keys or of a field, page by page, over one pinned version.
import { wrong } from './check.js'
import { CairnError, toCairnError } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { Binding, BindingCollection, BindingOrder, BindingScan } from './native/binding.js'
import { Block, type RowObject, type VectorLayout } from './native/from-native.js'
import { allFields, passes, trimmed, type AnyPredicate } from './predicate.js'
import { CallersOwn } from './rerank.js'
import type { NativeSelect } from './search.js'
import { orderedCursor } from './shape.js'
import { throwIfAborted, underSignal } from './signal.js'
import type { Scan } from './types.js'

/** Records fetched at a time. */
const pageRows = 256

/** What is read for a function that may look at any field. */
const everyField = { fields: allFields, names: null } as const

/** What a scan needs to know. */
export interface ScanRequest {
  readonly addon: Pick<Binding, 'BindingTicket'>
  readonly binding: BindingCollection
  readonly lifetime: Lifetime
  readonly layout: VectorLayout
  readonly select: NativeSelect
  /** A function of the caller's that records must pass. */
  readonly predicate: AnyPredicate | undefined
  /** For a call of ours, which has to tell what the function throws from what else is thrown. */
  readonly isInner?: boolean
  /** JSON. */
  readonly filter: string | null
  readonly after: string | bigint | null
  /** Without it by key, ascending. */
  readonly order: BindingOrder | null
  /** The cursor before the first record. */
  readonly cursor: string
  readonly limit: number
  /** From the first record on; 0 for none. */
  readonly deadlineMs: number
  readonly signal: AbortSignal | undefined
}

/** A scan under way. The version is pinned by the first `next()`, and let go at the end, by `return()`, or when collected. */
export class RecordScan implements Scan<RowObject> {
  readonly #request: ScanRequest
  #cursor: string | null
  #left: number
  #native: BindingScan | undefined
  #page: (RowObject | null)[] = []
  /** What each row of the page is ordered by, where that is not its key. */
  #values: readonly Uint8Array[] = []
  #at = 0
  #ended = false
  /** In the time of `performance.now()`, once the scan has begun. */
  #deadline: number | undefined
  #queue: Promise<unknown> = Promise.resolve()

  constructor(request: ScanRequest) {
    this.#request = request
    this.#cursor = request.cursor
    this.#left = request.limit
  }

  get cursor(): string | null {
    return this.#cursor
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next record. Calls that overlap are served one after another. */
  next(): Promise<IteratorResult<RowObject, undefined>> {
    const next = this.#queue.then(() => this.#next())
    this.#queue = next.catch(() => undefined)
    return next
  }

  /** Ends the scan behind the calls of `next()` that were made before: the addon reads a page to its end. */
  return(): Promise<IteratorResult<RowObject, undefined>> {
    const ended = this.#queue.then((): IteratorResult<RowObject, undefined> => {
      this.#end()
      return { done: true, value: undefined }
    })
    this.#queue = ended
    return ended
  }

  async #next(): Promise<IteratorResult<RowObject, undefined>> {
    try {
      const row = await this.#row()
      if (row === undefined) return { done: true, value: undefined }
      return { done: false, value: row }
    } catch (error) {
      this.#end()
      if (!(error instanceof CallersOwn)) throw toCairnError(error)
      throw this.#request.isInner === true ? error : error.error
    }
  }

  async #row(): Promise<RowObject | undefined> {
    if (this.#ended) return undefined
    throwIfAborted(this.#request.signal)
    const { order, predicate, select } = this.#request
    const row = await this.#nextRow()
    if (row === undefined) {
      this.#cursor = null
      this.#end()
      return undefined
    }
    this.#cursor =
      order === null
        ? cursorOf(row.key)
        : orderedCursor(order, this.#values[this.#at] as Uint8Array, row.key)
    this.#at += 1
    this.#left -= 1
    if (this.#left === 0) await this.#finish()
    return predicate === undefined ? row : trimmed(row, select)
  }

  /** The record that comes next, at its place in the page; nothing at the end. */
  async #nextRow(): Promise<RowObject | undefined> {
    const { predicate } = this.#request
    for (;;) {
      if (this.#at === this.#page.length) await this.#fetch()
      const row = this.#page[this.#at]
      if (row === undefined || row === null) return undefined
      if (predicate === undefined || passes(predicate, row)) return row
      this.#at += 1
    }
  }

  /** The limit is reached: the cursor stays unless this was also the last record. */
  async #finish(): Promise<void> {
    if (this.#at === this.#page.length) await this.#fetch()
    if (this.#at === this.#page.length) this.#cursor = null
    this.#end()
  }

  async #fetch(): Promise<void> {
    const { addon, binding, lifetime, layout, filter, after, order, signal } = this.#request
    const { predicate } = this.#request
    const isAsked = predicate !== undefined
    const select = isAsked ? { ...this.#request.select, ...everyField } : this.#request.select
    if (!lifetime.open) throw new CairnError('ERR_CLOSED', 'the database is closed')
    const rows = isAsked ? pageRows : Math.min(pageRows, this.#left + 1)
    const page = async (): Promise<Uint8Array> => {
      this.#native ??= await underSignal(addon, signal, (ticket) =>
        binding.scan(after, filter, order, this.#leftMs(), ticket),
      )
      const native = this.#native
      return underSignal(addon, signal, (ticket) =>
        native.next(rows, select.fields, select.names, select.vectors, this.#leftMs(), ticket),
      )
    }
    const block = new Block(await lifetime.track(page()))
    this.#page = block.records(layout)
    this.#values = order === null ? [] : block.orderValues()
    this.#at = 0
  }

  /** Milliseconds until the scan gives up, 0 for never. */
  #leftMs(): number {
    const { deadlineMs } = this.#request
    if (deadlineMs === 0) return 0
    this.#deadline ??= performance.now() + deadlineMs
    const left = this.#deadline - performance.now()
    if (left > 0) return left
    throw new CairnError('ERR_DEADLINE', 'the deadline passed')
  }

  #end(): void {
    this.#ended = true
    this.#page = []
    this.#values = []
    this.#at = 0
    this.#native?.close()
  }
}

/** The opaque text that continues behind a key. */
export function cursorOf(key: string | bigint): string {
  const tag = typeof key === 'string' ? 's' : 'n'
  return `${tag}${Buffer.from(String(key)).toString('base64url')}`
}

/** The cursor of a scan that has given nothing yet and starts at the first key. */
export const startCursor = 'a'

/** The key that a cursor stands behind; null for the start. */
export function keyOfCursor(cursor: unknown, keyType: 'string' | 'u64'): string | bigint | null {
  if (cursor === startCursor) return null
  const [tag, text] = typeof cursor === 'string' ? [cursor[0], cursor.slice(1)] : [undefined, '']
  const key = Buffer.from(text, 'base64url').toString()
  if (tag === 's' && keyType === 'string' && cursorOf(key) === cursor) return key
  if (tag === 'n' && keyType === 'u64' && /^\d{1,20}$/.test(key)) {
    const number = BigInt(key)
    if (BigInt.asUintN(64, number) === number && cursorOf(number) === cursor) return number
  }
  throw wrong('after must be the cursor of an earlier scan', 'cursor', cursor, 'after')
}
