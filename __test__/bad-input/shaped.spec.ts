// Wrong groups, orders, facets and figures.
import { arg, good, key, limit, never, table, type Case, type World } from '../helpers/bad-input.js'

const search = (query: object) => (now: World) => now.cos.search(never({ vector: good, ...query }))
const bare = (query: object) => (now: World) => now.cos.search(never(query))
const sync = (query: object) => (now: World) => now.cos.searchSync(never(query))
const batch = (query: object) => (now: World) =>
  now.cos.searchBatch(never({ vectors: new Float32Array(good), ...query }))
const scan = (options: object) => (now: World) => now.cos.scan(never(options))
const facet = (field: unknown, options?: unknown) => (now: World) =>
  now.cos.facet(never(field), never(options))
const figures = (wanted: unknown, options?: unknown) => (now: World) =>
  now.cos.aggregate(never(wanted), never(options))
const figure = (one: unknown) => figures({ it: one })
const filter = 'ERR_INVALID_FILTER'

/** What is no field. */
const noFields: readonly unknown[] = [undefined, null, 5, '', '\ud800', [], {}, true, 5n]
const shown = (value: unknown): string => {
  if (typeof value === 'bigint') return `${value}n`
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'undefined')
}

table('like', [
  ['a key that is a number', key, bare({ like: 5 })],
  ['a key that is a bigint', key, bare({ like: 5n })],
  ['an empty key', key, bare({ like: '' })],
  ['null', key, bare({ like: null })],
  ['an array', key, bare({ like: ['one'] })],
  ['half a character', key, bare({ like: '\ud800' })],
  ['a key that is too long', key, bare({ like: 'x'.repeat(1025) })],
  ['no key in an object', key, bare({ like: {} })],
  ['an unknown name', arg, bare({ like: { key: 'one', vector: 'vector' } }), { path: 'vector' }],
  [
    'a field that is not there',
    arg,
    bare({ like: { key: 'one', field: 'x' } }),
    { path: 'like.field' },
  ],
  ['a text where keys are numbers', key, ({ ids }) => ids.search(never({ like: '1' }))],
  ['a negative key', key, ({ ids }) => ids.search({ like: -1n })],
  ['no field of several', arg, ({ two }) => two.search({ like: 'one' }), { path: 'like' }],
  ['a vector as well', arg, search({ like: 'one' }), { path: 'like' }],
  ['nobody', 'ERR_NOT_FOUND', bare({ like: 'nobody' }), { key: 'nobody' }],
  ['nobody, synchronously', 'ERR_NOT_FOUND', sync({ like: 'nobody' }), { key: 'nobody' }],
  ['in a batch', arg, batch({ like: 'one' }), { path: 'like' }],
  ['in an explanation of nobody', 'ERR_NOT_FOUND', ({ cos }) => cos.explain({ like: 'nobody' })],
])

table('groupBy', [
  ...[5, 'int', null, [], true].map(
    (given) => [shown(given), arg, search({ groupBy: given }), { path: 'groupBy' }] as const,
  ),
  ...noFields.map(
    (field) =>
      [
        `field ${shown(field)}`,
        arg,
        search({ groupBy: { field } }),
        { path: 'groupBy.field' },
      ] as const,
  ),
  ...[0, -1, 1.5, '2', Number.NaN, null].map(
    (size) =>
      [
        `size ${shown(size)}`,
        arg,
        search({ groupBy: { field: 'int', size } }),
        { path: 'groupBy.size' },
      ] as const,
  ),
  [
    'size 10,001',
    limit,
    search({ groupBy: { field: 'int', size: 10_001 } }),
    { path: 'groupBy.size' },
  ],
  ['an unknown name', arg, search({ groupBy: { field: 'int', k: 1 } }), { path: 'k' }],
  ['the key', arg, search({ groupBy: { field: '$key' } }), { field: '$key' }],
  ['half a path', arg, search({ groupBy: { field: 'json.' } }), { field: 'json.' }],
  [
    'what a strict schema lacks',
    arg,
    ({ strict }) => strict.search(never({ vector: [1], groupBy: { field: 'nope' } })),
    { path: 'groupBy.field' },
  ],
  [
    'diversity as well',
    arg,
    search({ groupBy: { field: 'int' }, diversity: 0.5 }),
    { path: 'diversity' },
  ],
  ['in a batch', arg, batch({ groupBy: { field: 'int' } }), { path: 'groupBy' }],
  ['without a vector', arg, bare({ groupBy: { field: 'int' } }), { path: 'groupBy' }],
])

table('diversity', [
  ...[-0.1, 1.1, Number.NaN, '0.5', null, true, 5n].map(
    (given) => [shown(given), arg, search({ diversity: given }), { path: 'diversity' }] as const,
  ),
  ['in a batch', arg, batch({ diversity: 0.5 }), { path: 'diversity' }],
  ['without a vector', arg, bare({ diversity: 0.5 }), { path: 'diversity' }],
])

