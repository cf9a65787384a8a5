// Records of one pinned version, in the order of their keys, into a file or a stream.
import {
  callback,
  checkSignal,
  isPlainObject,
  notYet,
  optionsOf,
  wholeNumber,
  wrong,
} from '../check.js'
import type { Collection } from '../collection.js'
import { CairnError, checked, withDetails } from '../errors.js'
import type { Filter } from '../filter.js'
import type { AnyVector } from '../infer.js'
import { limits } from '../limits.js'
import { checkPath } from '../options.js'
import type { Schema, StoredSchema, VectorType } from '../schema.js'
import { throwIfAborted } from '../signal.js'
import type { StoredRecord } from '../types.js'
import { ArrowWriter } from './arrow.js'
import { formatOf, isGzipName } from './format.js'
import { JsonlWriter } from './jsonl.js'
import { KeysWriter } from './keys-file.js'
import { matrixField } from './matrix.js'
import { NpyWriter } from './npy.js'
import { ParquetWriter } from './parquet.js'
import { FileSink, GzipSink, StreamSink, type Sink } from './sink.js'
import type {
  ByteTarget,
  ExportOptions,
  ExportResult,
  Format,
  TransferRecord,
  Transform,
} from './types.js'
import { VecsWriter } from './vecs.js'

/** Records between two reports. */
const progressRows = 1000

const optionNames = new Set([
  'format',
  'select',
  'vectors',
  'after',
  'limit',
  'transform',
  'chunkRows',
  'onProgress',
  'signal',
  'filter',
  'at',
])

/** Takes records in the form of one format. */
export interface RecordWriter {
  write(record: TransferRecord): Promise<void>
  end(): Promise<void>
  /** Nothing of what it made beside the target counts. */
  abort?(): Promise<void>
}

/**
 * Writes the records of one version of a collection, in the order of their keys.
 *
 * A path is written beside itself and gets its name at the end: it is there whole or as it was before. A name
 * that ends in `.gz` is compressed (not Parquet, nor a matrix). A stream is ended.
 *
 * @param target - A path, or a Writable; Parquet and matrices with several fields need a path.
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_UNSUPPORTED_FORMAT` where a package is not installed,
 * `ERR_NO_SPACE`, `ERR_IO`, `ERR_ABORTED`, and those of `scan`.
 */
export async function exportTo<S extends Schema>(
  collection: Collection<S>,
  target: string | ByteTarget,
  options?: ExportOptions,
): Promise<ExportResult> {
  const source = collection as unknown as Collection
  const wishes = checked(() => readOptions(source.schema, target, options))
  throwIfAborted(wishes.signal)
  const sink = await openSink(target, wishes.signal)
  try {
    return await run(source, wishes, sink)
  } catch (error) {
    await sink.abort()
    throw error
  }
}

/** What an export was asked for. */
export interface ExportWishes {
  readonly format: Format
  readonly path: string | undefined
  readonly gzip: boolean
  readonly schema: StoredSchema
  readonly select: readonly string[] | false | undefined
  readonly vectors: boolean | string
  readonly filter: Filter | undefined
  readonly after: string | undefined
  readonly limit: number | undefined
  readonly transform: Transform | undefined
  readonly chunkRows: number | undefined
  readonly onProgress: ExportOptions['onProgress']
  readonly signal: AbortSignal | undefined
}

async function run(
  collection: Collection,
  wishes: ExportWishes,
  target: Sink,
): Promise<ExportResult> {
  const { filter, after, limit, select, vectors, transform, signal, onProgress } = wishes
  const wanted = { filter, after, limit, select, vectors: vectors !== false, signal }
  const scan = collection.scan(wanted)
  const sink = wishes.gzip ? new GzipSink(target) : target
  let writer: RecordWriter | undefined
  try {
    writer = await openWriter(sink, wishes)
    let rows = 0
    let version = 0n
    for await (const stored of scan) {
      throwIfAborted(signal)
      if (stored.version > version) version = stored.version
      const record = toRecord(stored, wishes)
      const changed = transform === undefined ? record : transformed(transform, record)
      if (changed === null) continue
      await written(writer, changed)
      rows += 1
      if (rows % progressRows === 0) onProgress?.({ rows, bytes: sink.bytes })
    }
    await writer.end()
    throwIfAborted(signal)
    await sink.end()
    onProgress?.({ rows, bytes: sink.bytes })
    return { rows, bytes: sink.bytes, version, cursor: scan.cursor }
  } catch (error) {
    await scan.return?.()
    await writer?.abort?.()
    if (sink !== target) await sink.abort()
    throw error
  }
}

async function written(writer: RecordWriter, record: TransferRecord): Promise<void> {
  try {
    await writer.write(record)
  } catch (error) {
    throw error instanceof CairnError ? withDetails(error, { key: record.key }) : error
  }
}

