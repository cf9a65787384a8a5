// A function of the caller's as a filter: which records pass is asked here, of those that the engine finds.
import { types } from 'node:util'
import { wrong } from './check.js'
import { CairnError } from './errors.js'
import type { HitObject, RowObject } from './native/from-native.js'
import { CallersOwn } from './rerank.js'
import type { NativeQuery, NativeSelect } from './search.js'
import { limits } from './limits.js'

/** As `Predicate` of the public types. */
export type AnyPredicate = (fields: RowObject['fields'], key: string | bigint) => unknown

/** A filter, taken apart. */
export interface Parted {
  /** What the engine decides; nothing where the function decides alone. */
  readonly declared: unknown
  /** Asked about what is left. */
  readonly predicate: AnyPredicate | undefined
}

/** All fields: a function may look at any. */
export const allFields = 1 as const

/** Records that the first round of a search looks at, at least; each later one looks at four times as many. */
const roundMin = 64

/** Keys that a filter can leave out; `FILTER_VALUES_MAX` of crates/filter/src/parse.rs. */
const keysMax = 1_000_000

/**
 * Takes a filter apart: a function, or `[filter, function]`.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` for a function that cannot answer at once.
 */
export function parted(filter: unknown): Parted {
  const isPair = Array.isArray(filter) && filter.length === 2
  const [declared, last] = isPair ? (filter as [unknown, unknown]) : [undefined, filter]
  if (typeof last !== 'function') return { declared: filter, predicate: undefined }
  if (types.isAsyncFunction(last) || types.isGeneratorFunction(last) || isClass(last)) {
    throw wrong('a filter answers at once', '(fields, key) => boolean', last, 'filter')
  }
  return { declared, predicate: last as AnyPredicate }
}

/** A class cannot be called, and looks like a function otherwise. */
function isClass(value: object): boolean {
  return Function.prototype.toString.call(value).startsWith('class')
}

/**
 * Whether a record passes.
 *
 * @throws {CallersOwn} for what the function throws; {@link CairnError} for an answer that is none.
 */
export function passes(predicate: AnyPredicate, { fields, key }: RowObject): boolean {
  const answer = asked(predicate, fields, key)
  if (typeof answer === 'boolean') return answer
  throw wrong('a filter answers true or false', 'boolean', answer, 'filter')
}

function asked(
  predicate: AnyPredicate,
  fields: RowObject['fields'],
  key: string | bigint,
): unknown {
  try {
    return predicate(fields, key)
  } catch (error) {
    throw new CallersOwn(error)
  }
}

/** Leaves of a record's fields those that were asked for. */
export function trimmed<R extends RowObject>(record: R, { fields, names }: NativeSelect): R {
  if (fields === allFields) return record
  const all = record.fields
  const wanted = fields === 0 || names === null ? [] : names
  const kept = wanted.filter((name) => Object.hasOwn(all, name)).map((name) => [name, all[name]])
  record.fields = Object.fromEntries(kept) as RowObject['fields']
  return record
}

/** What the engine is asked in one round. */
export type Round = Pick<NativeQuery, 'numbers' | 'filter'>

/**
 * The nearest `k` hits that pass, found in rounds: each asks for records that no earlier one gave, four times as
 * many, until enough have passed or there are no more. Yields what to ask, and is given the hits.
 */
function* passing(
  { numbers, filter }: Round,
  predicate: AnyPredicate,
  select: NativeSelect,
): Generator<Round, HitObject[], readonly HitObject[]> {
  const k = numbers[1] as number
  const deadline = performance.now() + (numbers[8] as number)
  const seen: (string | bigint)[] = []
  const passed: HitObject[] = []
  let asked = Math.min(limits.kMax, Math.max(4 * k, roundMin))
  for (;;) {
    const found = yield {
      numbers: ofRound(numbers, asked, deadline),
      filter: seen.length === 0 ? filter : without(filter, seen),
    }
    for (const hit of found) {
      if (!passes(predicate, hit)) continue
      passed.push(trimmed(hit, select))
      if (passed.length === k) break
    }
    if (passed.length === k || found.length < asked) break
    for (const { key } of found) seen.push(key)
    if (seen.length > keysMax) {
      const message = 'a function is asked about too many records: let a filter leave some out'
      throw new CairnError('ERR_LIMIT_EXCEEDED', message, { limit: keysMax, path: 'filter' })
    }
    asked = Math.min(limits.kMax, asked * 4)
  }
  // Where graphs are walked, a later round may find a record that an earlier one has missed.
  return passed.sort((a, b) => a.distance - b.distance)
}

/** The hits of a search, those alone that pass where a function is asked. */
export async function inRounds(
  given: NativeQuery,
  search: (round: NativeQuery) => Promise<HitObject[]>,
): Promise<HitObject[]> {
  const { predicate } = given
  if (predicate === undefined) return search(given)
  const rounds = passing(given, predicate.test, predicate.select)
  let round = rounds.next()
  while (round.done !== true) {
    // oxlint-disable-next-line no-await-in-loop -- each round follows from the one before
    round = rounds.next(await search({ ...given, ...round.value }))
  }
  return round.value
}

/** As {@link inRounds}, without a promise. */
export function inRoundsSync(
  given: NativeQuery,
  search: (round: NativeQuery) => HitObject[],
): HitObject[] {
  const { predicate } = given
  if (predicate === undefined) return search(given)
  const rounds = passing(given, predicate.test, predicate.select)
  let round = rounds.next()
  while (round.done !== true) round = rounds.next(search({ ...given, ...round.value }))
  return round.value
}

function ofRound(numbers: Float64Array, asked: number, deadline: number): Float64Array {
  const round = numbers.slice()
  round[1] = asked
  // A candidate list has room for what is asked for.
  if (round[2] === 1) round[3] = Math.max(round[3] as number, asked)
  if (numbers[8] !== 0) {
    round[8] = deadline - performance.now()
    if (round[8] <= 0) throw new CairnError('ERR_DEADLINE', 'the deadline passed')
  }
  return round
}

/** The filter for all records but those with these keys. */
function without(filter: string | null, keys: readonly (string | bigint)[]): string {
  return both(filter, `{"$key":{"nin":${listOf(keys)}}}`)
}

/** The filter for those records with these keys alone. */
export function among(filter: string | null, keys: readonly (string | bigint)[]): string {
  return both(filter, `{"$key":{"in":${listOf(keys)}}}`)
}

function both(filter: string | null, other: string): string {
  return filter === null ? other : `{"and":[${other},${filter}]}`
}

function listOf(keys: readonly (string | bigint)[]): string {
  const one = (key: string | bigint): string =>
    typeof key === 'bigint' ? String(key) : JSON.stringify(key)
  return `[${keys.map(one).join(',')}]`
}
