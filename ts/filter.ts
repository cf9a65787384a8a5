// Filters as users write them: their types, and the JSON that the addon reads.
import { types } from 'node:util'
import { isObject, isPlainObject, wrong } from './check.js'
import { atCaller, CairnError } from './errors.js'
import { describe } from './internal/describe.js'
import { nearest } from './internal/nearest.js'
import { isWellFormed } from './internal/text.js'
import type { Declared, Fields, GeoPoint, Key, RejectsExtra } from './infer.js'
import { limits } from './limits.js'
import type { BaseType, Schema, SchemaShape } from './schema.js'

/** A value that a field is compared with. */
export type FilterValue = string | number | bigint | boolean | null | Date | Uint8Array

/** A circle on Earth. */
export interface GeoRadius {
  readonly center: GeoPoint
  /** Metres. */
  readonly radius: number
}

/** A part of Earth between two parallels and two meridians; over the date line where west is the larger. */
export interface GeoBox {
  readonly topLeft: GeoPoint
  readonly bottomRight: GeoPoint
}

/** What can be asked of any field. */
interface Presence {
  /** Whether it is there; `null` is. */
  exists: boolean
  /** Whether it is `null`; what is missing is not. */
  isNull: boolean
}

/** What can be asked of values that can be equal. On an array it holds when it does for one element. */
interface Equality<V> extends Presence {
  eq: V | null
  /** The opposite of `eq`: also holds where the field is missing. */
  ne: V | null
  /** One of these. */
  in: readonly (V | null)[]
  /** None of these; also holds where the field is missing. */
  nin: readonly (V | null)[]
  /** As `in`. */
  any: readonly (V | null)[]
  /** As `nin`. */
  none: readonly (V | null)[]
  /** Each of these is met. */
  all: readonly (V | null)[]
  /** It is an array, and this is in it. */
  contains: V | null
}

/** What can be asked of values that have an order. */
interface Ordering<V> extends Equality<V> {
  gt: V
  gte: V
  lt: V
  lte: V
}

interface Beginning {
  startsWith: string
}

interface Words extends Beginning {
  /** All of these words, in any order. */
  match: string
  /** A regular expression without look-around or back-references, matched in linear time, anywhere unless anchored. */
  regex: string
}

interface Place {
  geoRadius: GeoRadius
  geoBox: GeoBox
}

/** Operators under their own names and with a dollar in front. */
type Spelt<O> = { readonly [N in keyof O as N | `$${N & string}`]?: O[N] }

/** A value, one of several, or operators that all hold. */
type Asked<V, C> = V | null | readonly (V | null)[] | C

// Each is an interface of its own: a recursive type that is worked out anew for each field is too deep for the compiler.
interface OfText extends Spelt<Ordering<string> & Words> {
  readonly not?: Asked<string, OfText>
  readonly $not?: Asked<string, OfText>
}
interface OfNumbers extends Spelt<Ordering<number | bigint>> {
  readonly not?: Asked<number | bigint, OfNumbers>
  readonly $not?: Asked<number | bigint, OfNumbers>
}
interface OfBooleans extends Spelt<Equality<boolean>> {
  readonly not?: Asked<boolean, OfBooleans>
  readonly $not?: Asked<boolean, OfBooleans>
}
interface OfDates extends Spelt<Ordering<Date>> {
  readonly not?: Asked<Date, OfDates>
  readonly $not?: Asked<Date, OfDates>
}
interface OfPlaces extends Spelt<Presence & Place> {
  readonly not?: OfPlaces
  readonly $not?: OfPlaces
}
interface OfBytes extends Spelt<Equality<Uint8Array>> {
  readonly not?: Asked<Uint8Array, OfBytes>
  readonly $not?: Asked<Uint8Array, OfBytes>
}
interface OfAnything extends Spelt<Ordering<FilterValue> & Words & Place> {
  readonly not?: Asked<FilterValue, OfAnything>
  readonly $not?: Asked<FilterValue, OfAnything>
}
interface OfKeys<K> extends Spelt<Ordering<K> & Beginning> {
  readonly not?: Asked<K, OfKeys<K>>
  readonly $not?: Asked<K, OfKeys<K>>
}

