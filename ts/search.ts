// A search as the user writes it, checked and turned into what the addon takes.
import { types } from 'node:util'
import {
  flag,
  isObject,
  isPlainObject,
  notYet,
  numberWithin,
  ownOf,
  refuseUnknown,
  wholeNumber,
  wrong,
} from './check.js'
import { CairnError } from './errors.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'
import type { FieldsWanted } from './native/binding.js'
import { toFloats, toMatrix } from './native/to-native.js'
import type { SchemaShape, VectorShape } from './schema.js'
import { checkSignal } from './signal.js'

/** A checked search. `numbers` and `vector` are read by the addon before its call returns. */
export interface NativeQuery {
  readonly vector: Float32Array
  readonly numbers: Float64Array
  readonly names: string[] | null
  readonly signal: AbortSignal | undefined
}

/** A checked batch of searches. */
export interface NativeBatchQuery {
  readonly vectors: Float32Array
  readonly queries: number
  readonly numbers: Float64Array
  readonly signal: AbortSignal | undefined
}

/** Which parts of records are wanted. */
export interface NativeSelect {
  readonly fields: FieldsWanted
  readonly names: string[] | null
  readonly vectors: boolean
}

/** Results without `k`. */
const kDefault = 10

/** Share of the true neighbours without `recall`. */
const recallDefault = 0.95

const effortNames = [
  'k',
  'recall',
  'efSearch',
  'exact',
  'rerank',
  'maxDistance',
  'minScore',
  'deadlineMs',
  'signal',
]
/** What later versions answer; naming it is better than calling it unknown. */
const laterNames = ['filter', 'text', 'like', 'fuse', 'groupBy', 'diversity', 'explain']
const queryNames = new Set([...effortNames, ...laterNames, 'vector', 'select', 'vectors'])
const batchNames = new Set([...effortNames, ...laterNames, 'vectors'])

type Members = Record<string, unknown>

/**
 * Checks a search.
 *
 * @throws {CairnError} naming the member in `details.path`, or the field of a wrong vector.
 */
export function toNativeQuery(query: unknown, shape: SchemaShape): NativeQuery {
  const given = members(query, queryNames, 'a search')
  const { field, value } = vectorOf(given['vector'], shape, 'vector')
  const { dim, name } = shape.vectors[field] as VectorShape
  const select = toNativeSelect(given, shape)
  const vector = toFloats(value, dim, { field: name })
  const signal = checkSignal(given['signal'])
  const numbers = numbersOf(given, field, select)
  // A signal may be anybody's object, whose members search before this one is asked.
  return { vector, numbers: signal ? numbers.slice() : numbers, names: select.names, signal }
}

/**
 * Checks a batch of searches.
 *
 * @throws {CairnError} as {@link toNativeQuery}.
 */
export function toNativeBatchQuery(query: unknown, shape: SchemaShape): NativeBatchQuery {
  const given = members(query, batchNames, 'a batch of searches')
  const { field, value } = vectorOf(given['vectors'], shape, 'vectors')
  const { dim, name } = shape.vectors[field] as VectorShape
  const vectors = toMatrix(value, undefined, dim, { field: name })
  const queries = vectors.length / dim
  const numbers = numbersOf(given, field, { fields: 0, names: null, vectors: false })
  const results = queries * (numbers[1] as number)
  if (queries > limits.batchRowsMax || results > limits.batchResultsMax) {
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'a batch asks for too many results', {
      limit: limits.batchResultsMax,
      got: results,
      queries,
    })
  }
  const signal = checkSignal(given['signal'])
  return { vectors, queries, numbers: signal ? numbers.slice() : numbers, signal }
}

/** Checks `select` and `vectors`. */
export function toNativeSelect(given: Members, shape: SchemaShape): NativeSelect {
  const { select, vectors } = given
  const withVectors = vectors === undefined ? false : flag(vectors, 'vectors')
  if (select === undefined) return { fields: 1, names: null, vectors: withVectors }
  if (select === false) return { fields: 0, names: null, vectors: withVectors }
  if (!Array.isArray(select)) {
    throw wrong(
      'select is names of fields, or false for none',
      'string[] | false',
      select,
      'select',
    )
  }
  const names = Array.from(select, (name: unknown, index) => fieldName(name, index, shape))
  return { fields: names.length === 0 ? 0 : 2, names, vectors: withVectors }
}

