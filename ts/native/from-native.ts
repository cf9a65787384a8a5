// What the addon answers, as the public types have it.
import { CairnError } from '../errors.js'
import type { SparseVector } from '../infer.js'
import { Decoder, setOwn } from '../msgpack/decode.js'
import type { VectorType } from '../schema.js'
import { meantInFilter } from '../internal/suggest.js'
import type { SearchPlan, SearchStage } from '../types.js'
import type { Answer, BindingError, BindingFacet, BindingPlan } from './binding.js'
import { readMulti } from './multi.js'
import { readSparse } from './sparse.js'

/** The value of an answer. */
export function unwrap<T>(answer: Answer<T>): T {
  if (isBindingError(answer)) throw fromNativeError(answer)
  return answer
}

function isBindingError(answer: unknown): answer is BindingError {
  return typeof answer === 'object' && answer !== null && 'code' in answer
}

/** The one error class, of an error of the addon. */
export function fromNativeError({ code, message, details }: BindingError): CairnError {
  const facts = Object.fromEntries(details.map(({ name, value }) => [name, value]))
  const { path } = facts
  const suggestion =
    code === 'ERR_INVALID_FILTER' && typeof path === 'string'
      ? meantInFilter(message, path)
      : undefined
  const hint = suggestion === undefined ? {} : { suggestion }
  return new CairnError(code, message, { ...facts, ...hint })
}

// Words of a block's header; crates/napi/src/pack.rs has the table.
const ROWS = 0
const KEY_KIND = 1
const LENGTH = 2
const VERSIONS = 3
const KEYS = 4
const KEY_BYTES = 5
const DISTANCES = 6
const SCORES = 7
const FIELD_ENDS = 8
const FIELD_BYTES = 9
const VECTORS = 10
const OFFSETS = 11
const MARK_ENDS = 12
const MARK_BYTES = 13

/** Key blocks up to this many bytes are decoded in one go, and keys cut from the result. */
const KEYS_AT_ONCE_MAX = 65_536

/** Vector fields of a schema by position. */
export interface VectorLayout {
  readonly names: readonly string[]
  readonly types: readonly VectorType[]
}

/** A vector as it is read. */
export type StoredArray = Float32Array | Int8Array | Uint8Array | SparseVector | Float32Array[]

/** A record in reading order of its members; `vectors` and `vector` only when they were asked for. */
export interface RowObject {
  key: string | bigint
  version: bigint
  fields: Record<string, unknown>
  vectors?: Record<string, StoredArray>
  vector?: StoredArray
}

/** A found record. */
export interface HitObject extends RowObject {
  distance: number
  score: number
  highlights?: Record<string, unknown>
}

const decoder = new Decoder()

