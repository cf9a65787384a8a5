// Searches beyond the records nearest to a vector, and orders of scans: checked, and as the addon takes them.
import { isPlainObject, numberWithin, oneOf, refuseUnknown, wholeNumber, wrong } from './check.js'
import { firstName } from './filter.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'
import type { BindingOrder, BindingShape } from './native/binding.js'
import { toKey } from './native/to-native.js'
import type { SchemaShape } from './schema.js'

type Members = Record<string, unknown>

const likeNames = new Set(['key', 'field'])
const groupNames = new Set(['field', 'size'])
const orderNames = new Set(['field', 'order'])

/** What the search of nothing does not have: all of these ask for something to be near to. */
const nearNames = ['groupBy', 'diversity', 'maxDistance', 'minScore']

/** What is no search by one vector, and in no batch of such. */
export const shapeNames: readonly string[] = ['like', 'groupBy', 'diversity']

/** The record that a search is like, and the vector field it is about. */
export interface Like {
  readonly key: string | bigint
  readonly field: number
}

/**
 * Checks `like`: a key, or a key and the field where the schema has several vector fields.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_INVALID_KEY`.
 */
export function toLike(like: unknown, shape: SchemaShape): Like {
  const names = shape.vectors.map(({ name }) => name)
  if (!isPlainObject(like)) {
    if (names.length > 1) {
      const several = 'the schema has several vector fields: name one'
      throw wrong(several, `{ key, field: ${names.join(' | ')} }`, like, 'like')
    }
    return { key: toKey(like, shape.key), field: 0 }
  }
  refuseUnknown(like, likeNames, 'like')
  const { key, field } = like
  const isNeeded = names.length > 1 || field !== undefined
  return {
    key: toKey(key, shape.key),
    field: isNeeded ? names.indexOf(oneOf(field, names, 'like.field')) : 0,
  }
}

/** Checks a search that is near to nothing. */
export function checkList(given: Members): void {
  for (const name of nearNames) {
    if (given[name] === undefined) continue
    throw wrong(`${name} needs something to be near to`, 'a vector or like', given[name], name)
  }
}

/** How a search goes beyond the records nearest to a vector; null when it does not. */
export function toNativeShape(
  given: Members,
  like: Like | undefined,
  isList: boolean,
  shape: SchemaShape,
): BindingShape | null {
  const groupBy = given['groupBy'] === undefined ? undefined : toGroupBy(given['groupBy'], shape)
  const diversity =
    given['diversity'] === undefined
      ? undefined
      : numberWithin(given['diversity'], 'diversity', 0, 1)
  if (groupBy !== undefined && diversity !== undefined) {
    throw wrong('groupBy and diversity exclude each other', 'one of them', diversity, 'diversity')
  }
  if (like === undefined && !isList && groupBy === undefined && diversity === undefined) return null
  return {
    like: like?.key,
    isList,
    groupField: groupBy?.field,
    groupSize: groupBy?.size ?? 1,
    diversity,
  }
}

function toGroupBy(groupBy: unknown, shape: SchemaShape): { field: string; size: number } {
  if (!isPlainObject(groupBy)) {
    throw wrong('groups are by a field', '{ field, size? }', groupBy, 'groupBy')
  }
  refuseUnknown(groupBy, groupNames, 'groupBy')
  const { field, size } = groupBy
  return {
    field: toFieldPath(field, 'groupBy.field', shape),
    size: size === undefined ? 1 : wholeNumber(size, 'groupBy.size', 1, limits.kMax),
  }
}

/** A field as filters spell it: declared, or part of what is, where the schema refuses others. */
export function toFieldPath(field: unknown, path: string, shape: SchemaShape): string {
  if (typeof field !== 'string' || field === '' || !isWellFormed(field)) {
    throw wrong('a field is named', 'string', field, path)
  }
  const names = shape.fields.map(({ name }) => name)
  if (shape.rejectExtra && !field.startsWith('$') && !names.includes(firstName(field))) {
    throw wrong('the schema has no such field', names.join(' | '), field, path)
  }
  return field
}

/** An order that is not that of keys, ascending. */
export interface Order {
  readonly field: string
  readonly descending: boolean
}

/** Checks `orderBy`; undefined for the order of keys, which every scan has. */
export function toOrder(orderBy: unknown, shape: SchemaShape): Order | undefined {
  if (orderBy === undefined) return undefined
  let field: unknown = orderBy
  let descending = false
  let path = 'orderBy'
  if (isPlainObject(orderBy)) {
    refuseUnknown(orderBy, orderNames, path)
    const { order } = orderBy
    path = 'orderBy.field'
    field = orderBy['field']
    descending = order !== undefined && oneOf(order, ['asc', 'desc'], 'orderBy.order') === 'desc'
  }
  const name = toFieldPath(field, path, shape)
  return name === '$key' && !descending ? undefined : { field: name, descending }
}

/** The cursor behind a record of an ordered scan: all of the order, the record's value in it, and its key. */
export function orderedCursor(
  { field, descending }: Order,
  value: Uint8Array,
  key: string | bigint,
): string {
  const stored = value.length === 0 ? null : Buffer.from(value).toString('base64url')
  const keyKind = typeof key === 'string' ? 's' : 'n'
  const place = [1, field, descending ? 'desc' : 'asc', stored, keyKind, String(key)]
  return `o${Buffer.from(JSON.stringify(place)).toString('base64url')}`
}

/** Where an ordered scan goes on. */
export interface OrderedPlace {
  readonly key: string | bigint
  readonly order: BindingOrder
}

/**
 * The place that a cursor of this order stands for.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` for anything else, and for a cursor of another order.
 */
export function placeOfCursor(
  cursor: unknown,
  order: Order,
  keyType: 'string' | 'u64',
): OrderedPlace {
  const refuse = (what: string): Error => wrong(what, 'cursor', cursor, 'after')
  if (typeof cursor !== 'string' || !cursor.startsWith('o')) {
    throw refuse('after must be the cursor of an earlier scan in this order')
  }
  let place: unknown
  try {
    place = JSON.parse(Buffer.from(cursor.slice(1), 'base64url').toString())
  } catch {
    place = undefined
  }
  if (!Array.isArray(place)) throw refuse('after must be the cursor of an earlier scan')
  const [version, field, direction, stored, keyKind, text] = place as unknown[]
  const isWhole =
    version === 1 &&
    (stored === null || typeof stored === 'string') &&
    typeof text === 'string' &&
    keyKind === (keyType === 'string' ? 's' : 'n') &&
    (keyKind === 's' || /^\d{1,20}$/.test(text))
  if (!isWhole) throw refuse('after must be the cursor of an earlier scan')
  if (field !== order.field || direction !== (order.descending ? 'desc' : 'asc')) {
    throw refuse('after is the cursor of a scan in another order')
  }
  const key = keyKind === 's' ? text : BigInt(text)
  const value = stored === null ? new Uint8Array(0) : Buffer.from(stored, 'base64url')
  if (
    orderedCursor(order, value, key) !== cursor ||
    (typeof key === 'bigint' && key >= 2n ** 64n)
  ) {
    throw refuse('after must be the cursor of an earlier scan')
  }
  return { key, order: { ...order, afterValue: stored === null ? undefined : value } }
}
