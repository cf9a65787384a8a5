// A matrix of NumPy: numpy.lib.format, versions 1 to 3, written as 1.
import { CairnError } from '../errors.js'
import { limits } from '../limits.js'
import { damaged, unsupported } from './faults.js'
import { KeysReader, type KeysWriter } from './keys-file.js'
import {
  floatsOf,
  matrixBlockBytes,
  matrixBlocks,
  matrixRow,
  type DecodeRow,
  type MatrixField,
} from './matrix.js'
import type { RowReader } from './rows.js'
import type { FileSink } from './sink.js'
import { ByteReader, type OpenSource } from './source.js'
import type { TransferRecord } from './types.js'

const magic = Buffer.from('\x93NUMPY', 'latin1')

/** Bytes of the header that is written, whatever the number of rows. */
const headerBytes = 128

/** Bytes of a header that is read; NumPy's own are near 128. */
const headerBytesMax = 64 * 1024

/** Writes the vectors of one field as `<f4` in C order. */
export class NpyWriter {
  readonly #sink: FileSink
  readonly #keys: KeysWriter
  readonly #field: MatrixField
  #rows = 0
  #parts: Uint8Array[] = []
  #bytes = 0

  constructor(sink: FileSink, field: MatrixField, keys: KeysWriter) {
    this.#sink = sink
    this.#field = field
    this.#keys = keys
  }

  async write(record: TransferRecord): Promise<void> {
    const { buffer, byteOffset, byteLength } = matrixRow(record, this.#field)
    if (this.#rows === 0) this.#put(headerOf(0, this.#field.dim))
    this.#put(new Uint8Array(buffer, byteOffset, byteLength))
    this.#rows += 1
    await this.#keys.write(record.key)
    if (this.#bytes >= matrixBlockBytes) await this.#flush()
  }

  async end(): Promise<void> {
    const header = headerOf(this.#rows, this.#field.dim)
    if (this.#rows === 0) this.#put(header)
    await this.#flush()
    // Only now is the number of rows known.
    await this.#sink.patch(header, 0)
    await this.#keys.end()
  }

  abort(): Promise<void> {
    return this.#keys.abort()
  }

  #put(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#bytes += bytes.length
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#parts, this.#bytes)
    this.#parts = []
    this.#bytes = 0
    await this.#sink.write(bytes)
  }
}

function headerOf(rows: number, dim: number): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${dim}), }`
  const header = Buffer.alloc(headerBytes, ' ')
  magic.copy(header)
  header.writeUInt8(1, 6)
  header.writeUInt8(0, 7)
  header.writeUInt16LE(headerBytes - 10, 8)
  header.write(text, 10, 'latin1')
  header.write('\n', headerBytes - 1)
  return header
}

interface Shape {
  readonly rows: number
  readonly dim: number
  readonly width: number
  readonly decode: DecodeRow
}

/** Reads a matrix of 32- or 64-bit floats, least or most significant byte first, in C order. */
export async function openNpy(source: OpenSource): Promise<RowReader> {
  const reader = new ByteReader(source.bytes)
  const { rows, dim, width, decode } = await headerIn(reader)
  const start = reader.offset
  const stride = dim * width
  const expected = start + rows * stride
  if (source.size !== undefined && !source.isGzip() && source.size !== expected) {
    const details = { file: source.path, expected, got: source.size }
    throw damaged('the file is not as long as its header says', details)
  }
  const keys = await KeysReader.open(source.path)
  return {
    schema: undefined,
    blocks: () =>
      matrixBlocks(stride, start, keys, decode, async (row) => {
        if (row < rows) return reader.must(stride, 'a row')
        if ((await reader.take(1, 'what is behind the rows')) === undefined) return undefined
        throw damaged('there is something behind the last row', { offset: expected })
      }),
  }
}

async function headerIn(reader: ByteReader): Promise<Shape> {
  const head = await reader.must(10, 'the header')
  if (!head.subarray(0, 6).equals(magic)) throw damaged('this is no npy file', { offset: 0 })
  const version = head.readUInt8(6)
  if (version < 1 || version > 3) throw unsupported('an unknown version of npy', { got: version })
  // Versions 2 and 3 have a length of 32 bits.
  const more = version === 1 ? Buffer.alloc(0) : await reader.must(2, 'the header')
  const length =
    version === 1 ? head.readUInt16LE(8) : Buffer.concat([head.subarray(8), more]).readUInt32LE(0)
  if (length > headerBytesMax) throw damaged('the header is too long', { offset: 8, got: length })
  return shapeOf((await reader.must(length, 'the header')).toString('latin1'))
}

function shapeOf(header: string): Shape {
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1]
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1]
  const shape = /'shape'\s*:\s*\(([\d\sL,]*)\)/.exec(header)?.[1]
  if (order === undefined || shape === undefined || !/'descr'\s*:/.test(header)) {
    throw damaged('the header cannot be read', { offset: 10 })
  }
  const type = descr === undefined ? undefined : types.get(descr)
  if (type === undefined) {
    const details = { expected: [...types.keys()].join(' | '), got: descr ?? 'a structure' }
    throw unsupported('not a matrix of floats', details)
  }
  const [rows = 0, dim = 0, ...rest] = shape.match(/\d+/g)?.map(Number) ?? []
  if (rest.length > 0 || shape.match(/\d+/g)?.length !== 2) {
    throw unsupported('not a matrix', { expected: '(rows, dim)', got: `(${shape})` })
  }
  if (order === 'True' && rows > 1 && dim > 1) {
    throw unsupported('the matrix is in Fortran order: save numpy.ascontiguousarray of it', {})
  }
  if (dim < 1 || dim > limits.dimMax || !Number.isSafeInteger(rows * dim * 8)) {
    const details = { limit: limits.dimMax, got: `(${shape})` }
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'rows of a matrix are vectors', details)
  }
  return { rows, dim, ...type }
}

function doubles(read: (bytes: Buffer, at: number) => number, width: number): DecodeRow {
  return (bytes) => Array.from({ length: bytes.length / width }, (_, at) => read(bytes, at * width))
}

const types: ReadonlyMap<string, Pick<Shape, 'width' | 'decode'>> = new Map([
  ['<f4', { width: 4, decode: floatsOf }],
  ['>f4', { width: 4, decode: doubles((bytes, at) => bytes.readFloatBE(at), 4) }],
  ['<f8', { width: 8, decode: doubles((bytes, at) => bytes.readDoubleLE(at), 8) }],
  ['>f8', { width: 8, decode: doubles((bytes, at) => bytes.readDoubleBE(at), 8) }],
])
