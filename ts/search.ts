// A search as the user writes it, checked and turned into what the addon takes.
import { types } from 'node:util'
import {
  checkSignal,
  flag,
  isObject,
  isPlainObject,
  numberWithin,
  ownOf,
  refuseUnknown,
  wholeNumber,
  wrong,
} from './check.js'
import { CairnError } from './errors.js'
import { toNativeFilter } from './filter.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'
import type { BindingShape, BindingSources, FieldsWanted } from './native/binding.js'
import { endToEnd, toColumn, toFloats } from './native/to-native.js'
import { allFields, parted, type AnyPredicate } from './predicate.js'
import { rerankDepth, type AnyRerank } from './rerank.js'
import type { SchemaShape, VectorShape } from './schema.js'
import { checkList, shapeNames, toLike, toNativeShape } from './shape.js'
import { sourceNames, toNativeSources } from './sources.js'

/** A checked search. `numbers` and `vector` are read by the addon before its call returns. */
export interface NativeQuery {
  readonly vector: Float32Array
  readonly numbers: Float64Array
  readonly names: string[] | null
  /** JSON. */
  readonly filter: string | null
  /** What it is beyond the records nearest to the vector. */
  readonly shape: BindingShape | null
  /** Null for one vector. */
  readonly sources: BindingSources | null
  readonly signal: AbortSignal | undefined
  /** A function of the caller's that hits must pass, and which fields they keep then. */
  readonly predicate?: { readonly test: AnyPredicate; readonly select: NativeSelect } | undefined
  /** Whether it tells what it did. */
  readonly explains: boolean
  /** A function of the caller's, and how many hits it leaves. */
  readonly rerank: { readonly order: AnyRerank; readonly k: number } | undefined
}

/** A checked batch of searches. */
export interface NativeBatchQuery {
  readonly vectors: Float32Array
  readonly queries: number
  readonly numbers: Float64Array
  /** JSON. */
  readonly filter: string | null
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
  'filter',
  'deadlineMs',
  'signal',
  'explain',
]
const ownNames = ['vector', 'select', 'vectors']
const allNames = [...effortNames, ...shapeNames, ...sourceNames]
const queryNames = new Set([...allNames, ...ownNames])
const batchNames = new Set([...allNames, 'vectors'])

/** What a search has that is by no vector of its own. */
const noVector = new Float32Array(0)

type Members = Record<string, unknown>

/** A vector as it was given, and the position of its field. */
interface AskedVector {
  readonly field: number
  readonly value: unknown
}

/**
 * Checks a search.
 *
 * @throws {CairnError} naming the member in `details.path`, or the field of a wrong vector.
 */
export function toNativeQuery(query: unknown, shape: SchemaShape): NativeQuery {
  const given = members(query, queryNames, 'a search')
  const like = given['like'] === undefined ? undefined : toLike(given['like'], shape)
  const hasText = given['text'] !== undefined
  // A vector that is there and undefined is a mistake, and not a wish for any records.
  const isList = like === undefined && !hasText && !('vector' in given)
  for (const name of ['vector', 'text']) {
    if (like === undefined || given[name] === undefined) continue
    throw wrong(`${name} and like exclude each other`, 'one of them', given['like'], 'like')
  }
  if (isList) checkList(given)
  const isElse = like !== undefined || isList
  const asked = isElse ? [] : vectorsOf(given['vector'], shape, hasText)
  const native = toNativeShape(given, like, isList, shape)
  const select = toNativeSelect(given, shape)
  const sources = toNativeSources(given, asked, shape)
  if (sources !== null) refuseShape(given)
  const vector = floatsOf(asked, shape)
  const { declared, predicate } = parted(given['filter'])
  const filter = toNativeFilter(declared, shape)
  const signal = checkSignal(given['signal'])
  const read = predicate === undefined ? select : { ...select, fields: allFields, names: null }
  const numbers = numbersOf(given, like?.field ?? asked[0]?.field ?? 0, read)
  const rerank = rerankOf(given, numbers)
  const explains = isExplained(given)
  if (predicate !== undefined) {
    refuseWithPredicate(given, asked.length + Number(hasText))
    // It is asked in rounds, and the caller's own memory and this one array may change between them.
    return {
      vector: vector.slice(),
      numbers: numbers.slice(),
      names: null,
      filter,
      shape: native,
      sources,
      signal,
      explains,
      predicate: { test: predicate, select },
      rerank,
    }
  }
  // A signal may be anybody's object, whose members search before this one is asked.
  const own = signal ? numbers.slice() : numbers
  return {
    vector,
    numbers: own,
    names: select.names,
    filter,
    shape: native,
    sources,
    signal,
    explains,
    rerank,
  }
}

