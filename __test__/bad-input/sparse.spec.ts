// Wrong sparse vectors.
import { type ErrorCode } from '#ts/index.js'
import { arg, dim, never, notFinite, table, type Case, type World } from '../helpers/bad-input.js'
import { detached } from '../helpers/weird.js'

const field = 's'

/** A sparse vector of these indexes and values. */
const of = (indices: unknown, values: unknown): unknown => ({ indices, values })

const vectors: readonly (readonly [string, ErrorCode, () => unknown])[] = [
  ['null', arg, () => null],
  ['a string', arg, () => '1'],
  ['a number', arg, () => 1],
  ['an array of numbers', arg, () => [1, 2]],
  ['a Float32Array', arg, () => new Float32Array(10)],
  ['a Map', arg, () => new Map([[1, 1]])],
  ['without values', arg, () => ({ indices: [1] })],
  ['without indices', arg, () => ({ values: [1] })],
  ['with another member', arg, () => ({ indices: [1], values: [1], dim: 10 })],
  ['indices null', arg, () => of(null, [1])],
  ['indices a number', arg, () => of(1, [1])],
  ['indices an Int32Array', arg, () => of(new Int32Array([1]), [1])],
  ['indices a BigUint64Array', arg, () => of(new BigUint64Array([1n]), [1])],
  ['indices a Float32Array', arg, () => of(new Float32Array([1]), [1])],
  ['values null', arg, () => of([1], null)],
  ['values a number', arg, () => of([1], 1)],
  ['values a Float64Array', arg, () => of([1], new Float64Array([1]))],
  ['values a Uint32Array', arg, () => of([1], new Uint32Array([1]))],
  ['empty', arg, () => of([], [])],
  ['empty typed arrays', arg, () => of(new Uint32Array(0), new Float32Array(0))],
  ['an index too many', dim, () => of([1, 2, 3], [1, 2])],
  ['a value too many', dim, () => of([1, 2], new Float32Array([1, 2, 3]))],
  ['no value', dim, () => of([1], [])],
  ['indexes that fall', arg, () => of([3, 2], [1, 1])],
  ['indexes that fall in a Uint32Array', arg, () => of(new Uint32Array([1, 9, 8]), [1, 1, 1])],
  ['an index twice', arg, () => of([2, 2], [1, 1])],
  ['an index twice, not in a row', arg, () => of([2, 3, 2], [1, 1, 1])],
  ['an index of dim', dim, () => of([0, 10], [1, 1])],
  ['an index of dim in a Uint32Array', dim, () => of(new Uint32Array([10]), [1])],
  ['an index of 2^32 - 1', dim, () => of(new Uint32Array([2 ** 32 - 1]), [1])],
  ['an index of 2^32', dim, () => of([2 ** 32], [1])],
  ['an index of 2^53', dim, () => of([2 ** 53], [1])],
  ['an index of -1', arg, () => of([-1], [1])],
  ['an index of 0.5', arg, () => of([0.5], [1])],
  ['an index of NaN', arg, () => of([Number.NaN], [1])],
  ['an index of Infinity', arg, () => of([Number.POSITIVE_INFINITY], [1])],
  ['an index of "1"', arg, () => of(['1'], [1])],
  ['an index of 1n', arg, () => of([1n], [1])],
  ['an index of null', arg, () => of([null], [1])],
  ['a hole among indexes', arg, () => of([0, , 2], [1, 1, 1])],
  ['a value of NaN', notFinite, () => of([1], [Number.NaN])],
  ['a value of NaN in a Float32Array', notFinite, () => of([1], new Float32Array([Number.NaN]))],
  ['a value of Infinity', notFinite, () => of([1, 2], [1, Number.POSITIVE_INFINITY])],
  ['a value of -Infinity', notFinite, () => of([1], new Float32Array([Number.NEGATIVE_INFINITY]))],
  ['a value beyond 32 bits', notFinite, () => of([1], [1e39])],
  ['a value of "1"', arg, () => of([1], ['1'])],
  ['a value of 1n', arg, () => of([1], [1n])],
  ['a value of null', arg, () => of([1], [null])],
  ['a hole among values', arg, () => of([0, 1, 2], [1, , 1])],
  [
    'more values than dim',
    dim,
    () =>
      of(
        Array.from({ length: 11 }, (_, at) => at),
        new Float32Array(11),
      ),
  ],
  ['a million values', dim, () => of(new Uint32Array(1e6), new Float32Array(1e6))],
  ['detached indices', arg, () => of(detached(new Uint32Array([1])), [1])],
  ['detached values', arg, () => of([1], detached(new Float32Array([1])))],
  ['shared values', arg, () => of([1], new Float32Array(new SharedArrayBuffer(4)))],
]

const calls: readonly (readonly [string, (world: World, vector: unknown) => unknown])[] = [
  ['upsert', ({ sparse }, vector) => sparse.upsert({ key: 'new', vectors: { s: never(vector) } })],
  ['add', ({ sparse }, vector) => sparse.add([{ key: 'new', vector: never(vector) }])],
  ['update', ({ sparse }, vector) => sparse.update({ key: 'one', vectors: { s: never(vector) } })],
  [
    'the second row of an upsert',
    ({ sparse }, vector) =>
      sparse.upsert([
        { key: 'x', vector: never({ indices: [1], values: [1] }) },
        { key: 'y', vector: never(vector) },
      ]),
  ],
  [
    'a column of an upsert',
    ({ sparse }, vector) => sparse.upsert({ keys: ['x'], vectors: never({ s: [vector] }) }),
  ],
  ['search', ({ sparse }, vector) => sparse.search({ vector: { s: never(vector) } })],
  ['searchSync', ({ sparse }, vector) => sparse.searchSync({ vector: { s: never(vector) } })],
  ['explain', ({ sparse }, vector) => sparse.explain({ vector: { s: never(vector) } })],
]

for (const [name, call] of calls) {
  table(
    `sparse vector in ${name}`,
    vectors.map(([title, code, make]): Case => [
      title,
      code,
      (world) => call(world, make()),
      title === 'null' && name === 'add' ? {} : { field },
    ]),
  )
}

const columns: readonly (readonly [string, ErrorCode, () => unknown])[] = [
  ['a Float32Array', arg, () => new Float32Array(20)],
  ['one vector', arg, () => ({ indices: [1], values: [1] })],
  ['a vector short', dim, () => [of([1], [1])]],
  ['a vector long', dim, () => [of([1], [1]), of([1], [1]), of([1], [1])]],
  ['a hole', arg, () => [of([1], [1]), ,]],
]
table(
  'column of sparse vectors',
  columns.map(([title, code, make]): Case => [
    title,
    code,
    ({ sparse }) => sparse.upsert({ keys: ['x', 'y'], vectors: never({ s: make() }) }),
    { field },
  ]),
)
table('batch of sparse searches', [
  [
    'a Float32Array',
    arg,
    ({ sparse }) => sparse.searchBatch({ vectors: never(new Float32Array(10)) }),
  ],
  ['one vector', arg, ({ sparse }) => sparse.searchBatch({ vectors: never(of([1], [1])) })],
  [
    'a wrong one',
    arg,
    ({ sparse }) => sparse.searchBatch({ vectors: never([of([2, 1], [1, 1])]) }),
  ],
  [
    'a long one',
    dim,
    ({ sparse }) => sparse.searchBatch({ vectors: never([of([2, 10], [1, 1])]) }),
  ],
])
table('sparse searches that there are none of', [
  ['diverse', arg, ({ sparse }) => sparse.search({ vector: never(of([1], [1])), diversity: 0.5 })],
])
