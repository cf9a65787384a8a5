// Arrow IPC, file and stream, through the package `apache-arrow`.
import type * as Arrow from 'apache-arrow'
import { CairnError } from '../errors.js'
import type { BaseType, StoredSchema } from '../schema.js'
import { checkColumn, checkType, valueAt } from './arrow-values.js'
import { damaged, peer, unsupported } from './faults.js'
import { checkMessage, messageTypes, schemaOfFooter } from './flatbuffer.js'
import type { RawRow, RowBlock, RowReader } from './rows.js'
import type { Sink } from './sink.js'
import { ByteReader, readAt, type OpenSource } from './source.js'
import {
  foreignRow,
  isJsonText,
  layoutOf,
  metadataKey,
  metadataOf,
  readMetadata,
  rowOf,
  TableRows,
  type FieldColumn,
  type TableLayout,
  type VectorColumn,
} from './table.js'
import type { ExportOptions, TransferRecord } from './types.js'

type Lib = typeof Arrow

const load = (): Promise<Lib> => peer('apache-arrow', () => import('apache-arrow'))

/** Settings of a table that is written. */
export interface TableWishes extends Pick<ExportOptions, 'select' | 'chunkRows'> {
  readonly schema: StoredSchema
  readonly vectors: boolean | string
}

/** Writes records as batches. */
export class ArrowWriter {
  readonly #lib: Lib
  readonly #sink: Sink
  readonly #rows: TableRows
  readonly #schema: Arrow.Schema
  readonly #writer: Arrow.RecordBatchWriter
  #parts: Uint8Array[] = []

  private constructor(lib: Lib, sink: Sink, isFile: boolean, wishes: TableWishes) {
    const layout = layoutOf(wishes.schema, wishes.select, wishes.vectors)
    this.#lib = lib
    this.#sink = sink
    this.#rows = new TableRows(layout, wishes.chunkRows)
    this.#schema = arrowSchema(lib, layout, metadataOf(wishes.schema, layout))
    this.#writer = isFile ? fileWriter(lib) : new lib.RecordBatchStreamWriter()
    const queue = new lib.AsyncByteQueue()
    // What would queue up for a reader is taken at once instead.
    queue.write = (bytes) => void this.#parts.push(lib.util.toUint8Array(bytes))
    this.#writer.reset(queue as never, this.#schema)
  }

  static async create(sink: Sink, isFile: boolean, wishes: TableWishes): Promise<ArrowWriter> {
    return new ArrowWriter(await load(), sink, isFile, wishes)
  }

  async write(record: TransferRecord): Promise<void> {
    this.#rows.add(record)
    if (this.#rows.isFull) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    this.#writer.finish()
    await this.#send()
  }

  async #flush(): Promise<void> {
    if (this.#rows.rows > 0) this.#writer.write(batchOf(this.#lib, this.#schema, this.#rows))
    this.#rows.clear()
    await this.#send()
  }

  async #send(): Promise<void> {
    const parts = this.#parts
    this.#parts = []
    for (const bytes of parts) await this.#sink.write(bytes)
  }
}

/** Writes a file with its schema in front, too, as the format wants it: the library's own has it at the end only. */
function fileWriter(lib: Lib): Arrow.RecordBatchWriter {
  class FileWriter extends lib.RecordBatchFileWriter {
    protected override _writeSchema(schema: Arrow.Schema): this {
      super._writeSchema(schema)
      return this._writeMessage(lib.Message.from(schema))
    }
  }
  return new FileWriter()
}

function arrowSchema(lib: Lib, layout: TableLayout, metadata: string): Arrow.Schema {
  const keyType = layout.key.kind === 'u64' ? new lib.Uint64() : new lib.Utf8()
  const fields: Arrow.Field[] = [
    new lib.Field(layout.key.column, keyType, false),
    ...layout.vectors.map((field) => new lib.Field(field.column, columnType(lib, field), true)),
    ...layout.fields.map((field) => new lib.Field(field.column, fieldType(lib, field), true)),
    new lib.Field(layout.extra, new lib.Utf8(), true),
  ]
  return new lib.Schema(fields, new Map([[metadataKey, metadata]]))
}

function vectorType(lib: Lib, dim: number): Arrow.FixedSizeList<Arrow.Float32> {
  return new lib.FixedSizeList(dim, new lib.Field('item', new lib.Float32(), false))
}

function columnType(lib: Lib, { dim, several }: VectorColumn): Arrow.DataType {
  const type = vectorType(lib, dim)
  return several ? new lib.List(new lib.Field('item', type, false)) : type
}

