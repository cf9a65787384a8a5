// Records as columns: what Arrow and Parquet share.
//
// A column for the key, one for each vector field, one for each declared field, and one of JSON for everything that
// has no column or does not fit it: fields that are not declared, and `null`, because an empty cell is a field that
// is missing. What the columns are is told under `cairn` in the metadata of the file, with the schema.
import { isObject, isPlainObject } from '../check.js'
import { CairnError } from '../errors.js'
import { limits } from '../limits.js'
import { setOwn } from '../msgpack/decode.js'
import { fitsInt64 } from '../msgpack/encode.js'
import { widthOf, type BaseType, type FieldType, type StoredSchema } from '../schema.js'
import { damaged } from './faults.js'
import { schemaOf } from './jsonl.js'
import type { RawRow } from './rows.js'
import type { TransferRecord } from './types.js'
import { encodeMembers, encodeValue, isSeveral, numbersOf, parseJson } from './values.js'

/** The name of our entry in the metadata of a file. */
export const metadataKey = 'cairn'

/** Rows of a batch or row group. */
const chunkRowsDefault = 4096

/** Bytes of a batch or row group, about. */
const chunkBytesMax: number = 16 * 1024 * 1024

/** The column of a declared field. */
export interface FieldColumn {
  readonly name: string
  readonly column: string
  readonly base: BaseType
  readonly array: boolean
}

/** The column of a vector field. */
export interface VectorColumn {
  readonly name: string
  readonly column: string
  /** Numbers of a vector: of bits a byte each. */
  readonly dim: number
  /** Whether a row has several. */
  readonly several: boolean
}

/** Which column holds what. */
export interface TableLayout {
  readonly key: { readonly column: string; readonly kind: 'string' | 'u64' }
  readonly vectors: readonly VectorColumn[]
  readonly fields: readonly FieldColumn[]
  /** The column of JSON. */
  readonly extra: string
}

/** Columns for the records of a schema, each under a name of its own. */
export function layoutOf(
  schema: StoredSchema,
  select: readonly string[] | false | undefined,
  vectors: boolean | string,
): TableLayout {
  const taken = new Set<string>()
  const free = (name: string): string => {
    let column = name
    for (let n = 2; taken.has(column) || column === ''; n += 1) column = `${name}_${n}`
    taken.add(column)
    return column
  }
  const key = free('key')
  const vectorNames = Object.keys(schema.vectors).filter(
    (name) => vectors === true || vectors === name,
  )
  const vectorColumns = vectorNames.map((name) => ({
    name,
    column: free(name),
    ...(shapeIn(schema, name) ?? { dim: 0, several: false }),
  }))
  const fieldNames = Object.keys(schema.fields).filter((name) =>
    select === undefined ? true : select !== false && select.includes(name),
  )
  const fields = fieldNames.map((name) => ({
    name,
    column: free(name),
    ...kindOf(schema.fields[name] ?? 'json'),
  }))
  return {
    key: { column: key, kind: schema.key },
    vectors: vectorColumns,
    fields,
    extra: free('_extra'),
  }
}

function kindOf(type: FieldType): { base: BaseType; array: boolean } {
  const kind = typeof type === 'string' ? type : type.type
  const array = kind.endsWith('[]')
  return { base: (array ? kind.slice(0, -2) : kind) as BaseType, array }
}

/** Our entry in the metadata of a file. */
export function metadataOf(schema: StoredSchema, layout: TableLayout): string {
  const named = (columns: readonly { name: string; column: string }[]): [string, string][] =>
    columns.map(({ name, column }) => [name, column])
  const columns = {
    key: layout.key.column,
    vectors: named(layout.vectors),
    fields: named(layout.fields),
    extra: layout.extra,
  }
  return encodeValue({ format: 1, schema, columns })
}

