// Rows of any source as records of a collection.
import { isObject, isPlainObject, wrong } from '../check.js'
import { CairnError } from '../errors.js'
import type { MultiInput, SparseInput, Vector } from '../infer.js'
import { setOwn } from '../msgpack/decode.js'
import type { BaseType, FieldType, StoredSchema } from '../schema.js'
import type { ImportOptions, TransferRecord } from './types.js'
import { bytesOf, dateOf, isVector } from './values.js'

/** A row as a source has it: columns by name. */
export type RawRow = Readonly<Record<string, unknown>>

/** Some rows of a source. */
export interface RowBlock {
  /** Number of its first row, from 0 over the whole source. */
  readonly first: number
  readonly rows: number
  /** One row, read when it is asked for. @throws {CairnError} if it is wrong. */
  row(index: number): RawRow
  /** Where a row is, as facts of an error. */
  place(index: number): Readonly<Record<string, unknown>>
}

/** A source in one of the formats. */
export interface RowReader {
  /** The structure that the source says it has. */
  readonly schema: StoredSchema | undefined
  /** Blocks of rows. The first may begin before `from`; the reader leaves out what it can. */
  blocks(from: number): AsyncIterable<RowBlock>
}

/** Turns rows into records of one collection. */
export class RowMapping {
  readonly #schema: StoredSchema
  readonly #key: ImportOptions['key']
  readonly #columns: ReadonlyMap<string, string>
  readonly #taken: ReadonlySet<string>

  constructor(schema: StoredSchema, { key, vector }: Pick<ImportOptions, 'key' | 'vector'>) {
    if (key !== undefined && typeof key !== 'string' && typeof key !== 'function') {
      throw wrong('key names a column, or makes a key of a row', 'string | function', key, 'key')
    }
    this.#schema = schema
    this.#key = key
    this.#columns = vectorColumns(schema, vector)
    this.#taken = new Set([
      ...(typeof key === 'function' ? ['key'] : [key ?? 'key']),
      ...this.#columns.keys(),
      'vectors',
      'fields',
    ])
  }

  /** The record of a row. */
  record(row: RawRow): TransferRecord {
    return { key: this.#keyOf(row), vectors: this.#vectorsOf(row), fields: this.#fieldsOf(row) }
  }

  #keyOf(row: RawRow): string | bigint {
    const given = typeof this.#key === 'function' ? this.#key(row) : row[this.#key ?? 'key']
    if (given === undefined || given === null) {
      const details = { expected: 'a column named key, or the option key', columns: named(row) }
      throw new CairnError('ERR_INVALID_KEY', 'a row has no key', details)
    }
    return this.#schema.key === 'u64' ? numberKey(given) : textKey(given)
  }

  #vectorsOf(row: RawRow): Record<string, RowVector> {
    const vectors: Record<string, RowVector> = {}
    const { vectors: byField } = row
    if (isPlainObject(byField)) {
      for (const [field, value] of Object.entries(byField)) this.#vector(vectors, field, value)
    }
    for (const [column, field] of this.#columns) this.#vector(vectors, field, row[column])
    return vectors
  }

  #vector(vectors: Record<string, RowVector>, field: string, value: unknown): void {
    if (value === undefined || value === null) return
    const { vectors: fields } = this.#schema
    const type = Object.hasOwn(fields, field) ? fields[field]?.type : undefined
    if (type === 'sparse' && isPlainObject(value)) setOwn(vectors, field, sparseOf(value))
    else if (type === 'multi') setOwn(vectors, field, multiOf(value, field))
    else setOwn(vectors, field, vectorOf(value, field, type !== 'i8' && type !== 'binary'))
  }

  #fieldsOf(row: RawRow): Record<string, unknown> {
    const fields: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(row)) {
      if (!this.#taken.has(name)) this.#field(fields, name, value)
    }
    const { fields: inner } = row
    if (inner === undefined || inner === null) return fields
    if (!isObject(inner)) throw wrong('fields is an object', 'object', inner, 'fields')
    for (const [name, value] of Object.entries(inner)) this.#field(fields, name, value)
    return fields
  }

  #field(fields: Record<string, unknown>, name: string, given: unknown): void {
    if (given === undefined) return
    const value =
      given instanceof Float32Array || given instanceof Float64Array ? Array.from(given) : given
    const kind = Object.hasOwn(this.#schema.fields, name) ? this.#schema.fields[name] : undefined
    try {
      setOwn(fields, name, kind === undefined ? value : toKind(value, kind))
    } catch (error) {
      if (!(error instanceof CairnError)) throw error
      throw new CairnError(error.code, 'a field has the wrong type', {
        field: name,
        ...error.details,
      })
    }
  }
}