function fieldType(lib: Lib, { base, array }: FieldColumn): Arrow.DataType {
  const type = baseType(lib, base)
  return array ? new lib.List(new lib.Field('item', type, true)) : type
}

function baseType(lib: Lib, base: BaseType): Arrow.DataType {
  if (isJsonText(base)) return new lib.Utf8()
  switch (base) {
    case 'int':
      return new lib.Int64()
    case 'float':
      return new lib.Float64()
    case 'bool':
      return new lib.Bool()
    case 'date':
      return new lib.TimestampMillisecond('UTC')
    case 'bytes':
      return new lib.Binary()
    default:
      return new lib.Utf8()
  }
}

function batchOf(lib: Lib, schema: Arrow.Schema, rows: TableRows): Arrow.RecordBatch {
  const { layout } = rows
  const keys =
    layout.key.kind === 'u64'
      ? lib.makeData({ type: new lib.Uint64(), data: BigUint64Array.from(rows.keys, BigInt) })
      : baseData(lib, 'text', rows.keys.map(String))
  const children = [
    keys,
    ...layout.vectors.map((field, at) => columnData(lib, field, rows.vectors[at] ?? [])),
    ...layout.fields.map((field, at) => fieldData(lib, field, rows.fields[at] ?? [])),
    baseData(lib, 'text', rows.extra),
  ]
  const type = new lib.Struct(schema.fields)
  const data = lib.makeData({ type, length: rows.rows, nullCount: 0, children })
  return new lib.RecordBatch(schema, data as never)
}

function columnData(
  lib: Lib,
  field: VectorColumn,
  rows: readonly (Float32Array | null)[],
): Arrow.Data {
  const { dim, several } = field
  if (!several) return vectorData(lib, dim, rows)
  const each = rows.flatMap((row) => {
    const count = (row?.length ?? 0) / dim
    return Array.from({ length: count }, (_, at) => row?.subarray(at * dim, (at + 1) * dim) ?? null)
  })
  const valueOffsets = new Int32Array(rows.length + 1)
  for (const [at, row] of rows.entries()) {
    valueOffsets[at + 1] = (valueOffsets[at] ?? 0) + (row?.length ?? 0) / dim
  }
  const type = columnType(lib, field) as Arrow.List
  const child = vectorData(lib, dim, each)
  return lib.makeData({ type, length: rows.length, ...nulls(rows), valueOffsets, child })
}

function vectorData(lib: Lib, dim: number, vectors: readonly (Float32Array | null)[]): Arrow.Data {
  const floats = new Float32Array(dim * vectors.length)
  for (const [row, vector] of vectors.entries()) if (vector !== null) floats.set(vector, row * dim)
  const child = lib.makeData({ type: new lib.Float32(), data: floats })
  const type = vectorType(lib, dim)
  return lib.makeData({ type, length: vectors.length, ...nulls(vectors), child })
}

function fieldData(lib: Lib, field: FieldColumn, values: readonly unknown[]): Arrow.Data {
  if (!field.array) return baseData(lib, field.base, values)
  const lists = values as readonly (readonly unknown[] | null)[]
  const valueOffsets = new Int32Array(lists.length + 1)
  for (const [row, list] of lists.entries()) {
    valueOffsets[row + 1] = (valueOffsets[row] ?? 0) + (list?.length ?? 0)
  }
  const child = baseData(
    lib,
    field.base,
    lists.flatMap((list) => list ?? []),
  )
  const type = fieldType(lib, field) as Arrow.List
  return lib.makeData({ type, length: lists.length, ...nulls(lists), valueOffsets, child })
}

function baseData(lib: Lib, base: BaseType, values: readonly unknown[]): Arrow.Data {
  const common = { length: values.length, ...nulls(values) }
  const type = baseType(lib, base)
  switch (isJsonText(base) ? 'text' : base) {
    case 'int':
      return lib.makeData({ type: type as Arrow.Int64, ...common, data: longs(values) })
    case 'date':
      return lib.makeData({
        type: type as Arrow.TimestampMillisecond,
        ...common,
        data: longs(values.map((value) => (value === null ? 0 : (value as Date).getTime()))),
      })
    case 'float': {
      const data = Float64Array.from(values, (value) => (value as number | null) ?? 0)
      return lib.makeData({ type: type as Arrow.Float64, ...common, data })
    }
    case 'bool':
      return lib.makeData({ type: type as Arrow.Bool, ...common, data: bits(values, true) })
    default:
      return lib.makeData({ type: type as Arrow.Utf8, ...common, ...blobs(values) })
  }
}

