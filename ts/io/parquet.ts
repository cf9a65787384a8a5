// Parquet through the packages `hyparquet` and `hyparquet-writer`, a row group at a time.
import { isUtf8 } from 'node:buffer'
import * as zlib from 'node:zlib'
import type * as Reader from 'hyparquet'
import type * as Writer from 'hyparquet-writer'
import { CairnError } from '../errors.js'
import type { BaseType } from '../schema.js'
import type { TableWishes } from './arrow.js'
import { damaged, peer, unsupported } from './faults.js'
import {
  checkChunk,
  checkPages,
  chunkRange,
  pageBytesMax,
  type ReadHeader,
} from './parquet-pages.js'
import type { RawRow, RowBlock, RowReader } from './rows.js'
import type { Sink } from './sink.js'
import { readAt, type OpenSource } from './source.js'
import {
  foreignRow,
  isJsonText,
  layoutOf,
  metadataKey,
  metadataOf,
  readMetadata,
  rowOf,
  TableRows,
  type TableLayout,
} from './table.js'
import type { TransferRecord } from './types.js'

type SchemaElement = Reader.SchemaElement

/** Bytes of vectors in a row group: as JavaScript's numbers, with their levels, they take several times that. */
const groupBytesMax: number = 4 * 1024 * 1024

/** Writes records as row groups. */
export class ParquetWriter {
  readonly #sink: Sink
  readonly #rows: TableRows
  readonly #bytes: Writer.ByteWriter
  readonly #writer: Writer.ParquetWriter

  private constructor(lib: typeof Writer, sink: Sink, wishes: TableWishes) {
    const layout = layoutOf(wishes.schema, wishes.select, wishes.vectors)
    this.#sink = sink
    this.#rows = new TableRows(layout, wishes.chunkRows, groupBytesMax)
    this.#bytes = new lib.ByteWriter()
    this.#writer = new lib.ParquetWriter({
      writer: this.#bytes,
      schema: parquetSchema(layout),
      kvMetadata: [{ key: metadataKey, value: metadataOf(wishes.schema, layout) }],
      createdBy: 'cairndb',
    })
  }

  static async create(sink: Sink, wishes: TableWishes): Promise<ParquetWriter> {
    const lib = await peer('hyparquet-writer', () => import('hyparquet-writer'))
    return new ParquetWriter(lib, sink, wishes)
  }

  async write(record: TransferRecord): Promise<void> {
    this.#rows.add(record)
    if (this.#rows.isFull) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    await this.#writer.finish()
    await this.#send()
  }

  async #flush(): Promise<void> {
    const { rows } = this.#rows
    if (rows === 0) return
    await this.#writer.write({ columnData: columnsOf(this.#rows), rowGroupSize: rows })
    this.#rows.clear()
    await this.#send()
  }

  async #send(): Promise<void> {
    const bytes = this.#bytes.getBytes().slice()
    this.#bytes.index = 0
    await this.#sink.write(bytes)
  }
}

const text = {
  type: 'BYTE_ARRAY',
  converted_type: 'UTF8',
  logical_type: { type: 'STRING' },
} as const
const optional = { repetition_type: 'OPTIONAL' } as const
const required = { repetition_type: 'REQUIRED' } as const

function parquetSchema({ key, vectors, fields, extra }: TableLayout): SchemaElement[] {
  const keyType =
    key.kind === 'u64' ? ({ type: 'INT64', converted_type: 'UINT_64' } as const) : text
  return [
    { name: 'root', num_children: 2 + vectors.length + fields.length },
    { name: key.column, ...keyType, ...required },
    ...vectors.flatMap(({ column, several }) => {
      const number = { name: 'element', type: 'FLOAT', ...required } as const
      return listOf(column, several ? listOf('element', [number], required) : [number])
    }),
    ...fields.flatMap(({ column, base, array }): SchemaElement[] => {
      const type = baseType(base)
      return array
        ? listOf(column, [{ name: 'element', ...type, ...required }])
        : [{ name: column, ...type, ...optional }]
    }),
    { name: extra, ...text, ...optional },
  ]
}

