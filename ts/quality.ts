// How many of the true neighbours searches find: questions, checked, and answers in public types.
import { flag, numberWithin, optionsOf, wholeNumber, wrong } from './check.js'
import { toNativeFilter, type Filter } from './filter.js'
import type { Matrix, VectorName } from './infer.js'
import type { JobOptions } from './job.js'
import { limits } from './limits.js'
import type { BindingMeasurement, BindingQuality, BindingTuned } from './native/binding.js'
import { toColumn } from './native/to-native.js'
import type { Schema, SchemaShape, VectorShape } from './schema.js'

/** What is asked for when recall is measured. */
export interface Measured<S extends Schema = Schema> extends JobOptions {
  /** Neighbours that are looked for, 1 ... 10,000; default 10. */
  readonly k?: number | undefined
  /**
   * So many records, drawn at random, are the queries, 1 ... 10,000; default 200. Each is asked for as if
   * it were not stored, and found a little less well than an unseen query would be. Every query is compared with every record, so a large sample takes a while.
   */
  readonly sample?: number | undefined
  /** Queries of your own in the place of a sample, `queries * dim` row by row: what users ask may be unlike what is stored. */
  readonly queries?: Matrix<S> | undefined
  /** The vector field; needed where the schema has several. */
  readonly field?: VectorName<S> | undefined
  /** Searches are for records that it holds for; the sample is of all records. */
  readonly filter?: Filter<S> | undefined
}

/** Options of {@link Collection.recall}. */
export interface RecallOptions<S extends Schema = Schema> extends Measured<S> {
  /** The target of the searches, 0.5 ... 1; default 0.95. */
  readonly recall?: number | undefined
  /** A candidate list in the place of a target. */
  readonly efSearch?: number | undefined
}

/** Options of {@link Collection.tune}. */
export interface TuneOptions<S extends Schema = Schema> extends Measured<S> {
  /** What is to be reached, 0.5 ... below 1. */
  readonly recall: number
  /** Whether searches go by what was found from now on; default false. */
  readonly apply?: boolean | undefined
}

/** What was measured. */
export interface RecallReport {
  /** The share of the true neighbours that were found, 0 ... 1. A neighbour as near as the last true one is one. */
  readonly recall: number
  /** The lower end of the 95 % confidence interval. */
  readonly low: number
  /** The upper end of it. */
  readonly high: number
  /** Searches that were made. */
  readonly queries: number
  /** The median time of a search in microseconds, its filter not included. */
  readonly searchMicros: number
  /** The median time of comparing with every record that the filter holds for, in microseconds. */
  readonly exactMicros: number
}

/** What was found out. */
export interface TuneReport {
  /** Whether the target was reached. */
  readonly reached: boolean
  /** The smallest factor of the candidate lists that reaches the target, or the largest that was tried. */
  readonly factor: number
  /** The recall with it. */
  readonly after: RecallReport
  /** The factor so far; 1 in a collection that was never tuned. */
  readonly factorBefore: number
  /** The recall so far. */
  readonly before: RecallReport
  /** Whether searches with a `recall` go by it from now on. */
  readonly applied: boolean
}

/** A collection whose searches are measured. */
export interface Measurable<S extends Schema = Schema> {
  /**
   * Measures what share of the true neighbours searches find, with records of the collection or queries of
   * your own: every one of them is compared with every record, and searched for.
   *
   * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`, `ERR_INVALID_FILTER`, `ERR_DIM_MISMATCH`,
   * `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`; `ERR_NOT_FOUND` where there is no record; `ERR_ABORTED`; `ERR_CLOSED`.
   */
  recall(options?: RecallOptions<S>): Promise<RecallReport>

  /**
   * Finds the shortest candidate lists that reach a recall, as a factor of those that reached it when the
   * graphs were built. With `apply` the collection keeps the factor: searches with a `recall` go by it, in
   * other processes too. Where graphs stand over less than half of the records nothing is kept (`applied` is
   * false): records without a graph are all compared, which says nothing of lists. A target near the bottom of what a graph can do may be exceeded by any factor.
   *
   * @throws {CairnError} As {@link recall}; `ERR_READ_ONLY` for `apply` where nothing can be written.
   */
  tune(options: TuneOptions<S>): Promise<TuneReport>
}

