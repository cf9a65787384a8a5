// fvecs, bvecs, ivecs: each vector behind its length (int32), as 32-bit floats, bytes or 32-bit integers, least byte first.
// Source: http://corpus-texmex.irisa.fr
import { CairnError } from '../errors.js'
import { limits } from '../limits.js'
import { damaged } from './faults.js'
import { KeysReader, type KeysWriter } from './keys-file.js'
import { floatsOf, matrixBlockBytes, matrixBlocks, matrixRow, type MatrixField } from './matrix.js'
import type { RowReader } from './rows.js'
import type { Sink } from './sink.js'
import { ByteReader, type OpenSource } from './source.js'
import type { TransferRecord } from './types.js'

/** How components are stored. */
export type VecsFormat = 'fvecs' | 'bvecs' | 'ivecs'

interface Component {
  readonly width: number
  /** Least and greatest integer; nothing for floats. */
  readonly range?: readonly [number, number]
  readonly put: (bytes: Buffer, value: number, at: number) => void
  readonly decode: (bytes: Buffer) => Float32Array
}

const components: Readonly<Record<VecsFormat, Component>> = {
  fvecs: {
    width: 4,
    put: (bytes, value, at) => void bytes.writeFloatLE(value, at),
    decode: floatsOf,
  },
  bvecs: {
    width: 1,
    range: [0, 255],
    put: (bytes, value, at) => void bytes.writeUInt8(value, at),
    decode: (bytes) => Float32Array.from(bytes),
  },
  ivecs: {
    width: 4,
    range: [-(2 ** 31), 2 ** 31 - 1],
    put: (bytes, value, at) => void bytes.writeInt32LE(value, at),
    decode: wholeFloats,
  },
}

function wholeFloats(bytes: Buffer): Float32Array {
  const floats = new Float32Array(bytes.length / 4)
  for (let at = 0; at < floats.length; at += 1) {
    const value = bytes.readInt32LE(at * 4)
    floats[at] = value
    if (floats[at] === value) continue
    const details = { expected: 'integer within 2^24, or a multiple', got: value }
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a 32-bit float cannot hold this integer', details)
  }
  return floats
}

/** Writes the vectors of one field. */
export class VecsWriter {
  readonly #sink: Sink
  readonly #keys: KeysWriter
  readonly #field: MatrixField
  readonly #component: Component
  #parts: Buffer[] = []
  #bytes = 0

  constructor(sink: Sink, format: VecsFormat, field: MatrixField, keys: KeysWriter) {
    this.#sink = sink
    this.#field = field
    this.#keys = keys
    this.#component = components[format]
  }

  async write(record: TransferRecord): Promise<void> {
    const row = this.#row(matrixRow(record, this.#field))
    this.#parts.push(row)
    this.#bytes += row.length
    await this.#keys.write(record.key)
    if (this.#bytes >= matrixBlockBytes) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    await this.#keys.end()
  }

  abort(): Promise<void> {
    return this.#keys.abort()
  }

  #row(vector: Float32Array): Buffer {
    const { width, range, put } = this.#component
    const row = Buffer.allocUnsafe(4 + width * vector.length)
    row.writeInt32LE(vector.length, 0)
    for (const [index, value] of vector.entries()) {
      if (range !== undefined) checkWhole(value, index, range)
      put(row, value, 4 + width * index)
    }
    return row
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#parts, this.#bytes)
    this.#parts = []
    this.#bytes = 0
    await this.#sink.write(bytes)
  }
}

function checkWhole(
  value: number,
  component: number,
  [least, most]: readonly [number, number],
): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  const details = { component, expected: `integer from ${least} to ${most}`, got: value }
  throw new CairnError('ERR_INVALID_ARGUMENT', 'the format cannot hold this component', details)
}

/** Reads vectors; the length before each must be that of the first. */
export async function openVecs(source: OpenSource, format: VecsFormat): Promise<RowReader> {
  const reader = new ByteReader(source.bytes)
  const { width, decode } = components[format]
  const head = await reader.take(4, 'the length of a vector')
  const dim = head === undefined ? 1 : lengthIn(head, undefined, 0)
  const stride = 4 + width * dim
  const keys = await KeysReader.open(source.path)
  return {
    schema: undefined,
    blocks: () =>
      matrixBlocks(stride, 0, keys, decode, async (row) => {
        // The length of the first was read to know the others.
        const length = row === 0 ? head : await reader.take(4, 'the length of a vector')
        if (length === undefined) return undefined
        lengthIn(length, dim, reader.offset - 4)
        return reader.must(width * dim, 'a vector')
      }),
  }
}

function lengthIn(bytes: Buffer, expected: number | undefined, offset: number): number {
  const got = bytes.readInt32LE(0)
  if (got >= 1 && got <= limits.dimMax && (expected === undefined || got === expected)) return got
  throw damaged('the length of a vector is wrong', {
    offset,
    expected: expected ?? `1 to ${limits.dimMax}`,
    got,
  })
}