/** What {@link metadataOf} wrote. */
export function readMetadata(text: string): { schema: StoredSchema; layout: TableLayout } {
  let entry: unknown
  try {
    entry = parseJson(text)
  } catch (error) {
    throw damaged('the metadata cannot be read', {}, error)
  }
  const schema = schemaOf(entry)
  const { columns } = entry as { columns?: unknown }
  if (!isObject(columns)) throw damaged('the metadata names no columns')
  const { key, vectors, fields, extra } = columns
  return {
    schema,
    layout: {
      key: { column: textIn(key), kind: schema.key },
      vectors: pairsIn(vectors).map(([name, column]) => {
        const shape = shapeIn(schema, name)
        if (shape === undefined)
          throw damaged('the metadata names a vector field of no schema', { field: name })
        return { name, column, ...shape }
      }),
      fields: pairsIn(fields).map(([name, column]) => {
        const kind = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined
        if (kind === undefined)
          throw damaged('the metadata names a field of no schema', { field: name })
        return { name, column, ...kindOf(kind) }
      }),
      extra: textIn(extra),
    },
  }
}

function pairsIn(value: unknown): [string, string][] {
  if (!Array.isArray(value)) throw damaged('the metadata names no columns')
  return value.map((pair: unknown) => {
    const [name, column] = Array.isArray(pair) ? (pair as unknown[]) : []
    return [textIn(name), textIn(column)]
  })
}

function textIn(value: unknown): string {
  if (typeof value !== 'string') throw damaged('the metadata names no column')
  return value
}

/** Records collected column by column, until they are written. */
export class TableRows {
  readonly layout: TableLayout
  readonly #rowsMax: number
  readonly #bytesMax: number
  keys: (string | bigint)[] = []
  /** By vector column; several of a row end to end. */
  vectors: (Float32Array | null)[][] = []
  /** By field column. Values of `geo` and `json` are JSON. */
  fields: unknown[][] = []
  extra: (string | null)[] = []
  #bytes = 0

  constructor(
    layout: TableLayout,
    chunkRows: number | undefined,
    bytesMax: number = chunkBytesMax,
  ) {
    this.#bytesMax = bytesMax
    this.layout = layout
    const rowBytes = layout.vectors.reduce((bytes, { dim }) => bytes + 4 * dim, 1)
    const most = Math.max(1, Math.floor(bytesMax / rowBytes))
    this.#rowsMax = Math.min(chunkRows ?? chunkRowsDefault, most, limits.batchRowsMax)
    this.clear()
  }

  get rows(): number {
    return this.keys.length
  }

  get isFull(): boolean {
    return this.rows >= this.#rowsMax || this.#bytes >= this.#bytesMax
  }

  clear(): void {
    this.keys = []
    this.vectors = this.layout.vectors.map(() => [])
    this.fields = this.layout.fields.map(() => [])
    this.extra = []
    this.#bytes = 0
  }

  /** Takes a record, whole or not at all. */
  add({ key, vectors, fields }: TransferRecord): void {
    const own = this.layout.vectors.map((column) => vectorIn(vectors, column))
    // As many as a row has is not known before it comes.
    for (const [at, { several }] of this.layout.vectors.entries()) {
      if (several) this.#bytes += 4 * (own[at]?.length ?? 0)
    }
    const rest: Record<string, unknown> = { ...fields }
    const values = this.layout.fields.map((field) => {
      const value = Object.hasOwn(fields, field.name) ? fields[field.name] : undefined
      const cell = cellOf(value, field)
      if (cell !== null) delete rest[field.name]
      this.#bytes += bytesOf(cell)
      return cell
    })
    const extra = encodeMembers(rest)
    this.#bytes += extra.length
    this.keys.push(key)
    for (const [at, vector] of own.entries()) this.vectors[at]?.push(vector)
    for (const [at, value] of values.entries()) this.fields[at]?.push(value)
    this.extra.push(extra === '{}' ? null : extra)
  }
}

function shapeIn(
  { vectors }: StoredSchema,
  name: string,
): Pick<VectorColumn, 'dim' | 'several'> | undefined {
  const field = Object.hasOwn(vectors, name) ? vectors[name] : undefined
  return field && { dim: widthOf(field), several: field.type === 'multi' }
}