table('a search of nothing', [
  ['a vector that is undefined', arg, bare({ vector: undefined }), { path: 'vector' }],
  ['a vector that is null', arg, bare({ vector: null })],
  ['maxDistance', arg, bare({ maxDistance: 1 }), { path: 'maxDistance' }],
  ['minScore', arg, bare({ minScore: 0 }), { path: 'minScore' }],
  ['k 0', arg, bare({ k: 0 }), { path: 'k' }],
  ['k 10,001', limit, bare({ k: 10_001 }), { path: 'k' }],
  ['a wrong filter', filter, bare({ filter: { a: { larger: 1 } } })],
  ['a deadline of 0', arg, bare({ deadlineMs: 0 }), { path: 'deadlineMs' }],
])

const waits = [
  [
    'count',
    ({ cos }: World, deadlineMs: unknown) => cos.count({}, { deadlineMs: never(deadlineMs) }),
  ],
  ['get', ({ cos }: World, deadlineMs: unknown) => cos.get('a', { deadlineMs: never(deadlineMs) })],
  [
    'scan',
    ({ cos }: World, deadlineMs: unknown) => cos.scan({ deadlineMs: never(deadlineMs) }).next(),
  ],
] as const
for (const [title, call] of waits) {
  table(
    `a deadline of ${title}`,
    [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 'five', 5n, null, []].map((bad): Case => [
      String(bad),
      arg,
      (world) => call(world, bad),
      { path: 'deadlineMs' },
    ]),
  )
}

table('orderBy', [
  ...noFields
    .slice(1, 6)
    .map((field) => [shown(field), arg, scan({ orderBy: field }), { path: 'orderBy' }] as const),
  ...noFields.map(
    (field) =>
      [
        `field ${shown(field)}`,
        arg,
        scan({ orderBy: { field } }),
        { path: 'orderBy.field' },
      ] as const,
  ),
  ...['down', 'ASC', 1, null, true].map(
    (order) =>
      [
        `order ${shown(order)}`,
        arg,
        scan({ orderBy: { field: 'int', order } }),
        { path: 'orderBy.order' },
      ] as const,
  ),
  ['an unknown name', arg, scan({ orderBy: { field: 'int', desc: true } }), { path: 'desc' }],
  ['a wrong operator', arg, ({ cos }) => cos.scan({ orderBy: '$id' }).next(), { field: '$id' }],
  ['half a path', arg, ({ cos }) => cos.scan({ orderBy: 'a..b' }).next(), { field: 'a..b' }],
  [
    'what a strict schema lacks',
    arg,
    ({ strict }) => strict.scan(never({ orderBy: 'nope' })),
    { path: 'orderBy' },
  ],
  ['a cursor by key', arg, scan({ orderBy: 'int', after: 'sb25l' }), { path: 'after' }],
  ['no cursor', arg, scan({ orderBy: 'int', after: 'one' }), { path: 'after' }],
  ['a number as a cursor', arg, scan({ orderBy: 'int', after: 5 }), { path: 'after' }],
  [
    'a signal that has fired',
    'ERR_ABORTED',
    (now) => now.cos.scan({ orderBy: 'int', signal: AbortSignal.abort() }).next(),
  ],
])

table('facet', [
  ...noFields.map((field) => [shown(field), arg, facet(field), { path: 'field' }] as const),
  ...[0, -1, 1.5, '5', Number.NaN, null].map(
    (k) => [`k ${shown(k)}`, arg, facet('int', { k }), { path: 'k' }] as const,
  ),
  ['k 10,001', limit, facet('int', { k: 10_001 }), { path: 'k' }],
  ['the key', arg, facet('$key'), { field: '$key' }],
  ['half a path', arg, facet('a.'), { field: 'a.' }],
  ['an unknown option', arg, facet('int', { limit: 5 }), { path: 'limit' }],
  ['options that are none', arg, facet('int', 5)],
  ['a wrong filter', filter, facet('int', { filter: { a: { larger: 1 } } })],
  ['a filter that is a function', arg, facet('int', { filter: () => true })],
  ['a deadline of 0', arg, facet('int', { deadlineMs: 0 }), { path: 'deadlineMs' }],
  ['a deadline that is NaN', arg, facet('int', { deadlineMs: Number.NaN }), { path: 'deadlineMs' }],
  ['a signal that is a text', arg, facet('int', { signal: 'stop' }), { path: 'signal' }],
  ['a signal that has fired', 'ERR_ABORTED', facet('int', { signal: AbortSignal.abort() })],
  [
    'what a strict schema lacks',
    arg,
    ({ strict }) => strict.facet(never('nope')),
    { path: 'field' },
  ],
])