function listOf(
  name: string,
  element: readonly SchemaElement[],
  repetition: typeof optional | typeof required = optional,
): SchemaElement[] {
  const list = { converted_type: 'LIST', logical_type: { type: 'LIST' }, num_children: 1 } as const
  return [
    { name, ...repetition, ...list },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    ...element,
  ]
}

function baseType(base: BaseType): Omit<SchemaElement, 'name'> {
  if (isJsonText(base)) return text
  switch (base) {
    case 'int':
      return { type: 'INT64' }
    case 'float':
      return { type: 'DOUBLE' }
    case 'bool':
      return { type: 'BOOLEAN' }
    case 'date':
      return {
        type: 'INT64',
        converted_type: 'TIMESTAMP_MILLIS',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
      }
    case 'bytes':
      return { type: 'BYTE_ARRAY' }
    default:
      return text
  }
}

function columnsOf(rows: TableRows): Writer.ColumnSource[] {
  const { key, vectors, fields, extra } = rows.layout
  return [
    key.kind === 'u64'
      ? // Bounds of numbers beyond 2^63 would be those of negative ones.
        { name: key.column, data: rows.keys.map(BigInt), statistics: false }
      : { name: key.column, data: rows.keys.map(String) },
    ...vectors.map(({ column, dim, several }, at): Writer.ColumnSource => {
      const data = rows.vectors[at]?.map((row) =>
        row === null ? null : cellsOf(row, dim, several),
      )
      return {
        name: column,
        data: data ?? [],
        encoding: 'PLAIN',
        codec: 'UNCOMPRESSED',
        statistics: false,
      }
    }),
    ...fields.map(({ column, base, array }, at): Writer.ColumnSource => {
      const cell = (value: unknown): unknown =>
        base === 'int' && value !== null ? BigInt(value as number | bigint) : value
      const data = (rows.fields[at] ?? []).map((value) =>
        array && value !== null ? (value as unknown[]).map(cell) : cell(value),
      )
      return { name: column, data }
    }),
    { name: extra, data: rows.extra },
  ]
}

/** The numbers of a row, or those of each of its vectors. */
function cellsOf(row: Float32Array, dim: number, several: boolean): unknown[] {
  if (!several) return Array.from(row)
  const count = row.length / dim
  return Array.from({ length: count }, (_, at) =>
    Array.from(row.subarray(at * dim, (at + 1) * dim)),
  )
}

const magic = Buffer.from('PAR1')

/** Bytes of the metadata of a file. */
const footerBytesMax: number = 64 * 1024 * 1024

/** Bytes of a row group before compression. */
const rowGroupBytesMax: number = 1024 * 1024 * 1024

/** Reads row groups. Their places are at the end, so the source must be a file. */
export async function openParquet({ path, size, isGzip, bytes }: OpenSource): Promise<RowReader> {
  const lib = await peer('hyparquet', () => import('hyparquet'))
  const { parquetHeader } = await import('hyparquet/src/column.js')
  if (path === undefined || size === undefined) {
    throw unsupported('Parquet is read from its end: it needs a path')
  }
  // The first block tells whether it is compressed.
  await bytes[Symbol.asyncIterator]().next()
  if (isGzip()) throw unsupported('Parquet is read from its end: unpack it first', { file: path })
  await checkEnds(path, size)
  const file: Reader.AsyncBuffer = {
    byteLength: size,
    slice: async (start, end = size) => {
      const length = Math.max(0, Math.min(end, size) - start)
      const { buffer, byteOffset } = await readAt(path, start, length)
      return buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer
    },
  }
  const metadata = await decoded(path, () => lib.parquetMetadataAsync(file, { geoparquet: false }))
  await decoded(path, async () => {
    const leaves = leavesOf(lib.parquetSchema(metadata))
    for (const group of metadata.row_groups) {
      checkGroup(group)
      checkPaths(group, leaves)
    }
  })
  const columns = await decoded(path, async () =>
    lib.parquetSchema(metadata).children.map(({ element }) => element.name),
  )
  const entry = metadata.key_value_metadata?.find(({ key }) => key === metadataKey)?.value
  const own = entry === undefined ? undefined : readMetadata(entry)
  return {
    schema: own?.schema,
    async *blocks(from) {
      let first = 0
      for (const group of metadata.row_groups) {
        const rows = Number(group.num_rows)
        const rowStart = first
        first += rows
        if (rows === 0 || first <= from) continue
        await decoded(path, () => checkColumns(path, size, group, parquetHeader))
        const table = await decoded(path, () =>
          readGroup(lib, { file, metadata, columns, rowStart, rowEnd: first }),
        )
        yield new GroupBlock(rowStart, table, columns, own?.layout)
      }
    },
  }
}