/**
 * Checks a search whose hits nobody orders anew, and that tells nothing else.
 *
 * @throws {CairnError} as {@link toNativeQuery}.
 */
export function toSyncQuery(query: unknown, shape: SchemaShape): NativeQuery {
  const given = toNativeQuery(query, shape)
  if (given.explains) throw wrong('searchSync tells no plan', 'false', true, 'explain')
  return withoutRerank(given, 'searchSync')
}

/**
 * Checks a search that is asked what it does, and no function with it.
 *
 * @throws {CairnError} as {@link toNativeQuery}.
 */
export function toExplainedQuery(query: unknown, shape: SchemaShape): NativeQuery {
  const given = toNativeQuery(query, shape)
  if (given.predicate !== undefined) {
    throw wrong('explain asks no function', 'a filter', given.predicate.test, 'filter')
  }
  return withoutRerank(given, 'explain')
}

function withoutRerank(given: NativeQuery, what: string): NativeQuery {
  if (given.rerank === undefined) return given
  throw wrong(`${what} calls no function`, 'boolean | number', given.rerank.order, 'rerank')
}

/**
 * Checks a batch of searches.
 *
 * @throws {CairnError} as {@link toNativeQuery}.
 */
export function toNativeBatchQuery(query: unknown, shape: SchemaShape): NativeBatchQuery {
  const given = members(query, batchNames, 'a batch of searches')
  for (const name of shapeNames) {
    if (given[name] === undefined) continue
    throw wrong(`a batch of searches has no ${name}`, 'vectors alone', given[name], name)
  }
  if (isExplained(given)) throw wrong('a batch tells no plan', 'false', true, 'explain')
  if (typeof given['rerank'] === 'function') {
    throw wrong('a batch calls no function', 'boolean | number', given['rerank'], 'rerank')
  }
  for (const name of sourceNames) {
    if (given[name] === undefined) continue
    throw wrong('a batch is of searches for one vector each', 'no such member', given[name], name)
  }
  const { field, value } = vectorOf(given['vectors'], shape, 'vectors')
  const asked = shape.vectors[field] as VectorShape
  const { floats: vectors, count: queries } = toColumn(value, undefined, asked)
  const filter = toNativeFilter(given['filter'], shape)
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
  return { vectors, queries, numbers: signal ? numbers.slice() : numbers, filter, signal }
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
  return ownOf(query)
}

/** Whether a search is to tell what it did. */
function isExplained({ explain }: Members): boolean {
  return explain !== undefined && flag(explain, 'explain')
}

/** The vectors of a query in the order of their fields; none where words may stand alone. */
function vectorsOf(given: unknown, shape: SchemaShape, hasText: boolean): AskedVector[] {
  if (given === undefined && hasText) return []
  const isNamed = isObject(given) && !types.isTypedArray(given)
  if (!isNamed || shape.vectors.length === 1) return [vectorOf(given, shape, 'vector')]
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  if (entries.length < 2) return [vectorOf(given, shape, 'vector')]
  const asked = entries.map((entry) => namedVector(entry, shape, 'vector'))
  return asked.sort((a, b) => a.field - b.field)
}

