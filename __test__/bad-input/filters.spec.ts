// Wrong filters, asked through every call that takes one.
import type { ErrorCode } from '#ts/index.js'
import { arg, good, limit, never, table, type Case, type World } from '../helpers/bad-input.js'

const bad = 'ERR_INVALID_FILTER'
const callable = (): boolean => true

/** Every call that takes a filter. */
const calls: readonly (readonly [string, (world: World, filter: unknown) => unknown])[] = [
  ['search', ({ cos }, filter) => cos.search({ vector: good, filter: never(filter) })],
  ['searchSync', ({ cos }, filter) => cos.searchSync({ vector: good, filter: never(filter) })],
  [
    'searchBatch',
    ({ cos }, filter) =>
      cos.searchBatch({ vectors: new Float32Array(good), filter: never(filter) }),
  ],
  ['explain', ({ cos }, filter) => cos.explain({ vector: good, filter: never(filter) })],
  ['count', ({ cos }, filter) => cos.count(never(filter))],
  ['scan', ({ cos }, filter) => cos.scan({ filter: never(filter) }).next()],
  ['deleteWhere', ({ cos }, filter) => cos.deleteWhere(never(filter))],
  ['updateWhere', ({ cos }, filter) => cos.updateWhere(never(filter), { int: 5 })],
]

const deep = (levels: number): unknown => {
  let filter: unknown = { int: 1 }
  for (let level = 1; level < levels; level += 1) filter = { not: filter }
  return filter
}

const cycle: Record<string, unknown> = {}
cycle['not'] = cycle

const getter = {
  get int() {
    return { gt: 'x', lt: Number.NaN }
  },
}

