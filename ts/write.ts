// Rows and columns of a write, turned into one batch for the addon.
//
// A row is read once and written straight into the batch's blocks: keys, one matrix for each vector
// field, fields. Nothing is made for a row, so that a batch of a thousand leaves the collector little to do.
import { Buffer } from 'node:buffer'
import { types } from 'node:util'
import {
  isObject,
  isPlainObject,
  oneOf,
  refuseUnknown,
  refuseUnsafeMemory,
  wrong,
} from './check.js'
import { atCaller, CairnError, toCairnError, withDetails, type ErrorDetails } from './errors.js'
import { toNativeFilter } from './filter.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'
import type { BindingKeys } from './native/binding.js'
import { toColumn, toKeyNumber, writeKey } from './native/to-native.js'
import { PayloadEncoder } from './payload.js'
import type { SchemaShape } from './schema.js'
import type { UpdateOptions } from './types.js'
import { Workspace, checkBytes, checkRows } from './workspace.js'

/** Which write: `vectors` may be missing in an update. */
export type WriteKind = 'add' | 'upsert' | 'update'

/** A batch as the addon takes it. Its memory is used again after the call. */
export interface NativeBatch {
  readonly keys: BindingKeys
  readonly keyEnds: Uint32Array
  readonly vectors: (Float32Array | null)[]
  readonly present: (Uint8Array | null)[]
  readonly payload: Uint8Array | null
  readonly payloadEnds: Uint32Array | null
}

/** A batch of keys alone. */
export const nothingBut: Omit<NativeBatch, 'keys' | 'keyEnds'> = {
  vectors: [],
  present: [],
  payload: null,
  payloadEnds: null,
}

const rowNames = new Set(['key', 'vector', 'vectors', 'fields'])
const columnNames = new Set(['keys', 'vectors', 'fields'])

/** Encodes the writes of one collection. */
export class BatchEncoder {
  readonly #shape: SchemaShape
  readonly #payload: PayloadEncoder
  readonly #vectorNames: ReadonlySet<string>
  readonly #vectorList: string
  readonly #idle: Workspace[] = []

  constructor(shape: SchemaShape) {
    this.#shape = shape
    this.#payload = new PayloadEncoder(shape)
    this.#vectorNames = new Set(shape.vectors.map(({ name }) => name))
    this.#vectorList = [...this.#vectorNames].join(', ')
  }

  /**
   * Encodes what a user gave, hands it to `use`, and gives what that gives.
   *
   * A getter of the user's may call the database again in the middle; then that call has a
   * workspace of its own.
   */
  encode<T>(kind: WriteKind, given: unknown, use: (batch: NativeBatch) => T): T {
    return this.#work((work) => use(this.#batch(kind, given, work)))
  }