function vectorIn(
  vectors: TransferRecord['vectors'],
  { name, dim, several }: VectorColumn,
): Float32Array | null {
  const vector = Object.hasOwn(vectors, name) ? vectors[name] : undefined
  if (vector === undefined) return null
  const parts = several && isSeveral(vector) ? vector : [numbersOf(vector, name) ?? []]
  const wrong = parts.find(({ length }) => (several ? length % dim !== 0 : length !== dim))
  if (wrong !== undefined) {
    const details = { field: name, expected: dim, got: wrong.length }
    throw new CairnError('ERR_DIM_MISMATCH', 'a vector has the wrong length', details)
  }
  const [only] = parts
  if (parts.length === 1 && only instanceof Float32Array) return only
  return Float32Array.from(parts.flatMap((part) => Array.from(part)))
}

/** The value in the column of its field; `null` when it has to stand with the others. */
function cellOf(value: unknown, { base, array }: FieldColumn): unknown {
  if (value === undefined || value === null) return null
  if (!array) return fits(value, base) ? toCell(value, base) : null
  if (!Array.isArray(value) || !value.every((item) => fits(item, base))) return null
  return value.map((item: unknown) => toCell(item, base))
}

function fits(value: unknown, base: BaseType): boolean {
  switch (base) {
    case 'keyword':
    case 'text':
      return typeof value === 'string'
    case 'int':
      return typeof value === 'bigint' ? fitsInt64(value) : Number.isSafeInteger(value)
    case 'float':
      return typeof value === 'number'
    case 'bool':
      return typeof value === 'boolean'
    case 'date':
      return value instanceof Date && !Number.isNaN(value.getTime())
    case 'bytes':
      return value instanceof Uint8Array
    case 'geo':
      return isPlainObject(value)
    default:
      return value !== undefined
  }
}

function toCell(value: unknown, base: BaseType): unknown {
  return isJsonText(base) ? encodeValue(value) : value
}

/** Whether a column holds JSON as text. */
export function isJsonText(base: BaseType): boolean {
  return base === 'geo' || base === 'json'
}

function bytesOf(cell: unknown): number {
  if (Array.isArray(cell)) return cell.reduce((bytes: number, item) => bytes + bytesOf(item), 8)
  if (typeof cell === 'string') return cell.length
  return cell instanceof Uint8Array ? cell.length : 8
}

/** A row of a table that we wrote, from what stands in its columns. */
export function rowOf(layout: TableLayout, cell: (column: string) => unknown): RawRow {
  const vectors: Record<string, unknown> = {}
  for (const { name, column } of layout.vectors) setOwn(vectors, name, cell(column))
  const fields: Record<string, unknown> = {}
  for (const { name, column, base, array } of layout.fields) {
    const value = cell(column)
    if (value === null || value === undefined) continue
    const isText = isJsonText(base)
    setOwn(fields, name, isText ? jsonIn(value, array) : value)
  }
  const extra = cell(layout.extra)
  if (extra !== null && extra !== undefined) {
    const rest = jsonIn(extra, false)
    if (!isObject(rest)) throw damaged('the column of other fields holds no object')
    for (const [name, value] of Object.entries(rest)) setOwn(fields, name, value)
  }
  return { key: cell(layout.key.column), vectors, fields }
}

function jsonIn(value: unknown, array: boolean): unknown {
  if (array && Array.isArray(value)) return value.map((item) => jsonIn(item, false))
  try {
    return parseJson(String(value))
  } catch (error) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a column of JSON holds something else', {}, error)
  }
}

/** A row of a table of another program: its columns as they are, empty cells left out. */
export function foreignRow(columns: readonly string[], cell: (column: string) => unknown): RawRow {
  const row: Record<string, unknown> = {}
  for (const column of columns) {
    const value = cell(column)
    if (value !== null && value !== undefined) setOwn(row, column, value)
  }
  return row
}