/** A block of rows from the addon, read in place. */
export class Block {
  readonly #bytes: Buffer
  readonly #words: Uint32Array
  readonly #floats: Float32Array
  readonly #longs: BigUint64Array

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.#bytes = Buffer.from(buffer, byteOffset, byteLength)
    this.#words = new Uint32Array(buffer, byteOffset, byteLength >>> 2)
    this.#floats = new Float32Array(buffer, byteOffset, byteLength >>> 2)
    this.#longs = new BigUint64Array(buffer, byteOffset, byteLength >>> 3)
  }

  /** Its memory. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** How many rows it has. */
  get rows(): number {
    return this.#word(ROWS)
  }

  /** How many bytes of it are used. */
  get length(): number {
    return this.#word(LENGTH)
  }

  /** Found records, nearest first. */
  hits(layout: VectorLayout): HitObject[] {
    const keys = this.keys()
    const versions = this.#word(VERSIONS) >>> 3
    const distances = this.#word(DISTANCES) >>> 2
    const scores = this.#word(SCORES) >>> 2
    const fieldEnds = this.#openFields()
    const hasVectors = this.#word(VECTORS) !== 0
    const hits: HitObject[] = []
    for (let row = 0; row < keys.length; row += 1) {
      const hit: HitObject = {
        key: keys[row] as string | bigint,
        distance: this.#floats[distances + row] as number,
        score: this.#floats[scores + row] as number,
        version: this.#longs[versions + row] as bigint,
        fields: fieldEnds === 0 ? {} : this.#fields(fieldEnds, row),
      }
      if (hasVectors) this.#addVectors(hit, row, layout)
      hits.push(hit)
    }
    this.#addMarks(hits)
    decoder.close()
    return hits
  }

  /** Records as asked for; `null` where there is none. Keys are taken from `keys` when given. */
  records(
    layout: VectorLayout,
    keys: ArrayLike<string | bigint> = this.keys(),
  ): (RowObject | null)[] {
    const versions = this.#word(VERSIONS) >>> 3
    const fieldEnds = this.#openFields()
    const hasVectors = this.#word(VECTORS) !== 0
    const records: (RowObject | null)[] = []
    for (let row = 0; row < this.rows; row += 1) {
      const version = this.#longs[versions + row] as bigint
      if (version === 0n) {
        records.push(null)
        continue
      }
      const fields = fieldEnds === 0 ? {} : this.#fields(fieldEnds, row)
      const record: RowObject = { key: keys[row] as string | bigint, version, fields }
      if (hasVectors) this.#addVectors(record, row, layout)
      records.push(record)
    }
    decoder.close()
    return records
  }

  /** All keys in order. */
  keys(): (string | bigint)[] {
    if (this.#word(KEY_KIND) !== 1) return this.keyStrings()
    const start = this.#word(KEYS) >>> 3
    const keys: bigint[] = []
    for (let row = 0; row < this.rows; row += 1) keys.push(this.#longs[start + row] as bigint)
    return keys
  }

  /** All keys of a collection keyed by numbers, a view. */
  keyNumbers(): BigUint64Array {
    const start = this.#word(KEYS) >>> 3
    return this.#longs.subarray(start, start + this.rows)
  }

  /** All keys of a collection keyed by strings. */
  keyStrings(): string[] {
    const rows = this.rows
    const ends = this.#word(KEYS) >>> 2
    const start = this.#word(KEY_BYTES)
    const total = rows === 0 ? 0 : (this.#words[ends + rows - 1] as number)
    const all =
      total <= KEYS_AT_ONCE_MAX ? this.#bytes.toString('latin1', start, start + total) : ''
    // Cutting by byte positions is right only where every character is one byte.
    const cuts = total <= KEYS_AT_ONCE_MAX && isAscii(all)
    const keys: string[] = []
    let from = 0
    for (let row = 0; row < rows; row += 1) {
      const end = this.#words[ends + row] as number
      keys.push(
        cuts ? all.slice(from, end) : this.#bytes.toString('utf8', start + from, start + end),
      )
      from = end
    }
    return keys
  }

  /** Distances, a view. */
  distances(): Float32Array {
    return this.#floatSection(DISTANCES)
  }

  /** Scores, a view. */
  scores(): Float32Array {
    return this.#floatSection(SCORES)
  }

  /** Where the hits of each of `queries` queries start, and the end; a view. */
  offsets(queries: number): Uint32Array {
    const start = this.#word(OFFSETS) >>> 2
    return this.#words.subarray(start, start + queries + 1)
  }

  /** What each row of a page is ordered by, MessagePack behind the rows; empty where it is missing. */
  orderValues(): Uint8Array[] {
    const ends = this.length >>> 2
    const first = this.length + this.rows * 4
    const values: Uint8Array[] = []
    let from = first
    for (let row = 0; row < this.rows; row += 1) {
      const end = first + (this.#words[ends + row] as number)
      values.push(this.#bytes.subarray(from, end))
      from = end
    }
    return values
  }

  #floatSection(word: number): Float32Array {
    const start = this.#word(word) >>> 2
    return this.#floats.subarray(start, start + this.rows)
  }

  #openFields(): number {
    const ends = this.#word(FIELD_ENDS) >>> 2
    if (ends !== 0) decoder.open(this.#bytes)
    return ends
  }

  #fields(ends: number, row: number): Record<string, unknown> {
    const base = this.#word(FIELD_BYTES)
    const start = row === 0 ? 0 : (this.#words[ends + row - 1] as number)
    return decoder.fields(base + start, base + (this.#words[ends + row] as number))
  }

  /** Where words stand in the fields of each hit, when that was asked for. */
  #addMarks(hits: readonly HitObject[]): void {
    const ends = this.#word(MARK_ENDS) >>> 2
    if (ends === 0) return
    const base = this.#word(MARK_BYTES)
    decoder.open(this.#bytes)
    let start = base
    for (const [row, hit] of hits.entries()) {
      const end = base + (this.#words[ends + row] as number)
      hit.highlights = decoder.fields(start, end)
      start = end
    }
  }

  #addVectors(record: RowObject, row: number, { names, types }: VectorLayout): void {
    const rows = this.rows
    const vectors: Record<string, StoredArray> = {}
    let at = this.#word(VECTORS) >>> 2
    for (const [field, name] of names.entries()) {
      const start = row === 0 ? 0 : (this.#words[at + row - 1] as number)
      const end = this.#words[at + row] as number
      const floats = at + rows
      if (end > start) {
        const vector = this.#vector(floats + start, floats + end, types[field])
        if (name === '__proto__') setOwn(vectors, name, vector)
        else vectors[name] = vector
        if (names.length === 1) record.vector = vector
      }
      at = floats + (this.#words[floats - 1] as number)
    }
    record.vectors = vectors
  }

  /** A vector as it is read, copied. */
  #vector(start: number, end: number, type: VectorType | undefined): StoredArray {
    if (type === 'i8') return Int8Array.from(this.#floats.subarray(start, end))
    if (type === 'binary') return Uint8Array.from(this.#floats.subarray(start, end))
    if (type === 'sparse') return readSparse(this.#words, this.#floats, start)
    if (type === 'multi') return readMulti(this.#words, this.#floats, start, end)
    return this.#floats.slice(start, end)
  }

  #word(index: number): number {
    return this.#words[index] as number
  }
}

/** What a search did. */
export function fromNativePlan({ version, hits, stages, micros }: BindingPlan): SearchPlan {
  return {
    version,
    keys: new Block(hits).keys(),
    micros,
    stages: stages as readonly SearchStage[],
  }
}

/** Values with their counts. */
export function fromNativeFacet({
  values,
  ends,
  counts,
}: BindingFacet): { value: unknown; count: number }[] {
  decoder.open(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
  return Array.from(counts, (count, at) => ({
    value: decoder.value(at === 0 ? 0 : (ends[at - 1] as number)),
    count,
  }))
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) >= 0x80) return false
  }
  return true
}
