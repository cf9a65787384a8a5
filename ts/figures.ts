// Facets and figures: their questions, checked, and their answers in public types.
import { types } from 'node:util'
import {
  checkSignal,
  isPlainObject,
  numberWithin,
  oneOf,
  optionsOf,
  refuseUnknown,
  wholeNumber,
  wrong,
} from './check.js'
import { toNativeFilter } from './filter.js'
import { limits } from './limits.js'
import { setOwn } from './msgpack/decode.js'
import type { BindingFigure, BindingNumber, BindingQuestion } from './native/binding.js'
import type { SchemaShape } from './schema.js'
import { positive } from './search.js'
import { toFieldPath } from './shape.js'

/** Over which records, and for how long. */
export interface NativeOver {
  /** JSON. */
  readonly filter: string | null
  /** 0 for none. */
  readonly deadlineMs: number
  readonly signal: AbortSignal | undefined
}

const overNames = new Set(['filter', 'deadlineMs', 'signal'])
const facetNames = new Set([...overNames, 'k'])
const questionNames = new Set(['op', 'field', 'buckets', 'bounds'])
const operations = ['min', 'max', 'sum', 'mean', 'count', 'histogram'] as const
const measured = new Set(['int', 'float', 'date', 'json'])

/** Checks options of a facet. */
export function toNativeFacet(options: unknown, shape: SchemaShape): NativeOver & { k: number } {
  const given = optionsOf(
    options as Record<string, unknown> | undefined,
    facetNames,
    'facet options',
  )
  const { k } = given
  return {
    ...over(given, shape),
    k: k === undefined ? limits.kMax : wholeNumber(k, 'k', 1, limits.kMax),
  }
}

/** Checks options of figures. */
export function toNativeOver(options: unknown, shape: SchemaShape): NativeOver {
  const what = 'aggregate options'
  return over(optionsOf(options as Record<string, unknown> | undefined, overNames, what), shape)
}

function over(given: Record<string, unknown>, shape: SchemaShape): NativeOver {
  const { filter, deadlineMs, signal } = given
  return {
    filter: toNativeFilter(filter, shape),
    deadlineMs: deadlineMs === undefined ? 0 : positive(deadlineMs, 'deadlineMs'),
    signal: checkSignal(signal),
  }
}

/** What is asked, and what to make of the answers. */
export interface NativeAggregate {
  readonly questions: readonly BindingQuestion[]
  readonly answer: (figures: readonly BindingFigure[]) => Record<string, unknown>
}

/**
 * Checks what is asked: a field, or questions by name.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED` with `details.path`.
 */
export function toNativeAggregate(wanted: unknown, shape: SchemaShape): NativeAggregate {
  if (typeof wanted === 'string') return summary(wanted, shape)
  if (!isPlainObject(wanted)) {
    throw wrong('figures are of a field, or by name', 'field | { [name]: { op, field } }', wanted)
  }
  const names = Object.keys(wanted)
  const questions = names.map((name) => question(wanted[name], name, shape))
  return {
    questions,
    answer: (figures) => {
      const answers: Record<string, unknown> = {}
      names.forEach((name, at) => setOwn(answers, name, fromFigure(figures[at] as BindingFigure)))
      return answers
    },
  }
}

/** All that is to be said of one field. */
function summary(wanted: string, shape: SchemaShape): NativeAggregate {
  const field = measuredField(wanted, 'field', shape)
  const ops = ['numbers', 'min', 'max', 'sum', 'mean'] as const
  return {
    questions: ops.map((op) => ({ field, op })),
    answer: (figures) => {
      const [count, min, max, sum, mean] = figures.map(fromFigure)
      return { count, min, max, sum, mean }
    },
  }
}