/** Fields by the column that their vectors come from. */
function vectorColumns(
  schema: StoredSchema,
  vector: ImportOptions['vector'],
): ReadonlyMap<string, string> {
  const fields = Object.keys(schema.vectors)
  const [only = ''] = fields
  if (typeof vector === 'string') {
    if (fields.length === 1) return new Map([[vector, only]])
    throw wrong('the schema has several vector fields', fields.join(', '), vector, 'vector')
  }
  const columns = new Map(fields.map((field) => [field, field]))
  if (fields.length === 1) columns.set('vector', only)
  if (vector === undefined) return columns
  if (!isPlainObject(vector)) {
    throw wrong('vector names columns', 'string | { [field]: column }', vector, 'vector')
  }
  for (const [field, column] of Object.entries(vector)) {
    if (!fields.includes(field)) {
      throw wrong('there is no such vector field', fields.join(', '), field, 'vector')
    }
    if (typeof column !== 'string') {
      throw wrong('a column has a name', 'string', column, `vector.${field}`)
    }
    columns.delete(field)
    columns.set(column, field)
  }
  return columns
}

function named(row: RawRow): string {
  return Object.keys(row).slice(0, 8).join(', ')
}

function textKey(given: unknown): string {
  if (typeof given === 'string') return given
  if (typeof given === 'bigint' || Number.isSafeInteger(given)) return String(given)
  throw badKey('string or whole number', given)
}

function numberKey(given: unknown): bigint {
  if (typeof given === 'bigint') return given
  if (Number.isSafeInteger(given)) return BigInt(given as number)
  if (typeof given === 'string' && /^\d{1,20}$/.test(given)) return BigInt(given)
  throw badKey('whole number from 0 to 2^64 - 1', given)
}

function badKey(expected: string, given: unknown): CairnError {
  const { details } = wrong('', expected, given)
  return new CairnError('ERR_INVALID_KEY', 'a key has the wrong type', details)
}

/** A vector of a row. */
type RowVector = Float32Array | readonly number[] | SparseInput | MultiInput

/** Parts of a sparse vector; what is wrong with them is for the write to refuse. */
function sparseOf({ indices, values }: Readonly<Record<string, unknown>>): SparseInput {
  return {
    indices: vectorOf(indices, 'indices', false),
    values: vectorOf(values, 'values', true),
  } as SparseInput
}

/** Several vectors, each by itself or all of them end to end; what is wrong with them is for the write to refuse. */
function multiOf(value: unknown, field: string): RowVector {
  if (Array.isArray(value) && isVector(value[0])) {
    return value.map((part: unknown) => vectorOf(part, field, true))
  }
  const all = vectorOf(value, field, true)
  const isRight = Array.isArray(all) && all.every((part) => typeof part === 'number')
  return isRight ? Float32Array.from(all) : all
}

function vectorOf(value: unknown, field: string, isOfFloats: boolean): Vector {
  if (value instanceof Float32Array && isOfFloats) return value
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return Array.from(value as unknown as ArrayLike<number | bigint>, Number)
  }
  if (!Array.isArray(value)) throw wrong('a vector is an array of numbers', 'array', value, field)
  // An integer beyond 2^53 was read exactly; as a component it is a float all the same.
  return value.some((part) => typeof part === 'bigint')
    ? value.map((part: unknown) => (typeof part === 'bigint' ? Number(part) : (part as number)))
    : value
}

/** A value of a plain source as the declared type has it; what does not fit is left for the write to refuse. */
function toKind(value: unknown, type: FieldType): unknown {
  const kind = typeof type === 'string' ? type : type.type
  if (value === null) return null
  if (!kind.endsWith('[]')) return toBase(value, kind as BaseType)
  const base = kind.slice(0, -2) as BaseType
  return Array.isArray(value) ? value.map((item) => toBase(item, base)) : value
}

function toBase(value: unknown, base: BaseType): unknown {
  switch (base) {
    case 'date':
      return typeof value === 'string' || typeof value === 'number' ? dateOf(value) : value
    case 'bytes':
      return typeof value === 'string' ? bytesOf(value) : value
    case 'float':
      return typeof value === 'bigint' ? Number(value) : value
    default:
      return value
  }
}