function longs(values: readonly unknown[]): BigInt64Array {
  return BigInt64Array.from(values, (value) => BigInt((value as number | bigint | null) ?? 0))
}

function blobs(values: readonly unknown[]): { valueOffsets: Int32Array; data: Uint8Array } {
  const valueOffsets = new Int32Array(values.length + 1)
  const parts = values.map((value, row) => {
    const bytes = value instanceof Uint8Array ? value : Buffer.from((value as string | null) ?? '')
    valueOffsets[row + 1] = (valueOffsets[row] ?? 0) + bytes.length
    return bytes
  })
  return { valueOffsets, data: Buffer.concat(parts) }
}

function nulls(values: readonly unknown[]): {
  nullCount: number
  nullBitmap: Uint8Array | undefined
} {
  const nullCount = values.reduce<number>((count, value) => count + Number(value === null), 0)
  if (nullCount === 0) return { nullCount, nullBitmap: undefined }
  return {
    nullCount,
    nullBitmap: bits(
      values.map((value) => value !== null),
      true,
    ),
  }
}

/** A bit for each value, set where it is `what`; least bit first. */
function bits(values: readonly unknown[], what: unknown): Uint8Array {
  const bytes = new Uint8Array(8 * Math.ceil(values.length / 64))
  for (const [at, value] of values.entries()) {
    if (value === what) bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (1 << (at & 7))
  }
  return bytes
}

const magic = Buffer.from('ARROW1')

/** Bytes of the metadata of one message. */
const metadataBytesMax: number = 16 * 1024 * 1024

/** Bytes of the body of one message. */
const bodyBytesMax: number = 1024 * 1024 * 1024

/** Reads batches, of a file or a stream. A file is read from front to end, like a stream. */
export async function openArrow(source: OpenSource): Promise<RowReader> {
  const lib = await load()
  const messages = messagesOf(source.bytes)
  const { value: first } = await messages.next()
  const isInFront = first?.type === messageTypes.schema
  const head = isInFront ? first.bytes : await schemaAtEnd(source)
  const rest = isInFront || first === undefined ? messages : withFirst(first, messages)
  const { schema } = decoded(() => lib.tableFromIPC(joined([head, endOfStream])))
  decoded(() => {
    for (const { name, type } of schema.fields) checkType(name, type)
  })
  const entry = schema.metadata.get(metadataKey)
  const own = entry === undefined ? undefined : readMetadata(entry)
  return { schema: own?.schema, blocks: () => batchesOf(lib, head, rest, own?.layout) }
}

async function* withFirst(
  first: RawMessage,
  rest: AsyncIterable<RawMessage>,
): AsyncGenerator<RawMessage> {
  yield first
  yield* rest
}

/** The schema message of a file that has its schema in the footer only, as files of the library's do. */
async function schemaAtEnd({ path, size, isGzip }: OpenSource): Promise<Uint8Array> {
  if (path === undefined || size === undefined || isGzip()) {
    throw unsupported('the schema of this Arrow file is at its end: it needs a path')
  }
  const tailBytes = magic.length + 4
  const tail = await readAt(path, size - tailBytes, tailBytes)
  const length = tail.length < tailBytes ? -1 : tail.readInt32LE(0)
  if (length < 0 || length > Math.min(metadataBytesMax, size) || !tail.subarray(4).equals(magic)) {
    throw damaged('the file is cut short', { file: path, offset: size })
  }
  const footer = await readAt(path, size - tailBytes - length, length)
  return schemaOfFooter(footer)
}

/**
 * Batches one by one, each decoded as a stream of its own: the schema, the dictionaries of now, the batch. So nothing
 * is kept of those before.
 */
async function* batchesOf(
  lib: Lib,
  schema: Uint8Array,
  messages: AsyncIterable<RawMessage>,
  layout: TableLayout | undefined,
): AsyncGenerator<RowBlock> {
  const dictionaries = new Map<number, Uint8Array[]>()
  let kept = 0
  let first = 0
  for await (const { type, metadata, bytes } of messages) {
    if (type === messageTypes.dictionary) {
      const { id, isDelta } = decoded(
        () => lib.Message.decode(metadata).header() as unknown as { id: number; isDelta: boolean },
      )
      const before = isDelta ? (dictionaries.get(id) ?? []) : []
      dictionaries.set(id, [...before, bytes])
      kept += bytes.length
      if (kept > 2 * bodyBytesMax) {
        const details = { limit: 2 * bodyBytesMax }
        throw new CairnError('ERR_LIMIT_EXCEEDED', 'dictionaries are too large', details)
      }
    } else if (type === messageTypes.batch) {
      const parts = [schema, ...[...dictionaries.values()].flat(), bytes, endOfStream]
      const batches = decoded(() => {
        const table = lib.tableFromIPC(joined(parts))
        for (const { data } of table.batches) {
          for (const column of data.children) checkColumn(column)
        }
        return table.batches
      })
      for (const batch of batches) {
        yield new BatchBlock(first, batch, layout)
        first += batch.numRows
      }
    } else {
      throw damaged('a second schema')
    }
  }
}