/** Title, code, filter, place. */
const filters: readonly (readonly [string, ErrorCode, unknown, string])[] = [
  ['null', bad, null, ''],
  ['a text', bad, 'int > 5', ''],
  ['a number', bad, 5, ''],
  ['true', bad, true, ''],
  ['an array', bad, [{ int: 1 }], ''],
  ['a date', bad, new Date(0), ''],
  ['a map', bad, new Map([['int', 1]]), ''],
  ['bytes', bad, new Uint8Array(1), ''],
  ['a promise', bad, Promise.resolve({}), ''],
  ['a class', arg, class Test {}, 'filter'],
  ['a function that answers later', arg, async () => true, 'filter'],
  ['a function that answers bit by bit', arg, function* bits() {}, 'filter'],
  ['two filters', bad, [{ int: 1 }, { int: 1 }], ''],
  ['two filters and a function', bad, [{ int: 1 }, { int: 1 }, callable], ''],
  ['a field that is undefined', bad, { int: undefined }, 'int'],
  ['an operand that is undefined', bad, { int: { gt: undefined } }, 'int.gt'],
  ['a hole in a list', bad, { int: { in: [1, , 3] } }, 'int.in[1]'],
  ['NaN', bad, { float: Number.NaN }, 'float'],
  ['infinity', bad, { float: { lt: Number.POSITIVE_INFINITY } }, 'float.lt'],
  ['NaN in a list', bad, { float: [1, Number.NaN] }, 'float[1]'],
  ['an integer beyond 64 bits', bad, { int: 2n ** 64n }, 'int'],
  ['an integer below 64 bits', bad, { int: { gte: -(2n ** 63n) - 1n } }, 'int.gte'],
  ['a date that is none', bad, { date: new Date(Number.NaN) }, 'date'],
  ['a symbol', bad, { int: Symbol('x') }, 'int'],
  ['a function as value', bad, { int: callable }, 'int'],
  ['a boxed number', bad, { int: Object(5) }, 'int'],
  ['a set as list', bad, { int: { in: new Set([1]) } }, 'int.in'],
  ['a typed array as list', bad, { int: { in: new Float64Array(2) } }, 'int.in'],
  ['a lone surrogate as value', bad, { text: 'a\ud800' }, 'text'],
  ['a lone surrogate as field', bad, { '\udc00': 1 }, '\udc00'],
  ['an empty name', bad, { '': 1 }, ''],
  ['an empty name in a path', bad, { 'json..a': 1 }, 'json..a'],
  ['a path that ends with a dot', bad, { 'json.': 1 }, 'json.'],
  ['an unknown operator', bad, { int: { above: 5 } }, 'int.above'],
  ['an unknown operator with a dollar', bad, { int: { $above: 5 } }, 'int.$above'],
  ['an operator for a field', bad, { $gt: 5 }, '$gt'],
  ['a mistyped $key', bad, { $kye: 'a' }, '$kye'],
  ['no operator', bad, { int: {} }, 'int'],
  ['and of an object', bad, { and: { int: 1 } }, 'and'],
  ['or of a filter that is a number', bad, { or: [{ int: 1 }, 5] }, 'or[1]'],
  ['$or of null', bad, { $or: null }, '$or'],
  ['nor of a text', bad, { nor: 'x' }, 'nor'],
  ['not of an array', bad, { not: [{ int: 1 }] }, 'not'],
  [
    'something wrong far inside',
    bad,
    { and: [{}, { or: [{ int: { gt: null } }] }] },
    'and[1].or[0].int.gt',
  ],
  ['an order of booleans', bad, { bool: { gt: true } }, 'bool.gt'],
  ['an order of null', bad, { int: { lte: null } }, 'int.lte'],
  ['an order of a list', bad, { int: { lt: [1] } }, 'int.lt'],
  ['in with a value', bad, { int: { in: 5 } }, 'int.in'],
  ['nin with an object', bad, { int: { nin: { 0: 1 } } }, 'int.nin'],
  ['a list in a list', bad, { int: { in: [[1]] } }, 'int.in[0]'],
  ['all with a value', bad, { tags: { all: 'a' } }, 'tags.all'],
  ['contains with a list', bad, { tags: { contains: ['a'] } }, 'tags.contains'],
  ['exists with 1', bad, { int: { exists: 1 } }, 'int.exists'],
  ['isNull with null', bad, { int: { isNull: null } }, 'int.isNull'],
  ['startsWith with a number', bad, { text: { startsWith: 5 } }, 'text.startsWith'],
  ['match with a number', bad, { text: { match: 5 } }, 'text.match'],
  ['match without a word', bad, { text: { match: ' - ' } }, 'text.match'],
  ['a regex that is none', bad, { text: { regex: '(' } }, 'text.regex'],
  ['a regex with a back-reference', bad, { text: { regex: '(a)\\1' } }, 'text.regex'],
  ['a regex that looks around', bad, { text: { regex: 'a(?=b)' } }, 'text.regex'],
  ['a RegExp', bad, { text: { regex: /a/ } }, 'text.regex'],
  [
    'a regex that takes too much memory',
    limit,
    { text: { regex: '(a{1000}){1000}' } },
    'text.regex',
  ],
  ['a radius without a center', bad, { geo: { geoRadius: { radius: 5 } } }, 'geo.geoRadius'],
  [
    'a radius below 0',
    bad,
    { geo: { geoRadius: { center: { lat: 0, lon: 0 }, radius: -1 } } },
    'geo.geoRadius',
  ],
  [
    'a latitude of 91',
    bad,
    { geo: { geoRadius: { center: { lat: 91, lon: 0 }, radius: 1 } } },
    'geo.geoRadius.center',
  ],
  [
    'a longitude that is a text',
    bad,
    { geo: { geoRadius: { center: { lat: 1, lon: '0' }, radius: 1 } } },
    'geo.geoRadius.center',
  ],
  [
    'a box upside down',
    bad,
    { geo: { geoBox: { topLeft: { lat: 0, lon: 0 }, bottomRight: { lat: 1, lon: 1 } } } },
    'geo.geoBox',
  ],
  [
    'a box with a third corner',
    bad,
    { geo: { geoBox: { topLeft: { lat: 1, lon: 0 }, bottomRight: { lat: 0, lon: 1 }, x: 1 } } },
    'geo.geoBox',
  ],
  ['an operator beside a value', bad, { int: { gt: 1, 5: 5 } }, 'int.5'],
  ['$date with a text', bad, { date: { $date: '2020' } }, 'date'],
  ['$bytes with a number above 255', bad, { bytes: { $bytes: [256] } }, 'bytes'],
  ['a getter that gives something wrong', bad, getter, 'int.lt'],
  ['33 levels', limit, deep(33), ''],
  ['1,000 levels', limit, deep(1000), ''],
  ['a filter in itself', limit, cycle, ''],
  [
    'more tests than may be',
    limit,
    { or: Array.from({ length: 5000 }, (_, int) => ({ int })) },
    '',
  ],
  [
    'more values than may be',
    limit,
    { int: Array.from({ length: 1_000_001 }, (_, at) => at) },
    'int',
  ],
]

