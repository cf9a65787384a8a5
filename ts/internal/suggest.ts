// What a name that nobody knows was probably meant to be: one that is spelt nearly so, or what others call it.
import { nearest } from './nearest.js'

/** Names of other databases, in small letters without underscores, and ours: the first one that is known counts. */
const foreignNames: Readonly<Record<string, readonly string[]>> = {
  topk: ['k'],
  top: ['k'],
  limit: ['k'],
  n: ['k'],
  nresults: ['k'],
  numresults: ['k'],
  where: ['filter'],
  filters: ['filter'],
  embedding: ['vector', 'vectors'],
  embeddings: ['vectors', 'vector'],
  values: ['vector', 'vectors'],
  queryvector: ['vector', 'vectors'],
  includevectors: ['vectors'],
  includevalues: ['vectors'],
  withvectors: ['vectors'],
  id: ['key', 'keys'],
  ids: ['keys', 'key'],
  metadata: ['fields'],
  metadatas: ['fields'],
  payload: ['fields'],
  properties: ['fields'],
  include: ['select'],
  outputfields: ['select'],
  withpayload: ['select'],
  ef: ['efSearch'],
  hnswef: ['efSearch'],
  timeout: ['deadlineMs', 'timeoutMs'],
  timeoutms: ['deadlineMs'],
  scorethreshold: ['minScore'],
  threshold: ['minScore'],
  cursor: ['after'],
  offset: ['after'],
  sort: ['orderBy'],
  order: ['orderBy'],
  sortby: ['orderBy'],
  groupby: ['groupBy'],
  dimension: ['dim'],
  dimensions: ['dim'],
  dims: ['dim'],
  distance: ['metric'],
  metrictype: ['metric'],
  readonly: ['mode'],
}

/** The name of `known` that `name` was probably meant to be. */
export function meant(name: string, known: Iterable<string>): string | undefined {
  const names = [...known]
  const plain = name.replaceAll('_', '').toLowerCase()
  const ours = Object.hasOwn(foreignNames, plain) ? (foreignNames[plain] ?? []) : []
  return ours.find((each) => names.includes(each)) ?? nearest(name, names)
}

const operators =
  'eq ne gt gte lt lte in nin any none all contains exists isNull startsWith match regex geoRadius geoBox not'.split(
    ' ',
  )

/** Operators of other databases in small letters, and ours. */
const foreignOperators: Readonly<Record<string, string>> = {
  between: 'gte and lte',
  range: 'gte and lte',
  equals: 'eq',
  '=': 'eq',
  '==': 'eq',
  neq: 'ne',
  noteq: 'ne',
  '!=': 'ne',
  '<>': 'ne',
  '>': 'gt',
  '>=': 'gte',
  ge: 'gte',
  '<': 'lt',
  '<=': 'lte',
  le: 'lte',
  notin: 'nin',
  not_in: 'nin',
  prefix: 'startsWith',
  like: 'match, startsWith or regex',
  ilike: 'match, startsWith or regex',
  near: 'geoRadius',
  null: 'isNull',
}

/** What was probably meant in a filter that the engine refused at this path. */
export function meantInFilter(message: string, path: string): string | undefined {
  const steps = path.split(/\.|\[\d+\]/).filter((step) => step !== '')
  const combinator = steps.find((step) => /^\$?(?:AND|OR|NOR|NOT)$/.test(step))
  if (combinator !== undefined) return combinator.replace('$', '').toLowerCase()
  const last = steps.at(-1)?.replace(/^\$/, '')
  if (last === undefined || !message.includes('operator')) return undefined
  const plain = last.toLowerCase()
  return Object.hasOwn(foreignOperators, plain) ? foreignOperators[plain] : nearest(last, operators)
}
