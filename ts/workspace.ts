// Memory for one batch under way, kept for the next.
import { CairnError } from './errors.js'
import { ByteWriter } from './internal/byte-writer.js'
import { limits } from './limits.js'
import { copyVector } from './native/components.js'
import { varyingFloats } from './native/to-native.js'
import { varies, widthOf, type VectorShape } from './schema.js'

/** Memory kept between batches, for each block. */
const keepBytes = 4 * 1024 * 1024

/** Rows that fit without growing. */
const rowsAtFirst = 1024

/** The blocks of a batch. */
export class Workspace {
  /** String keys in UTF-8, end to end. */
  readonly text: ByteWriter = new ByteWriter()
  /** Fields of the rows, end to end. */
  readonly payload: ByteWriter = new ByteWriter()
  readonly #columns: VectorColumn[]
  #rows = 0
  #numbers = new BigUint64Array(0)
  #textEnds = new Uint32Array(rowsAtFirst)
  #payloadEnds = new Uint32Array(rowsAtFirst)

  constructor(vectors: readonly VectorShape[]) {
    this.#columns = vectors.map((field) => new VectorColumn(field))
  }

  /** Makes room for a batch of `rows` rows. */
  begin(rows: number): void {
    checkRows(rows)
    this.#rows = rows
    if (this.#textEnds.length >= rows) return
    this.#textEnds = new Uint32Array(rows)
    this.#payloadEnds = new Uint32Array(rows)
  }

  /** Ends a row's string key at a position of `text`. */
  endKey(row: number, end: number): void {
    this.#textEnds[row] = end
  }

  /** Sets a row's number as its key. */
  pushNumber(row: number, key: bigint): void {
    if (this.#numbers.length < this.#rows) this.#numbers = new BigUint64Array(this.#rows)
    this.#numbers[row] = key
  }

  /** Appends a row's vector of the field at `position`. */
  pushVector(position: number, row: number, vector: unknown): void {
    this.#columns[position]?.push(row, this.#rows, vector)
  }

  /** Ends a row's fields. */
  endRow(row: number): void {
    this.#payloadEnds[row] = this.payload.at
    let bytes = this.text.at + this.payload.at
    for (const column of this.#columns) bytes += column.bytes
    checkBytes(bytes)
  }

  /** All keys. */
  keys(type: 'string' | 'u64'): Uint8Array | BigUint64Array {
    return type === 'u64' ? this.#numbers.subarray(0, this.#rows) : this.text.written()
  }

  /** Where each string key ends. */
  get keyEnds(): Uint32Array {
    return this.#textEnds.subarray(0, this.#rows)
  }

  /** For each field its matrix, where any row has one, and which rows do, where not all. */
  vectors(rows: number): {
    vectors: (Float32Array | null)[]
    present: (Uint8Array | null)[]
  } {
    return {
      vectors: this.#columns.map((column) => column.matrix()),
      present: this.#columns.map((column) => column.flags(rows)),
    }
  }

  /** Fields of all rows and where each row's end; nothing when no row has any. */
  fields(): { payload: Uint8Array | null; payloadEnds: Uint32Array | null } {
    if (this.payload.at === 0) return { payload: null, payloadEnds: null }
    const payloadEnds = this.#payloadEnds.subarray(0, this.#rows)
    return { payload: this.payload.written(), payloadEnds }
  }

  /** Forgets the batch; memory beyond what is worth keeping goes back. */
  clear(): void {
    this.#rows = 0
    this.text.clear(keepBytes)
    this.payload.clear(keepBytes)
    for (const column of this.#columns) column.clear()
  }
}

/** The vectors of one field. */
class VectorColumn {
  readonly #field: VectorShape
  readonly #width: number
  #floats = new Float32Array(0)
  #present = new Uint8Array(0)
  #count = 0
  /** Floats that the vectors take. */
  #used = 0

  constructor(field: VectorShape) {
    this.#field = field
    this.#width = widthOf(field)
  }

  get bytes(): number {
    return this.#used * 4
  }

  push(row: number, rows: number, vector: unknown): void {
    const at = this.#used
    if (varies(this.#field.type)) {
      const floats = varyingFloats(vector, this.#field)
      this.#used += floats.length
      this.#room(this.#used, rows)
      this.#floats.set(floats, at)
    } else {
      this.#room(at + this.#width, rows)
      copyVector(vector, this.#floats, at, this.#field)
      this.#used += this.#width
    }
    this.#present[row] = 1
    this.#count += 1
  }

  matrix(): Float32Array | null {
    return this.#count === 0 ? null : this.#floats.subarray(0, this.#used)
  }

  flags(rows: number): Uint8Array | null {
    return this.#count === 0 || this.#count === rows ? null : this.#present.subarray(0, rows)
  }

  clear(): void {
    this.#count = 0
    this.#used = 0
    this.#present.fill(0)
    if (this.#floats.byteLength > keepBytes) this.#floats = new Float32Array(0)
  }

  /** Most batches have a vector in each row: all of them get room at once, up to a bound. */
  #room(floats: number, rows: number): void {
    if (this.#present.length < rows) {
      const grown = new Uint8Array(rows)
      grown.set(this.#present)
      this.#present = grown
    }
    if (this.#floats.length >= floats) return
    // How long those are that differ is not known before they come.
    const each = varies(this.#field.type) ? 0 : this.#width
    const all = Math.min(rows * each, keepBytes / 4)
    const grown = new Float32Array(Math.max(floats, all, 2 * this.#floats.length))
    grown.set(this.#floats)
    this.#floats = grown
  }
}

/** Refuses more rows than a batch may have. */
export function checkRows(rows: number): void {
  if (rows <= limits.batchRowsMax) return
  throw new CairnError('ERR_LIMIT_EXCEEDED', 'a batch has too many rows', {
    limit: limits.batchRowsMax,
    got: rows,
  })
}

/** Refuses more bytes than a batch may have. */
export function checkBytes(bytes: number): number {
  if (bytes <= limits.batchBytesMax) return bytes
  throw new CairnError('ERR_LIMIT_EXCEEDED', 'a batch has too many bytes', {
    limit: limits.batchBytesMax,
    got: bytes,
  })
}