/** Refuses what a search by words, or by several vectors, does not have. */
function refuseShape(given: Members): void {
  for (const name of ['groupBy', 'diversity']) {
    if (given[name] === undefined) continue
    throw wrong(`${name} is for a search with one vector`, 'no such member', given[name], name)
  }
}

/** Refuses a function where its hits depend on those that it leaves out. */
function refuseWithPredicate(given: Members, sources: number): void {
  const what = 'a function is for hits that come one by one'
  for (const name of ['groupBy', 'diversity']) {
    if (given[name] !== undefined) throw wrong(what, `no ${name}`, given['filter'], 'filter')
  }
  if (sources > 1) throw wrong(what, 'one vector, or text', given['filter'], 'filter')
  if (isExplained(given)) {
    throw wrong('a function is asked in rounds, which have no plan', 'false', true, 'explain')
  }
}

/** All vectors of a query end to end. */
function floatsOf(asked: readonly AskedVector[], shape: SchemaShape): Float32Array {
  const parts = asked.map(({ field, value }) =>
    toFloats(value, shape.vectors[field] as VectorShape),
  )
  const [only = noVector, ...others] = parts
  return others.length === 0 ? only : endToEnd(parts)
}

/** Whether an object is a sparse vector, and not vectors by field: where there is one field, it is not both. */
function isOneSparse(given: object, { vectors }: SchemaShape): boolean {
  if (vectors.length !== 1 || vectors[0]?.type !== 'sparse') return false
  return 'indices' in given && 'values' in given
}

/** The one vector of a query and the field it is for. */
function vectorOf(given: unknown, shape: SchemaShape, path: string): AskedVector {
  if (given === undefined)
    throw wrong(
      `a search needs ${path}`,
      path === 'vector' ? 'a vector, or text' : 'vectors',
      given,
      path,
    )
  if (!isObject(given) || types.isTypedArray(given) || isOneSparse(given, shape)) {
    if (shape.vectors.length === 1) return { field: 0, value: given }
    throw wrong('the schema has several vector fields: name one', namesOf(shape), given, path)
  }
  const own = Object.entries(given).filter(([, value]) => value !== undefined)
  const [entry] = own
  if (entry === undefined || own.length > 1) {
    throw wrong('a vector field must be named', `one of ${namesOf(shape)}`, own.length, path)
  }
  return namedVector(entry, shape, path)
}

function namedVector(
  [name, value]: readonly [string, unknown],
  shape: SchemaShape,
  path: string,
): AskedVector {
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
  if (rerank === undefined || typeof rerank === 'boolean' || typeof rerank === 'function') return
  wholeNumber(rerank, 'rerank', 1, limits.efMax)
}

/** A function that orders hits anew; it gets more of them than it leaves. */
function rerankOf(
  { rerank, groupBy, diversity }: Members,
  query: Float64Array,
): NativeQuery['rerank'] {
  if (typeof rerank !== 'function') return undefined
  if (groupBy !== undefined || diversity !== undefined) {
    const what = 'groups and diverse hits have an order of their own'
    throw wrong(what, 'boolean | number', rerank, 'rerank')
  }
  const k = query[1] as number
  query[1] = Math.max(k, rerankDepth)
  return { order: rerank as AnyRerank, k }
}

function finite(value: unknown, path: string): number {
  return numberWithin(value, path, -Number.MAX_VALUE, Number.MAX_VALUE)
}

/** A number of milliseconds. */
export function positive(value: unknown, path: string): number {
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value
  throw wrong(`${path} must be above 0`, 'number of milliseconds', value, path)
}

/** Milliseconds after which a call gives up, 0 for never. */
export function deadlineOf({ deadlineMs }: { readonly deadlineMs?: number | undefined }): number {
  return deadlineMs === undefined ? 0 : positive(deadlineMs, 'deadlineMs')
}