/** Bytes of a stream, in memory that is aligned as columns want it. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

class BatchBlock implements RowBlock {
  readonly first: number
  readonly rows: number
  readonly #layout: TableLayout | undefined
  readonly #names: readonly string[]
  readonly #columns: ReadonlyMap<string, Arrow.Data>

  constructor(first: number, batch: Arrow.RecordBatch, layout: TableLayout | undefined) {
    this.first = first
    this.rows = batch.numRows
    this.#layout = layout
    this.#names = batch.schema.names.map(String)
    this.#columns = new Map(
      this.#names.map((name, at) => [name, batch.data.children[at] as Arrow.Data]),
    )
  }

  row(index: number): RawRow {
    const cell = (name: string): unknown => {
      const column = this.#columns.get(name)
      return column === undefined ? null : valueAt(column, index)
    }
    return decoded(() =>
      this.#layout === undefined ? foreignRow(this.#names, cell) : rowOf(this.#layout, cell),
    )
  }

  place(): Readonly<Record<string, unknown>> {
    return {}
  }
}

/** A message as it stands in the source. */
interface RawMessage {
  readonly type: number
  readonly metadata: Buffer
  /** All of it: its length, metadata and body. */
  readonly bytes: Buffer
}

/**
 * The messages of a stream or file, checked before memory is taken for them. A file is a stream between a magic
 * number and a footer, so both are read the same way.
 */
async function* messagesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<RawMessage> {
  const reader = new ByteReader(bytes)
  const head = await reader.must(8, 'the first message')
  const isFile = head.subarray(0, 6).equals(magic)
  let pending = isFile ? Buffer.alloc(0) : head
  for (;;) {
    const offset = reader.offset - pending.length
    const prefix = await lengthOf(reader, pending)
    pending = Buffer.alloc(0)
    if (prefix.length === 0) break
    const { length, bytes: start } = prefix
    if (length < 0 || length > metadataBytesMax) {
      throw damaged('the length of a message is wrong', { offset, got: length })
    }
    const metadata = await reader.must(length, 'the metadata of a message')
    const { type, bodyLength } = checkMessage(metadata)
    if (bodyLength > bodyBytesMax) {
      const details = { offset, limit: bodyBytesMax, got: bodyLength }
      throw new CairnError('ERR_LIMIT_EXCEEDED', 'a batch is too large', details)
    }
    const body = await reader.must(bodyLength, 'the body of a message')
    yield { type, metadata, bytes: Buffer.concat([start, metadata, body]) }
  }
  if (isFile) await checkFooter(reader)
}

const endOfStream = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])

/** The length of the next message and the bytes that hold it; 0 at the end. */
async function lengthOf(
  reader: ByteReader,
  given: Buffer,
): Promise<{ readonly length: number; readonly bytes: Buffer }> {
  const all = given.length > 0 ? given : await reader.take(4, 'the length of a message')
  // Streams of old end without a mark.
  if (all === undefined)
    throw damaged('the source ends before its end is marked', { offset: reader.offset })
  const first = all.readInt32LE(0)
  if (first !== -1) {
    if (all.length === 4) return { length: first, bytes: all }
    throw unsupported('a stream of a version of Arrow before 0.15', {})
  }
  const bytes =
    all.length === 8 ? all : Buffer.concat([all, await reader.must(4, 'the length of a message')])
  return { length: bytes.readInt32LE(4), bytes }
}

/** What is behind the last message of a file ends with the magic number, or the file was cut. */
async function checkFooter(reader: ByteReader): Promise<void> {
  let tail: Buffer = Buffer.alloc(0)
  for (;;) {
    const next = await reader.some()
    if (next === undefined) break
    tail = Buffer.concat([tail, next]).subarray(-magic.length)
  }
  if (!tail.equals(magic)) throw damaged('the file is cut short', { offset: reader.offset })
}

/** Runs a part of the library that reads foreign bytes: whatever it stumbles over, they are damaged. */
function decoded<T>(decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (error instanceof CairnError) throw error
    throw damaged('the Arrow data cannot be read', {}, error)
  }
}