interface AskedByType {
  keyword: Asked<string, OfText>
  text: Asked<string, OfText>
  int: Asked<number | bigint, OfNumbers>
  float: Asked<number | bigint, OfNumbers>
  bool: Asked<boolean, OfBooleans>
  date: Asked<Date, OfDates>
  geo: OfPlaces
  json: Asked<FilterValue, OfAnything>
  bytes: Asked<Uint8Array, OfBytes>
}

type AskedOf<T> = T extends { readonly type: infer K } ? AskedOfKind<K> : AskedOfKind<T>

type AskedOfKind<T> = T extends `${infer B extends BaseType}[]`
  ? AskedByType[B]
  : T extends BaseType
    ? AskedByType[T]
    : unknown

/** What stands between filters. */
interface Combined<S extends Schema> {
  readonly and?: readonly Filter<S>[]
  readonly $and?: readonly Filter<S>[]
  readonly or?: readonly Filter<S>[]
  readonly $or?: readonly Filter<S>[]
  readonly nor?: readonly Filter<S>[]
  readonly $nor?: readonly Filter<S>[]
  readonly not?: Filter<S>
  readonly $not?: Filter<S>
  readonly $key?: Asked<Key<S>, OfKeys<Key<S>>>
}

/** Names with a dot lead into `json` fields; a dot of the name's own has a backslash in front. */
type Undeclared<S extends Schema> =
  RejectsExtra<S> extends true
    ? { readonly [path: `${string}.${string}`]: Asked<FilterValue, OfAnything> }
    : { readonly [path: string]: unknown }

/**
 * A condition on the fields of records; everything in it must hold.
 *
 * A declared field takes the operators and values of its type. Where the schema allows extra
 * fields, any other name may stand beside them.
 */
export type Filter<S extends Schema = Schema> = Schema extends S
  ? { readonly [path: string]: unknown }
  : { readonly [N in keyof Declared<S>]?: AskedOf<Declared<S>[N]> } & Combined<S> & Undeclared<S>

/**
 * A function of the caller's that says of each record whether it is meant, by its fields and its key. It runs on this
 * thread and answers at once.
 */
export type Predicate<S extends Schema = Schema> = {
  // As a method: a collection of one schema is one of any, as it is with filters that are data.
  asked(fields: Fields<S>, key: Key<S>): boolean
}['asked']

/** A filter, a function, or both: the function is asked about the records that the filter holds for. */
export type FilterOrPredicate<S extends Schema = Schema> =
  Filter<S> | Predicate<S> | readonly [filter: Filter<S>, predicate: Predicate<S>]

/** Levels of JSON that a filter within the limits can have. */
const levelsMax = 4 * limits.filterDepthMax

const combinators = new Set(['and', 'or', 'nor', 'not'])

/**
 * The filter as JSON; null without one.
 *
 * @throws {CairnError} `ERR_INVALID_FILTER` or `ERR_LIMIT_EXCEEDED` with the place in `details.path`.
 */
export function toNativeFilter(given: unknown, shape: SchemaShape): string | null {
  if (given === undefined) return null
  if (typeof given === 'function') {
    throw wrong('no function is asked here', 'a filter', given, 'filter')
  }
  try {
    return new Writer(shape).filter(given)
  } catch (error) {
    throw error instanceof CairnError ? atCaller(error, toNativeFilter) : error
  }
}

/** Writes one filter. */
class Writer {
  readonly #shape: SchemaShape
  readonly #steps: (string | number)[] = []

  constructor(shape: SchemaShape) {
    this.#shape = shape
  }

  filter(given: unknown): string {
    if (!isPlainObject(given)) throw this.#wrong('a filter is a plain object', given)
    return this.#members(given, (name, value) => this.#entry(name, value))
  }