  /** Encodes the fields that many records get. */
  encodeFields<T>(fields: unknown, use: (payload: Uint8Array) => T): T {
    return this.#work((work) => {
      if (!isPlainObject(fields)) throw wrong('fields must be a plain object', 'object', fields)
      this.#payload.encode(work.payload, fields)
      return use(work.payload.written())
    })
  }

  /** Encodes keys alone, one or many. */
  encodeKeys<T>(given: unknown, use: (keys: BindingKeys, ends: Uint32Array) => T): T {
    return this.#work((work) => {
      if (types.isBigUint64Array(given)) {
        const numbers = this.#numberColumn(given)
        if (numbers !== undefined) return use(numbers, work.keyEnds)
      }
      this.#keys(types.isBigUint64Array(given) || Array.isArray(given) ? given : [given], work)
      return use(work.keys(this.#shape.key), work.keyEnds)
    })
  }

  #work<T>(use: (work: Workspace) => T): T {
    const work = this.#idle.pop() ?? new Workspace(this.#shape.vectors)
    try {
      return use(work)
    } catch (error) {
      // oxlint-disable-next-line typescript/unbound-method -- it is not called
      throw atCaller(toCairnError(error), this.#work)
    } finally {
      work.clear()
      this.#idle.push(work)
    }
  }

  #batch(kind: WriteKind, given: unknown, work: Workspace): NativeBatch {
    if (Array.isArray(given)) return this.#rows(kind, given, work)
    if (!isObject(given) || ArrayBuffer.isView(given)) {
      const expected = '{ key, ... } | [...] | { keys, ... }'
      throw wrong('not a row, an array of rows, or columns', expected, given)
    }
    if (Object.hasOwn(given, 'keys') && !Object.hasOwn(given, 'key')) {
      return this.#columns(kind, given, work)
    }
    return this.#rows(kind, [given], work)
  }

  #rows(kind: WriteKind, rows: readonly unknown[], work: Workspace): NativeBatch {
    const count = rows.length
    work.begin(count)
    for (let index = 0; index < count; index += 1) this.#row(kind, rows[index], index, work)
    return {
      keys: work.keys(this.#shape.key),
      keyEnds: work.keyEnds,
      ...work.vectors(count),
      ...work.fields(),
    }
  }

  #row(kind: WriteKind, row: unknown, index: number, work: Workspace): void {
    let key: unknown
    try {
      if (!isObject(row)) throw wrong('a row must be an object', '{ key, ... }', row)
      refuseUnknown(row, rowNames, 'a row')
      // Each member is read once: a getter may give something else the second time.
      const { key: rowKey, vector, vectors, fields } = row
      key = rowKey
      this.#key(key, index, work)
      this.#vectors(kind, vector, vectors, index, work)
      this.#payload.encode(work.payload, fields)
      work.endRow(index)
    } catch (error) {
      throw atRow(toCairnError(error), index, key)
    }
  }

  #key(key: unknown, index: number, work: Workspace): void {
    if (this.#shape.key === 'u64') work.pushNumber(index, toKeyNumber(key))
    else work.endKey(index, writeKey(work.text, key))
  }

  #vectors(
    kind: WriteKind,
    vector: unknown,
    vectors: unknown,
    index: number,
    work: Workspace,
  ): void {
    const fields = this.#shape.vectors
    let given = 0
    if (vector !== undefined) {
      if (vectors !== undefined) {
        throw wrong('vector and vectors exclude each other', 'one of them', vectors, 'vectors')
      }
      if (fields.length !== 1) {
        const what = 'the schema has several vector fields: use vectors'
        throw wrong(what, this.#vectorList, vector, 'vector')
      }
      work.pushVector(0, index, vector)
      given = 1
    } else if (vectors !== undefined) {
      const own = this.#byField(vectors)
      for (let position = 0; position < fields.length; position += 1) {
        const one = own[fields[position]?.name ?? '']
        if (one === undefined) continue
        work.pushVector(position, index, one)
        given += 1
      }
    }
    if (given === 0 && kind !== 'update') {
      throw new CairnError('ERR_INVALID_ARGUMENT', 'a record needs a vector', {
        field: this.#vectorList,
      })
    }
  }

  /** Vectors by the name of their field, without a prototype. */
  #byField(vectors: unknown): Readonly<Record<string, unknown>> {
    if (!isPlainObject(vectors)) {
      throw wrong('vectors is an object by field', `{ ${this.#vectorList} }`, vectors, 'vectors')
    }
    refuseUnknown(vectors, this.#vectorNames, 'vectors')
    return Object.assign(Object.create(null) as Record<string, unknown>, vectors)
  }

  #columns(kind: WriteKind, given: Record<string, unknown>, work: Workspace): NativeBatch {
    refuseUnknown(given, columnNames, 'columns')
    const { keys, vectors, fields } = given
    if (!Array.isArray(keys) && !types.isBigUint64Array(keys)) {
      throw wrong('keys is a column of keys', 'array or BigUint64Array', keys, 'keys')
    }
    const numbers = types.isBigUint64Array(keys) ? this.#numberColumn(keys) : undefined
    if (numbers === undefined) this.#keys(keys, work)
    else work.begin(keys.length)
    const matrices = this.#matrices(kind, vectors, keys.length)
    this.#fieldColumns(fields, keys, work)
    return {
      keys: numbers ?? work.keys(this.#shape.key),
      keyEnds: work.keyEnds,
      vectors: matrices,
      present: matrices.map(() => null),
      ...work.fields(),
    }
  }

  /** A column of numbers as it is, where keys are numbers. */
  #numberColumn(keys: BigUint64Array): BigUint64Array | undefined {
    refuseUnsafeMemory(keys, { path: 'keys' })
    if (this.#shape.key !== 'u64') return undefined
    checkRows(keys.length)
    return keys
  }

  #keys(keys: ArrayLike<unknown>, work: Workspace): void {
    work.begin(keys.length)
    for (let index = 0; index < keys.length; index += 1) {
      try {
        this.#key(keys[index], index, work)
      } catch (error) {
        throw atRow(toCairnError(error), index)
      }
    }
  }

  #matrices(kind: WriteKind, vectors: unknown, rows: number): (Float32Array | null)[] {
    const fields = this.#shape.vectors
    const alone = fields.length === 1 && vectors !== undefined && !isPlainObject(vectors)
    const own = vectors === undefined || alone ? {} : this.#byField(vectors)
    let bytes = 0
    const matrices = fields.map((field) => {
      const matrix = alone ? vectors : own[field.name]
      if (matrix === undefined) return null
      const { floats } = toColumn(matrix, rows, field)
      bytes = checkBytes(bytes + floats.byteLength)
      return floats
    })
    if (kind !== 'update' && matrices.every((matrix) => matrix === null)) {
      throw wrong('columns need a matrix of vectors', 'Float32Array', vectors, 'vectors')
    }
    return matrices
  }

  #fieldColumns(fields: unknown, keys: ArrayLike<unknown>, work: Workspace): void {
    const rows = keys.length
    if (fields === undefined) return
    let encode: (row: number) => void
    if (Array.isArray(fields)) {
      checkColumn('fields', fields, rows)
      encode = (row) => this.#payload.encode(work.payload, fields[row])
    } else if (isPlainObject(fields)) {
      const columns = Object.entries(fields).map(
        ([name, column]) => [name, checkColumn(name, column, rows)] as const,
      )
      encode = (row) => this.#payload.encodeRow(work.payload, columns, row)
    } else {
      const what = 'fields is columns by name, or an object a row'
      throw wrong(what, '{ [name]: array } | object[]', fields, 'fields')
    }
    for (let index = 0; index < rows; index += 1) {
      try {
        encode(index)
        work.endRow(index)
      } catch (error) {
        throw atRow(toCairnError(error), index, keys[index])
      }
    }
  }
}