/** Reads the rows of one group, each an array of its cells. */
function readGroup(
  lib: typeof Reader,
  what: Pick<Reader.ParquetReadOptions, 'file' | 'metadata' | 'columns' | 'rowStart' | 'rowEnd'>,
): Promise<unknown[][]> {
  return new Promise((resolve, reject) => {
    const options: Reader.ParquetReadOptions = {
      ...what,
      compressors: decompressors(lib),
      parsers: { stringFromBytes: textIn },
      utf8: false,
      geoparquet: false,
      rowFormat: 'array',
      onComplete: resolve,
    }
    lib.parquetRead(options).catch(reject)
  })
}

function decompressors(lib: typeof Reader): Reader.Compressors {
  const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (bytes: Uint8Array) => Buffer }
  const limited = (work: (bytes: Uint8Array, length: number) => Uint8Array) => {
    return (bytes: Uint8Array, length: number): Uint8Array => {
      if (length >= 0 && length <= pageBytesMax) return work(bytes, length)
      const details = { limit: pageBytesMax, got: length }
      throw new CairnError('ERR_LIMIT_EXCEEDED', 'a page of Parquet is too large', details)
    }
  }
  return {
    SNAPPY: limited((bytes, length) => {
      const into = new Uint8Array(length)
      lib.snappyUncompress(bytes, into)
      return into
    }),
    GZIP: limited((bytes, length) => zlib.gunzipSync(bytes, { maxOutputLength: length || 1 })),
    BROTLI: limited((bytes, length) =>
      zlib.brotliDecompressSync(bytes, { maxOutputLength: length || 1 }),
    ),
    ...(zstdDecompressSync === undefined
      ? {}
      : { ZSTD: limited((bytes) => zstdDecompressSync(bytes)) }),
  }
}

class GroupBlock implements RowBlock {
  readonly first: number
  readonly #rows: readonly (readonly unknown[])[]
  readonly #columns: readonly string[]
  readonly #layout: TableLayout | undefined
  readonly #at: ReadonlyMap<string, number>

  constructor(
    first: number,
    rows: readonly (readonly unknown[])[],
    columns: readonly string[],
    layout: TableLayout | undefined,
  ) {
    this.first = first
    this.#rows = rows
    this.#columns = columns
    this.#layout = layout
    this.#at = new Map(columns.map((name, at) => [name, at]))
  }

  get rows(): number {
    return this.#rows.length
  }

  row(index: number): RawRow {
    const cells = this.#rows[index] as readonly unknown[]
    const cell = (name: string): unknown => {
      const at = this.#at.get(name)
      return at === undefined ? null : valueOf(cells[at])
    }
    return this.#layout === undefined ? foreignRow(this.#columns, cell) : rowOf(this.#layout, cell)
  }

  place(): Readonly<Record<string, unknown>> {
    return {}
  }
}