function fieldName(name: unknown, index: number, { fields, rejectExtra }: SchemaShape): string {
  const path = `select[${index}]`
  if (typeof name !== 'string') throw wrong('select is names of fields', 'string', name, path)
  if (!isWellFormed(name)) throw wrong('a name has half a character', 'string', name, path)
  if (rejectExtra && !fields.some((field) => field.name === name)) {
    throw wrong(
      'the schema has no such field',
      fields.map((field) => field.name).join(' | '),
      name,
      path,
    )
  }
  return name
}

function members(query: unknown, known: ReadonlySet<string>, what: string): Members {
  if (!isPlainObject(query)) throw wrong(`${what} is a plain object`, '{ vector, k, ... }', query)
  refuseUnknown(query, known, what)
  const given = ownOf(query)
  for (const name of laterNames) {
    if (given[name] === undefined || (name === 'explain' && given[name] === false)) continue
    throw notYet(name)
  }
  return given
}

/** The one vector of a query and the field it is for. */
function vectorOf(
  given: unknown,
  shape: SchemaShape,
  path: string,
): { field: number; value: unknown } {
  if (given === undefined) throw wrong(`a search needs ${path}`, 'a vector', given, path)
  if (!isObject(given) || types.isTypedArray(given)) {
    if (shape.vectors.length === 1) return { field: 0, value: given }
    throw wrong('the schema has several vector fields: name one', namesOf(shape), given, path)
  }
  const own = Object.entries(given).filter(([, value]) => value !== undefined)
  const [entry] = own
  if (entry === undefined || own.length > 1) {
    throw wrong('a search is for one vector field', `one of ${namesOf(shape)}`, own.length, path)
  }
  const [name, value] = entry
  const field = shape.vectors.findIndex((candidate) => candidate.name === name)
  if (field === -1)
    throw wrong('the schema has no such vector field', namesOf(shape), name, `${path}.${name}`)
  return { field, value }
}

function namesOf({ vectors }: SchemaShape): string {
  return vectors.map(({ name }) => name).join(' | ')
}

// One array for all calls: the addon reads it before its call returns, and nothing runs in between.
const numbers = new Float64Array(9)

/** The numbers of a search at their places; crates/napi/src/convert.rs has the same table. */
function numbersOf(given: Members, field: number, select: NativeSelect): Float64Array {
  const { k: askedK, maxDistance, minScore, deadlineMs } = given
  const k = askedK === undefined ? kDefault : wholeNumber(askedK, 'k', 1, limits.kMax)
  const [kind, value] = effort(given, k)
  checkRerank(given['rerank'])
  const distance = maxDistance === undefined ? Number.NaN : finite(maxDistance, 'maxDistance')
  const score = minScore === undefined ? Number.NaN : finite(minScore, 'minScore')
  const deadline = deadlineMs === undefined ? 0 : positive(deadlineMs, 'deadlineMs')
  numbers[0] = field
  numbers[1] = k
  numbers[2] = kind
  numbers[3] = value
  numbers[4] = distance
  numbers[5] = score
  numbers[6] = select.fields
  numbers[7] = select.vectors ? 1 : 0
  numbers[8] = deadline
  return numbers
}

/** How hard to look: 0 a recall, 1 a candidate list, 2 everything. */
function effort({ recall, efSearch, exact }: Members, k: number): [kind: number, value: number] {
  const isExact = exact === undefined ? false : flag(exact, 'exact')
  if (recall !== undefined && efSearch !== undefined) {
    throw wrong('recall and efSearch exclude each other', 'one of them', efSearch, 'efSearch')
  }
  const share = recall === undefined ? recallDefault : numberWithin(recall, 'recall', 0.5, 1)
  if (efSearch === undefined) return isExact || share === 1 ? [2, 0] : [0, share]
  const list = wholeNumber(efSearch, 'efSearch', 1, limits.efMax)
  if (list < k) throw wrong('efSearch must be at least k', `at least ${k}`, list, 'efSearch')
  return isExact ? [2, 0] : [1, list]
}

function checkRerank(rerank: unknown): void {
  if (rerank === undefined || typeof rerank === 'boolean') return
  wholeNumber(rerank, 'rerank', 1, limits.efMax)
}

function finite(value: unknown, path: string): number {
  return numberWithin(value, path, -Number.MAX_VALUE, Number.MAX_VALUE)
}

function positive(value: unknown, path: string): number {
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value
  throw wrong(`${path} must be above 0`, 'number of milliseconds', value, path)
}