table('figures', [
  ...[undefined, null, 5, [], true].map((wanted) => [shown(wanted), arg, figures(wanted)] as const),
  ['an empty name', arg, figures('')],
  ['words', arg, figures('text'), { path: 'field' }],
  ['a keyword', arg, figures('keyword'), { path: 'field' }],
  ['flags', arg, figures('bools'), { path: 'field' }],
  ['a place', arg, figures('geo'), { path: 'field' }],
  ['the key', arg, figures('$key'), { field: '$key' }],
  ...[null, 5, 'min', [], true].map(
    (one) => [`one that is ${shown(one)}`, arg, figure(one), { path: 'it' }] as const,
  ),
  ...[undefined, null, 'median', 'MIN', 5, ''].map(
    (op) => [`op ${shown(op)}`, arg, figure({ op, field: 'int' }), { path: 'it.op' }] as const,
  ),
  ...noFields.map(
    (field) =>
      [`field ${shown(field)}`, arg, figure({ op: 'min', field }), { path: 'it.field' }] as const,
  ),
  ['a count of no field', arg, figure({ op: 'count' }), { path: 'it.field' }],
  ['a sum of words', arg, figure({ op: 'sum', field: 'text' }), { path: 'it.field' }],
  ['a sum of dates', arg, figure({ op: 'sum', field: 'date' }), { path: 'it.field' }],
  ['a sum of lists of dates', arg, figure({ op: 'sum', field: 'dates' }), { path: 'it.field' }],
  ['an unknown name', arg, figure({ op: 'min', field: 'int', k: 1 }), { path: 'k' }],
  [
    'buckets of a minimum',
    arg,
    figure({ op: 'min', field: 'int', buckets: 3 }),
    { path: 'it.buckets' },
  ],
  [
    'bounds of a sum',
    arg,
    figure({ op: 'sum', field: 'int', bounds: [0, 1] }),
    { path: 'it.bounds' },
  ],
  [
    'a histogram without buckets',
    arg,
    figure({ op: 'histogram', field: 'int' }),
    { path: 'it.buckets' },
  ],
  [
    'a histogram with both',
    arg,
    figure({ op: 'histogram', field: 'int', buckets: 2, bounds: [0, 1] }),
    { path: 'it.buckets' },
  ],
  ...[0, -1, 1.5, '3', Number.NaN, null].map(
    (buckets) =>
      [
        `buckets ${shown(buckets)}`,
        arg,
        figure({ op: 'histogram', field: 'int', buckets }),
        { path: 'it.buckets' },
      ] as const,
  ),
  [
    'too many buckets',
    limit,
    figure({ op: 'histogram', field: 'int', buckets: 10_001 }),
    { path: 'it.buckets' },
  ],
  ...[5, null, [], [1], 'ab'].map(
    (bounds) =>
      [
        `bounds ${shown(bounds)}`,
        arg,
        figure({ op: 'histogram', field: 'int', bounds }),
        { path: 'it.bounds' },
      ] as const,
  ),
  ...[
    [1, 1],
    [2, 1],
    [1, Number.NaN],
    [1, '2'],
    [1, new Date(5)],
    [new Date(5), new Date(Number.NaN)],
    [1, null],
    [1, 2n ** 70n],
    [1, Number.POSITIVE_INFINITY],
  ].map(
    (bounds, at) =>
      [
        `bounds that do not ascend, ${at}`,
        arg,
        figure({ op: 'histogram', field: 'int', bounds }),
        { path: 'it.bounds[1]' },
      ] as const,
  ),
  [
    'too many bounds',
    limit,
    figure({
      op: 'histogram',
      field: 'int',
      bounds: Array.from({ length: 10_002 }, (_, at) => at),
    }),
  ],
  [
    'too many figures',
    limit,
    figures(
      Object.fromEntries(
        Array.from({ length: 101 }, (_, at) => [`f${at}`, { op: 'min', field: 'int' }]),
      ),
    ),
  ],
  ['an unknown option', arg, figures('int', { k: 5 }), { path: 'k' }],
  ['options that are none', arg, figures('int', 5)],
  ['a wrong filter', filter, figures('int', { filter: { a: { larger: 1 } } })],
  ['a deadline of 0', arg, figures('int', { deadlineMs: 0 }), { path: 'deadlineMs' }],
  ['a signal that is a text', arg, figures('int', { signal: 'stop' }), { path: 'signal' }],
  ['a signal that has fired', 'ERR_ABORTED', figures('int', { signal: AbortSignal.abort() })],
  [
    'what a strict schema lacks',
    arg,
    ({ strict }) => strict.aggregate(never('nope')),
    { path: 'field' },
  ],
])