function question(wanted: unknown, name: string, shape: SchemaShape): BindingQuestion {
  if (!isPlainObject(wanted)) throw wrong('a figure is an object', '{ op, field }', wanted, name)
  refuseUnknown(wanted, questionNames, name)
  const op = oneOf(wanted['op'], operations, `${name}.op`)
  const path = `${name}.field`
  const field =
    op === 'count'
      ? toFieldPath(wanted['field'], path, shape)
      : measuredField(wanted['field'], path, shape)
  if (op === 'sum' && kindOf(field, shape) === 'date') {
    throw wrong('dates have no sum', 'int | float', 'date', path)
  }
  const { buckets, bounds } = wanted
  if (op !== 'histogram') {
    const [extra, value] = buckets === undefined ? ['bounds', bounds] : ['buckets', buckets]
    if (value !== undefined)
      throw wrong(`${op} has no ${extra}`, 'nothing', value, `${name}.${extra}`)
    return { field, op }
  }
  if ((buckets === undefined) === (bounds === undefined)) {
    throw wrong('a histogram has buckets or bounds', 'one of them', bounds, `${name}.buckets`)
  }
  if (buckets !== undefined) {
    return { field, op, buckets: wholeNumber(buckets, `${name}.buckets`, 1, limits.bucketsMax) }
  }
  return { field, op, bounds: toBounds(bounds, `${name}.bounds`) }
}

function toBounds(bounds: unknown, path: string): BindingNumber[] {
  if (!Array.isArray(bounds) || bounds.length < 2) {
    throw wrong('bounds are at least two, ascending', '(number | bigint | Date)[]', bounds, path)
  }
  wholeNumber(bounds.length - 1, path, 1, limits.bucketsMax)
  const given = Array.from(bounds, (bound: unknown, at) => toNumber(bound, `${path}[${at}]`))
  for (let at = 1; at < bounds.length; at += 1) {
    const [before, bound] = [bounds[at - 1], bounds[at]] as [number, number]
    const isOfOneKind = types.isDate(before) === types.isDate(bound)
    if (!isOfOneKind || !(before < bound)) {
      throw wrong('bounds are of one kind, ascending', 'a larger one', bound, `${path}[${at}]`)
    }
  }
  return given
}

function toNumber(bound: unknown, path: string): BindingNumber {
  if (types.isDate(bound)) {
    const date = Date.prototype.getTime.call(bound)
    if (Number.isNaN(date)) throw wrong('a date is invalid', 'Date', bound, path)
    return { date }
  }
  if (typeof bound === 'bigint' && BigInt.asIntN(64, bound) === bound) return { int: String(bound) }
  return { float: numberWithin(bound, path, -Number.MAX_VALUE, Number.MAX_VALUE) }
}

/** A field that has numbers or dates, as far as the schema says. */
function measuredField(wanted: unknown, path: string, shape: SchemaShape): string {
  const field = toFieldPath(wanted, path, shape)
  const kind = kindOf(field, shape)
  if (kind !== undefined && !measured.has(kind)) {
    throw wrong('the field has no numbers and no dates', 'int | float | date', kind, path)
  }
  return field
}

/** The declared type of a field, of its elements where it is an array; undefined for what is not declared. */
function kindOf(field: string, { fields }: SchemaShape): string | undefined {
  const kind = fields.find(({ name }) => name === field)?.kind
  return kind?.endsWith('[]') === true ? kind.slice(0, -2) : kind
}

function fromFigure({ value, count, bounds, counts }: BindingFigure): unknown {
  if (bounds && counts) {
    return counts.map((each, at) => ({
      from: fromNumber(bounds[at] as BindingNumber),
      to: fromNumber(bounds[at + 1] as BindingNumber),
      count: each,
    }))
  }
  if (typeof count === 'number') return count
  return value ? fromNumber(value) : null
}

/** Integers that a number holds exactly are numbers, the others are bigints. */
function fromNumber({ int, float, date }: BindingNumber): number | bigint | Date {
  if (typeof date === 'number') return new Date(date)
  if (typeof int !== 'string') return float as number
  const number = Number(int)
  return Number.isSafeInteger(number) ? number : BigInt(int)
}