for (const [what, ask] of calls) {
  table(
    `a filter of ${what}`,
    filters.map(([title, code, filter, path]): Case => {
      const facts = code === limit && path === '' ? {} : { path }
      return [title, code, (world) => ask(world, filter), facts]
    }),
  )
}

table('a filter of a strict schema', [
  [
    'a field that is not declared',
    bad,
    ({ strict }) => strict.count(never({ titl: 'x' })),
    { path: 'titl', suggestion: 'title' },
  ],
  [
    'a field that is not declared, inside',
    bad,
    ({ strict }) => strict.count(never({ or: [{ title: 'x' }, { not: { a: 1 } }] })),
    { path: 'or[1].not.a' },
  ],
])

table('count', [
  ['an unknown option', arg, ({ cos }) => cos.count({}, never({ nope: 1 })), { path: 'nope' }],
  [
    'a signal that is none',
    arg,
    ({ cos }) => cos.count({}, { signal: never(5) }),
    { path: 'signal' },
  ],
  [
    'a signal that has fired',
    'ERR_ABORTED',
    ({ cos }) => cos.count({}, { signal: AbortSignal.abort() }),
  ],
])

table('deleteWhere and updateWhere', [
  ['no filter to delete by', bad, ({ cos }) => cos.deleteWhere(never(undefined)), { path: '' }],
  ['no filter to update by', bad, ({ cos }) => cos.updateWhere(never(undefined), { int: 1 })],
  ['no fields', arg, ({ cos }) => cos.updateWhere({}, never(undefined))],
  ['fields that are null', arg, ({ cos }) => cos.updateWhere({}, never(null))],
  ['fields that are an array', arg, ({ cos }) => cos.updateWhere({}, never([]))],
  ['a field of a wrong type', arg, ({ cos }) => cos.updateWhere({}, { int: 'x' })],
  [
    'an unknown option',
    arg,
    ({ cos }) => cos.deleteWhere({}, never({ nope: 1 })),
    { path: 'nope' },
  ],
  [
    'missing',
    arg,
    ({ cos }) => cos.updateWhere({}, {}, never({ missing: 'skip' })),
    { path: 'missing' },
  ],
  [
    'a wrong fieldsMode',
    arg,
    ({ cos }) => cos.updateWhere({}, {}, { fieldsMode: never('add') }),
    { path: 'fieldsMode' },
  ],
  [
    'a wrong condition',
    bad,
    ({ cos }) => cos.deleteWhere({}, { if: never({ int: {} }) }),
    { path: 'int' },
  ],
  [
    'a condition that does not hold',
    'ERR_CONDITION_FAILED',
    ({ cos }) => cos.deleteWhere({}, { if: { int: 1 } }),
  ],
  [
    'a version that is another',
    'ERR_CONDITION_FAILED',
    ({ cos }) => cos.deleteWhere({}, { if: { version: 77n } }),
  ],
  [
    'a signal that has fired',
    'ERR_ABORTED',
    ({ cos }) => cos.deleteWhere({}, { signal: AbortSignal.abort() }),
  ],
])

table('a filter as condition', [
  [
    'of a record that is not there',
    'ERR_CONDITION_FAILED',
    ({ cos }) => cos.upsert({ key: 'new', vector: good }, { if: {} }),
  ],
  [
    'that does not hold for the second',
    'ERR_CONDITION_FAILED',
    ({ cos }) => cos.update([{ key: 'one' }, { key: 'two' }], { if: { int: { exists: true } } }),
    { index: 1, key: 'two' },
  ],
  [
    'of a removal',
    'ERR_CONDITION_FAILED',
    ({ cos }) => cos.delete('one', { if: { int: 2 } }),
    { key: 'one' },
  ],
])