async function openWriter(sink: Sink, wishes: ExportWishes): Promise<RecordWriter> {
  const { format, path, schema, vectors } = wishes
  switch (format) {
    case 'arrow':
    case 'arrow-stream':
      return ArrowWriter.create(sink, format === 'arrow', wishes)
    case 'npy': {
      if (!(sink instanceof FileSink)) {
        const expected = 'path without .gz'
        throw wrong('the number of rows stands before them', expected, path, 'target')
      }
      const field = matrixField(schema, vectors)
      return new NpyWriter(sink, field, await KeysWriter.create(path))
    }
    case 'fvecs':
    case 'bvecs':
    case 'ivecs': {
      const field = matrixField(schema, vectors)
      return new VecsWriter(sink, format, field, await KeysWriter.create(path))
    }
    case 'parquet':
      if (sink instanceof GzipSink) {
        throw wrong('Parquet is compressed within', 'name without .gz', path, 'target')
      }
      return ParquetWriter.create(sink, wishes)
    default:
      return new JsonlWriter(sink, schema)
  }
}

async function openSink(
  target: string | ByteTarget,
  signal: AbortSignal | undefined,
): Promise<Sink> {
  if (typeof target === 'string') return FileSink.create(checkPath(target, 'target'))
  return new StreamSink(target, signal)
}

function toRecord(
  stored: StoredRecord<Schema, undefined, boolean>,
  { vectors: wanted }: ExportWishes,
): TransferRecord {
  const { key, fields } = stored
  const { vectors = {} } = stored as { vectors?: Readonly<Record<string, AnyVector>> }
  if (typeof wanted !== 'string') return { key, vectors, fields }
  const vector = Object.hasOwn(vectors, wanted) ? vectors[wanted] : undefined
  return { key, vectors: vector === undefined ? {} : { [wanted]: vector }, fields }
}

/** What a transform gives, or `null`. What it throws is the caller's own. */
export function transformed(transform: Transform, record: TransferRecord): TransferRecord | null {
  const changed: unknown = transform(record)
  if (changed === null) return null
  if (
    !isPlainObject(changed) ||
    !isPlainObject(changed['vectors']) ||
    !isPlainObject(changed['fields'])
  ) {
    const expected = '{ key, vectors, fields } | null'
    throw wrong('a transform gives a record or null', expected, changed, 'transform')
  }
  return changed as unknown as TransferRecord
}

function readOptions(
  schema: StoredSchema,
  target: string | ByteTarget,
  options: ExportOptions | undefined,
): ExportWishes {
  const given = optionsOf<ExportOptions & { at?: unknown }>(options, optionNames, 'export options')
  if (given.at !== undefined) throw notYet('at')
  const path = pathOf(target)
  const format = formatOf(given.format, path)
  const wanted = vectorsOf(given.vectors, schema)
  refuseUneven(format, wanted, schema)
  return {
    format,
    path,
    gzip: isGzipName(path),
    schema,
    select: given.select,
    vectors: wanted,
    filter: given.filter,
    after: given.after,
    limit: given.limit,
    transform: callback(given.transform, 'transform'),
    chunkRows:
      given.chunkRows === undefined
        ? undefined
        : wholeNumber(given.chunkRows, 'chunkRows', 1, limits.batchRowsMax),
    onProgress: callback(given.onProgress, 'onProgress'),
    signal: checkSignal(given.signal),
  }
}

/** Columns and matrices have a place for each component, and a matrix has one vector a record. */
function refuseUneven(format: Format, wanted: boolean | string, { vectors }: StoredSchema): void {
  if (format === 'jsonl' || wanted === false) return
  const names = typeof wanted === 'string' ? [wanted] : Object.keys(vectors)
  const has = (type: VectorType): boolean => names.some((name) => vectors[name]?.type === type)
  if (has('sparse'))
    throw wrong('sparse vectors are written as JSON lines alone', 'jsonl', format, 'format')
  // Of several fields the matrix itself asks for one.
  const isMatrix = !format.startsWith('arrow') && format !== 'parquet' && names.length === 1
  if (isMatrix && has('multi'))
    throw wrong('a matrix has one vector a record', 'jsonl | arrow | parquet', format, 'format')
}

function pathOf(target: unknown): string | undefined {
  if (typeof target === 'string' && target !== '') return target
  const { write, end, on } = Object(target) as Partial<ByteTarget>
  if (typeof write === 'function' && typeof end === 'function' && typeof on === 'function') {
    return undefined
  }
  throw wrong('not a path or a stream', 'path | Writable', target, 'target')
}

function vectorsOf(vectors: unknown, schema: StoredSchema): boolean | string {
  if (vectors === undefined || typeof vectors === 'boolean') return vectors ?? true
  if (typeof vectors === 'string' && Object.hasOwn(schema.vectors, vectors)) return vectors
  const expected = `boolean | ${Object.keys(schema.vectors).join(' | ')}`
  throw wrong('there is no such vector field', expected, vectors, 'vectors')
}