const measuredNames = ['k', 'sample', 'queries', 'field', 'filter', 'onProgress', 'signal'] as const
const recallNames = new Set([...measuredNames, 'recall', 'efSearch'])
const tuneNames = new Set([...measuredNames, 'recall', 'apply'])

/** Records that are drawn when nobody says how many: the interval is about two points wide then. */
const sampleDefault = 200
const recallDefault = 0.95
const kDefault = 10

/** Checks options of a measurement. */
export function toRecall(
  options: unknown,
  shape: SchemaShape,
): JobOptions & { readonly measurement: BindingMeasurement } {
  const given = optionsOf<RecallOptions>(options as RecallOptions, recallNames, 'recall options')
  const { recall, efSearch } = given
  if (recall !== undefined && efSearch !== undefined) {
    throw wrong('recall and efSearch exclude each other', 'one of them', efSearch, 'efSearch')
  }
  const measurement = {
    ...measured(given, shape),
    recall: recall === undefined ? recallDefault : numberWithin(recall, 'recall', 0.5, 1),
  }
  const list =
    efSearch === undefined ? {} : { efSearch: wholeNumber(efSearch, 'efSearch', 1, limits.efMax) }
  return { ...job(given), measurement: { ...measurement, ...list } }
}

/** Checks what is to be reached. */
export function toTune(
  options: unknown,
  shape: SchemaShape,
): JobOptions & { readonly measurement: BindingMeasurement; readonly apply: boolean } {
  const given = optionsOf<TuneOptions>(options as TuneOptions, tuneNames, 'tune options')
  const recall = numberWithin(given.recall, 'recall', 0.5, 1)
  if (recall === 1) throw wrong('a recall of 1 is exact', 'below 1', recall, 'recall')
  const apply = given.apply === undefined ? false : flag(given.apply, 'apply')
  return { ...job(given), measurement: { ...measured(given, shape), recall }, apply }
}

function job({ onProgress, signal }: JobOptions): JobOptions {
  return { onProgress, signal }
}

function measured(given: Measured, shape: SchemaShape): Omit<BindingMeasurement, 'recall'> {
  const { k, sample, queries, filter } = given
  if (sample !== undefined && queries !== undefined) {
    throw wrong('sample and queries exclude each other', 'one of them', sample, 'sample')
  }
  const field = fieldOf(given.field, shape)
  const measured = shape.vectors[field] as VectorShape
  const asked =
    queries === undefined ? {} : { queries: toColumn(queries, undefined, measured).floats }
  const json = toNativeFilter(filter, shape)
  return {
    field,
    k: k === undefined ? kDefault : wholeNumber(k, 'k', 1, limits.kMax),
    sample:
      sample === undefined ? sampleDefault : wholeNumber(sample, 'sample', 1, limits.sampleMax),
    ...asked,
    ...(json === null ? {} : { filter: json }),
  }
}

function fieldOf(name: unknown, { vectors }: SchemaShape): number {
  const names = vectors.map((field) => field.name)
  if (name === undefined && names.length === 1) return 0
  const found = names.findIndex((candidate) => candidate === name)
  if (found === -1) {
    const what =
      name === undefined
        ? 'the schema has several vector fields: name one'
        : 'the schema has no such vector field'
    throw wrong(what, names.join(' | '), name, 'field')
  }
  return found
}

/** What was measured, in public types. */
export function fromQuality(quality: BindingQuality): RecallReport {
  const { recall, low, high, queries, searchMicros, exactMicros } = quality
  return { recall, low, high, queries, searchMicros, exactMicros }
}

/** What was found out, in public types. */
export function fromTuned(tuned: BindingTuned, recall: number): TuneReport {
  const after = fromQuality(tuned.after)
  return {
    reached: after.recall >= recall,
    factor: tuned.factor,
    after,
    factorBefore: tuned.factorBefore,
    before: fromQuality(tuned.before),
    applied: tuned.applied,
  }
}