  #entry(name: string, value: unknown): string {
    const plain = name.startsWith('$') ? name.slice(1) : name
    if (!combinators.has(plain)) {
      this.#refuseUndeclared(name)
      return this.#value(value)
    }
    if (plain === 'not') return this.filter(value)
    if (!Array.isArray(value)) throw this.#wrong(`${plain} is an array of filters`, value)
    return this.#elements(value, (filter) => this.filter(filter))
  }

  /** A condition or a value. */
  #value(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return this.#text(value)
      case 'number':
        return this.#number(value)
      case 'bigint':
        return this.#bigint(value)
      case 'boolean':
        return String(value)
      default:
    }
    if (value === null) return 'null'
    if (Array.isArray(value)) return this.#elements(value, (element) => this.#value(element))
    if (types.isDate(value)) return this.#date(value)
    if (types.isUint8Array(value)) return `{"$bytes":[${value.join(',')}]}`
    if (!isObject(value) || !isPlainObject(value)) {
      throw this.#wrong('a filter has values, arrays and plain objects', value)
    }
    return this.#members(value, (_, member) => this.#value(member))
  }

  #members(object: object, write: (name: string, value: unknown) => string): string {
    const parts = Object.entries(object).map(([name, value]) =>
      this.#at(name, () => `${this.#text(name)}:${write(name, value)}`),
    )
    return `{${parts.join(',')}}`
  }

  #elements(values: readonly unknown[], write: (value: unknown) => string): string {
    if (values.length > limits.filterValuesMax) {
      throw this.#over('too many values in a list', limits.filterValuesMax, values.length)
    }
    const parts = Array.from(values, (value, index) => this.#at(index, () => write(value)))
    return `[${parts.join(',')}]`
  }

  #at(step: string | number, write: () => string): string {
    if (this.#steps.length >= levelsMax) {
      throw this.#over('filters are nested too deeply', limits.filterDepthMax)
    }
    this.#steps.push(step)
    const json = write()
    this.#steps.pop()
    return json
  }

  #text(text: string): string {
    if (!isWellFormed(text)) throw this.#wrong('a text has half a character', text)
    return JSON.stringify(text)
  }

  #number(value: number): string {
    if (!Number.isFinite(value)) throw this.#wrong('a number is not finite', value)
    // JSON.stringify rounds whole numbers from 2^53 on to the shortest that is read back as a double.
    const isWhole = Number.isInteger(value) && Math.abs(value) < 2 ** 64
    return isWhole ? BigInt(value).toString() : JSON.stringify(value)
  }

  #bigint(value: bigint): string {
    if (value < -(2n ** 63n) || value >= 2n ** 64n) {
      throw this.#wrong('an integer is beyond 64 bits', value)
    }
    return value.toString()
  }

  #date(value: Date): string {
    const ms = Date.prototype.getTime.call(value)
    if (Number.isNaN(ms)) throw this.#wrong('a date is invalid', value)
    return `{"$date":${ms}}`
  }

  #refuseUndeclared(path: string): void {
    const { fields, rejectExtra } = this.#shape
    if (!rejectExtra || path.startsWith('$')) return
    const name = firstName(path)
    const names = fields.map((field) => field.name)
    if (names.includes(name)) return
    const word = name.toLowerCase()
    const meant = combinators.has(word) ? word : nearest(name, names)
    const hint = meant === undefined ? {} : { suggestion: meant }
    throw this.#wrong('the schema has no such field', name, hint)
  }

  #wrong(what: string, got: unknown, more: object = {}): CairnError {
    const details = { path: this.#path(), got: describe(got), ...more }
    return new CairnError('ERR_INVALID_FILTER', what, details)
  }

  #over(what: string, limit: number, got?: number): CairnError {
    const facts = got === undefined ? { limit } : { limit, got }
    return new CairnError('ERR_LIMIT_EXCEEDED', what, { path: this.#path(), ...facts })
  }

  /** As a program would write it: `and[1].year.gte`. */
  #path(): string {
    let path = ''
    for (const step of this.#steps) {
      if (typeof step === 'number') path += `[${step}]`
      else path += path === '' ? step : `.${step}`
    }
    return path
  }
}

/** The first name of a dotted path; crates/filter/src/path.rs reads it all. */
export function firstName(path: string): string {
  const escaped = path.startsWith('\\') && combinators.has(path.slice(1))
  if (escaped) return path.slice(1)
  let name = ''
  for (let at = 0; at < path.length && path[at] !== '.'; at += 1) {
    if (path[at] === '\\' && '.\\$'.includes(path[at + 1] ?? ' ')) at += 1
    name += path[at]
  }
  return name
}
