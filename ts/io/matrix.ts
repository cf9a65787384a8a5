// One vector field as rows of numbers: what npy and the vecs formats share.
import { wrong } from '../check.js'
import { CairnError, withDetails } from '../errors.js'
import { widthOf, type StoredSchema } from '../schema.js'
import type { KeysReader } from './keys-file.js'
import type { RawRow, RowBlock } from './rows.js'
import type { TransferRecord } from './types.js'
import { numbersOf } from './values.js'

/** Bytes collected before they go out, and taken at a time. */
export const matrixBlockBytes: number = 256 * 1024

/** A vector field in a matrix. */
export interface MatrixField {
  readonly name: string
  /** Columns: of bits a byte each. */
  readonly dim: number
}

/** The vector field that a matrix holds. */
export function matrixField(schema: StoredSchema, vectors: boolean | string): MatrixField {
  const names = Object.keys(schema.vectors)
  const name = typeof vectors === 'string' ? vectors : names.length === 1 ? names[0] : undefined
  const field = name === undefined || vectors === false ? undefined : schema.vectors[name]
  if (name === undefined || field === undefined) {
    throw wrong('a matrix holds one vector field', names.join(' | '), vectors, 'vectors')
  }
  return { name, dim: widthOf(field) }
}

/** The vector of a record that goes into a matrix. */
export function matrixRow({ vectors }: TransferRecord, { name, dim }: MatrixField): Float32Array {
  const vector = Object.hasOwn(vectors, name) ? numbersOf(vectors[name], name) : undefined
  if (vector === undefined) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a record has no vector for its row', {
      field: name,
    })
  }
  if (vector.length !== dim) {
    const details = { field: name, expected: dim, got: vector.length }
    throw new CairnError('ERR_DIM_MISMATCH', 'a row of a matrix has the wrong length', details)
  }
  return vector instanceof Float32Array ? vector : Float32Array.from(vector)
}

/** Turns the bytes of a row into its vector. */
export type DecodeRow = (bytes: Buffer) => Float32Array | number[]

/** Rows of a matrix that were read together. */
export class MatrixBlock implements RowBlock {
  readonly first: number
  readonly #rows: readonly Buffer[]
  readonly #keys: readonly unknown[]
  readonly #offset: number
  readonly #stride: number
  readonly #decode: DecodeRow

  constructor(
    first: number,
    rows: readonly Buffer[],
    keys: readonly unknown[],
    at: { readonly offset: number; readonly stride: number },
    decode: DecodeRow,
  ) {
    this.first = first
    this.#rows = rows
    this.#keys = keys
    this.#offset = at.offset
    this.#stride = at.stride
    this.#decode = decode
  }

  get rows(): number {
    return this.#rows.length
  }

  row(index: number): RawRow {
    return { key: this.#keys[index], vector: this.#decode(this.#rows[index] as Buffer) }
  }

  place(index: number): { offset: number } {
    return { offset: this.#offset + index * this.#stride }
  }
}

/** Blocks of rows, as `next` reads them one by one from byte `start` on. */
export async function* matrixBlocks(
  stride: number,
  start: number,
  keys: KeysReader,
  decode: DecodeRow,
  next: (row: number) => Promise<Buffer | undefined>,
): AsyncGenerator<RowBlock> {
  const most = Math.max(1, Math.floor(matrixBlockBytes / stride))
  for (let first = 0; ;) {
    const rows: Buffer[] = []
    while (rows.length < most) {
      const row = first + rows.length
      const bytes = await atRow(row, () => next(row))
      if (bytes === undefined) break
      rows.push(bytes)
    }
    if (rows.length > 0) {
      const at = { offset: start + first * stride, stride }
      yield new MatrixBlock(first, rows, await keys.take(rows.length), at, decode)
    }
    first += rows.length
    if (rows.length < most) break
  }
  await keys.end()
}

/** Runs `read`; its error names the row. */
export async function atRow<T>(row: number, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw error instanceof CairnError ? withDetails(error, { row }) : error
  }
}

/** 32-bit floats, least byte first. */
export function floatsOf(bytes: Buffer): Float32Array {
  const { buffer, byteOffset, length } = bytes
  return new Float32Array(buffer.slice(byteOffset, byteOffset + length))
}