/** A value as a record holds it. */
function valueOf(value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }
  if (Array.isArray(value)) return value.map(valueOf)
  if (value instanceof Date && Number.isNaN(value.getTime())) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a date is out of range')
  }
  if (typeof value !== 'object' || value instanceof Date || ArrayBuffer.isView(value)) return value
  const object = value as Readonly<Record<string, unknown>>
  return foreignRow(Object.keys(object), (name) => valueOf(object[name]))
}

function textIn(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined
  if (!isUtf8(bytes)) throw damaged('a text is not UTF-8')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
}

async function checkEnds(path: string, size: number): Promise<void> {
  const head = await readAt(path, 0, 4)
  const tail = await readAt(path, size - 8, 8)
  const isWhole = size >= 12 && head.equals(magic) && tail.subarray(4).equals(magic)
  const length = tail.length < 8 ? 0 : tail.readUInt32LE(0)
  if (isWhole && length <= Math.min(size - 12, footerBytesMax)) return
  throw damaged('this is no Parquet file, or it is cut short', { file: path, offset: size })
}

/** The columns without children, in the order of the schema. */
function leavesOf(tree: Reader.SchemaTree): Reader.SchemaTree[] {
  return tree.children.length === 0 ? [tree] : tree.children.flatMap(leavesOf)
}

/**
 * Refuses a group whose columns are not those of the schema: the library would begin to read one that nobody waits
 * for, and what it stumbles over there would end the process.
 */
function checkPaths({ columns }: Reader.RowGroup, leaves: readonly Reader.SchemaTree[]): void {
  const isSame =
    columns.length === leaves.length &&
    new Set(leaves.map(({ path }) => JSON.stringify(path))).size === leaves.length &&
    leaves.every(({ path, element }, at) => {
      const chunk = columns[at]?.meta_data
      const own = chunk?.path_in_schema
      return (
        element.type !== undefined &&
        chunk?.type === element.type &&
        own?.length === path.length &&
        path.every((name, depth) => own[depth] === name)
      )
    })
  if (!isSame) throw damaged('the columns of a row group are not those of the schema')
}

/** Refuses a group that cannot be read. */
function checkGroup({ num_rows: rows, columns }: Reader.RowGroup): void {
  let bytes = 0n
  for (const { meta_data: chunk } of columns) {
    if (chunk === undefined) throw unsupported('columns in other files')
    bytes += chunk.total_uncompressed_size
    checkChunk(chunk)
    // A column that is not a list has a value a row.
    if (chunk.num_values < rows) throw damaged('a column has fewer values than rows', { got: rows })
    const codecs = ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'BROTLI']
    if ('zstdDecompressSync' in zlib) codecs.push('ZSTD')
    if (!codecs.includes(chunk.codec)) {
      throw unsupported('a compression that is not read here', {
        expected: codecs.join(' | '),
        got: chunk.codec,
      })
    }
  }
  if (bytes < 0n || bytes > BigInt(rowGroupBytesMax)) {
    const details = { limit: rowGroupBytesMax, got: Number(bytes) }
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'a row group is too large', details)
  }
  // Repeated values take next to nothing, but a key is another one in each row.
  if (rows < 0n || rows > bytes)
    throw damaged('a row group has more rows than bytes', { got: rows })
}

async function checkColumns(
  path: string,
  size: number,
  { columns }: Reader.RowGroup,
  readHeader: ReadHeader,
): Promise<void> {
  for (const { meta_data: chunk } of columns) {
    if (chunk === undefined) continue
    const { start, length } = chunkRange(chunk, size)
    checkPages(await readAt(path, start, length), chunk, readHeader)
  }
}

/** Runs a part of the library that reads foreign bytes: whatever it stumbles over, they are damaged. */
async function decoded<T>(file: string, decode: () => Promise<T>): Promise<T> {
  try {
    return await decode()
  } catch (error) {
    if (error instanceof CairnError) throw error
    throw damaged('the Parquet data cannot be read', { file }, error)
  }
}
