// Records in the order of their keys, page by page, over one pinned version.
import { wrong } from './check.js'
import { CairnError, toCairnError } from './errors.js'
import type { Lifetime } from './internal/lifetime.js'
import type { BindingCollection, BindingScan } from './native/binding.js'
import { Block, unwrap, type RowObject, type VectorLayout } from './native/from-native.js'
import type { NativeSelect } from './search.js'
import { throwIfAborted } from './signal.js'
import type { Scan } from './types.js'

/** Records fetched at a time. */
const pageRows = 256

/** What a scan needs to know. */
export interface ScanRequest {
  readonly binding: BindingCollection
  readonly lifetime: Lifetime
  readonly layout: VectorLayout
  readonly select: NativeSelect
  readonly after: string | bigint | null
  /** The cursor before the first record. */
  readonly cursor: string
  readonly limit: number
  readonly signal: AbortSignal | undefined
}

/** A scan under way. The version is pinned by the first `next()`, and let go at the end, by `return()`, or when collected. */
export class RecordScan implements Scan<RowObject> {
  readonly #request: ScanRequest
  #cursor: string | null
  #left: number
  #native: BindingScan | undefined
  #page: (RowObject | null)[] = []
  #at = 0
  #ended = false
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
      throw toCairnError(error)
    }
  }

  async #row(): Promise<RowObject | undefined> {
    if (this.#ended) return undefined
    throwIfAborted(this.#request.signal)
    if (this.#at === this.#page.length) await this.#fetch()
    const row = this.#page[this.#at]
    if (row === undefined || row === null) {
      this.#cursor = null
      this.#end()
      return undefined
    }
    this.#at += 1
    this.#left -= 1
    this.#cursor = cursorOf(row.key)
    if (this.#left === 0) await this.#finish()
    return row
  }

  /** The limit is reached: the cursor stays unless this was also the last record. */
  async #finish(): Promise<void> {
    if (this.#at === this.#page.length) await this.#fetch()
    if (this.#at === this.#page.length) this.#cursor = null
    this.#end()
  }

  async #fetch(): Promise<void> {
    const { binding, lifetime, layout, select, after } = this.#request
    if (!lifetime.open) throw new CairnError('ERR_CLOSED', 'the database is closed')
    const rows = Math.min(pageRows, this.#left + 1)
    const page = async (): Promise<Uint8Array> => {
      this.#native ??= unwrap(await binding.scan(after))
      return unwrap(await this.#native.next(rows, select.fields, select.names, select.vectors))
    }
    this.#page = new Block(await lifetime.track(page())).records(layout)
    this.#at = 0
  }

  #end(): void {
    this.#ended = true
    this.#page = []
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