/** The condition of a write. */
export interface NativeCondition {
  readonly version: bigint | null
  /** JSON. */
  readonly filter: string | null
}

/** Checks `if`: a version, or a filter. */
export function toCondition(condition: unknown, shape: SchemaShape): NativeCondition {
  if (condition === undefined) return { version: null, filter: null }
  if (!isPlainObject(condition)) {
    throw wrong('if is a condition', '{ version: bigint } or a filter', condition, 'if')
  }
  const { version } = condition
  const isAlone = Object.keys(condition).join() === 'version'
  if (!isAlone || isPlainObject(version) || Array.isArray(version)) {
    return { version: null, filter: toNativeFilter(condition, shape) }
  }
  if (typeof version !== 'bigint' || version < 0n || version >= 2n ** 64n) {
    throw wrong('a version is a bigint', 'bigint of at least 0', version, 'if.version')
  }
  return { version, filter: null }
}

/** The key under which a write may be repeated; null for none. */
export function idempotencyKeyOf(key: unknown): string | null {
  if (key === undefined) return null
  const path = 'idempotencyKey'
  if (typeof key !== 'string' || key === '' || !isWellFormed(key)) {
    throw wrong('an idempotency key is a text', 'text of 1 to 128 bytes', key, path)
  }
  const bytes = Buffer.byteLength(key)
  if (bytes > limits.idempotencyKeyBytesMax) {
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'an idempotency key is too long', {
      path,
      limit: limits.idempotencyKeyBytesMax,
      got: bytes,
    })
  }
  return key
}

/** An update as the addon spells it: the word, then what is unlike the usual. */
export function spellUpdate({
  fieldsMode,
  missing,
}: Pick<UpdateOptions, 'fieldsMode' | 'missing'>): string {
  const replace =
    fieldsMode !== undefined && oneOf(fieldsMode, ['merge', 'replace'], 'fieldsMode') === 'replace'
  const skip = missing !== undefined && oneOf(missing, ['fail', 'skip'], 'missing') === 'skip'
  return `update${replace ? ' replace' : ''}${skip ? ' skip' : ''}`
}

function checkColumn(name: string, column: unknown, rows: number): ArrayLike<unknown> {
  const isColumn = Array.isArray(column) || types.isTypedArray(column)
  if (!isColumn) throw wrong('a column is an array', 'array', column, `fields.${name}`)
  if (ArrayBuffer.isView(column)) refuseUnsafeMemory(column, { field: name })
  const list = column as ArrayLike<unknown>
  if (list.length === rows) return list
  throw new CairnError('ERR_INVALID_ARGUMENT', 'a column has the wrong length', {
    field: name,
    expected: rows,
    got: list.length,
  })
}

function atRow(error: CairnError, index: number, key?: unknown): CairnError {
  return withDetails(error, { index, ...keyDetail(key) })
}

function keyDetail(key: unknown): ErrorDetails {
  return typeof key === 'string' || typeof key === 'bigint' ? { key } : {}
}
