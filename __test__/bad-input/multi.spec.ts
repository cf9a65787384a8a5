// Wrong vectors where a record has several.
import { type ErrorCode } from '#ts/index.js'
import { arg, dim, never, notFinite, table, type Case, type World } from '../helpers/bad-input.js'
import { detached } from '../helpers/weird.js'

const field = 'm'
const zero = 'ERR_ZERO_VECTOR'
const limit = 'ERR_LIMIT_EXCEEDED'
const f32 = (...numbers: number[]): Float32Array<ArrayBuffer> => Float32Array.from(numbers)

const vectors: readonly (readonly [string, ErrorCode, () => unknown])[] = [
  ['null', arg, () => null],
  ['a string', arg, () => '[[1,2]]'],
  ['a number', arg, () => 1],
  ['a bigint', arg, () => 1n],
  ['true', arg, () => true],
  ['a Map', arg, () => new Map([[0, [1, 2]]])],
  ['a Set', arg, () => new Set([[1, 2]])],
  ['a function', arg, () => () => [[1, 2]]],
  ['an iterator', arg, () => [[1, 2]].values()],
  ['a sparse vector', arg, () => ({ indices: [1], values: [1] })],
  ['an Int8Array', arg, () => new Int8Array(4)],
  ['a Float64Array', arg, () => new Float64Array(4)],
  ['a Uint8Array', arg, () => new Uint8Array(4)],
  ['a DataView', arg, () => new DataView(new ArrayBuffer(16))],
  ['an ArrayBuffer', arg, () => new ArrayBuffer(16)],
  ['an array of numbers', arg, () => [1, 2]],
  ['an array of numbers, as many as of two vectors', arg, () => [1, 2, 3, 4]],
  ['no vector', arg, () => []],
  ['an empty Float32Array', arg, () => f32()],
  ['half a vector', dim, () => f32(1)],
  ['a vector and a half', dim, () => f32(1, 2, 3)],
  ['a short vector', dim, () => [[1]]],
  ['a long vector', dim, () => [[1, 2, 3]]],
  ['an empty vector', dim, () => [[]]],
  ['an empty Float32Array among them', dim, () => [f32(1, 2), f32()]],
  ['a short vector behind a right one', dim, () => [[1, 2], [1]]],
  ['a long Float32Array behind a right one', dim, () => [[1, 2], f32(1, 2, 3)]],
  ['a matrix in the place of a vector', dim, () => [f32(1, 2, 3, 4)]],
  ['a vector of null', arg, () => [[1, 2], null]],
  ['a vector of undefined', arg, () => [[1, 2], undefined]],
  ['a vector that is a number', arg, () => [[1, 2], 3]],
  ['a vector that is a text', arg, () => [[1, 2], '12']],
  ['a vector that is an object', arg, () => [{ 0: 1, 1: 2, length: 2 }]],
  ['a vector that is a Float64Array', arg, () => [new Float64Array([1, 2])]],
  ['a vector that is an Int8Array', arg, () => [new Int8Array([1, 2])]],
  ['a vector of vectors', arg, () => [[[1], [2]]]],
  ['a hole among vectors', arg, () => [[1, 2], , [3, 4]]],
  ['a hole in a vector', arg, () => [[1, ,]]],
  ['a component of "1"', arg, () => [[1, '1']]],
  ['a component of 1n', arg, () => [[1n, 1]]],
  ['a component of null', arg, () => [[null, 1]]],
  ['a component of true', arg, () => [[true, 1]]],
  ['NaN', notFinite, () => [[Number.NaN, 1]]],
  ['NaN in the second vector', notFinite, () => [f32(1, 2), f32(1, Number.NaN)]],
  ['NaN in a Float32Array of two vectors', notFinite, () => f32(1, 2, 3, Number.NaN)],
  ['Infinity', notFinite, () => [[1, Number.POSITIVE_INFINITY]]],
  ['-Infinity in a Float32Array', notFinite, () => f32(Number.NEGATIVE_INFINITY, 1)],
  ['a component beyond 32 bits', notFinite, () => [[1e39, 1]]],
  ['a zero vector', zero, () => [[0, 0]]],
  ['a zero vector behind a right one', zero, () => [[1, 2], f32(0, -0)]],
  ['a zero vector in a Float32Array', zero, () => f32(0, 0, 1, 2)],
  ['4,097 vectors', limit, () => Array.from({ length: 4_097 }, () => [1, 2])],
  ['4,097 vectors in a Float32Array', limit, () => new Float32Array(2 * 4_097).fill(1)],
  ['a length of 2^32 - 1', limit, () => Object.assign([], { length: 2 ** 32 - 1 })],
  ['a detached Float32Array', arg, () => detached(f32(1, 2))],
  ['a detached vector', arg, () => [detached(f32(1, 2))]],
  ['shared memory', arg, () => new Float32Array(new SharedArrayBuffer(8))],
  ['a vector in shared memory', arg, () => [new Float32Array(new SharedArrayBuffer(8))]],
]

const calls: readonly (readonly [string, (world: World, vector: unknown) => unknown])[] = [
  [
    'upsert',
    ({ several }, vector) => several.upsert({ key: 'new', vectors: { m: never(vector) } }),
  ],
  ['add', ({ several }, vector) => several.add([{ key: 'new', vector: never(vector) }])],
  [
    'update',
    ({ several }, vector) => several.update({ key: 'one', vectors: { m: never(vector) } }),
  ],
  [
    'the second row of an upsert',
    ({ several }, vector) =>
      several.upsert([
        { key: 'x', vector: never([[1, 1]]) },
        { key: 'y', vector: never(vector) },
      ]),
  ],
  [
    'a column of an upsert',
    ({ several }, vector) => several.upsert({ keys: ['x'], vectors: never({ m: [vector] }) }),
  ],
  ['search', ({ several }, vector) => several.search({ vector: { m: never(vector) } })],
  ['searchSync', ({ several }, vector) => several.searchSync({ vector: { m: never(vector) } })],
  ['explain', ({ several }, vector) => several.explain({ vector: { m: never(vector) } })],
]

for (const [name, call] of calls) {
  table(
    `several vectors in ${name}`,
    vectors.map(([title, code, make]): Case => [
      title,
      code,
      (world) => call(world, make()),
      title === 'null' && name === 'add' ? {} : { field },
    ]),
  )
}

const columns: readonly (readonly [string, ErrorCode, () => unknown])[] = [
  ['a Float32Array', arg, () => new Float32Array(4)],
  ['one row', dim, () => [[[1, 2]]]],
  ['three rows', dim, () => [[[1, 2]], [[1, 2]], [[1, 2]]]],
  [
    'a vector a row',
    arg,
    () => [
      [1, 2],
      [1, 2],
    ],
  ],
  ['a hole', arg, () => [[[1, 2]], ,]],
]
table(
  'column of several vectors',
  columns.map(([title, code, make]): Case => [
    title,
    code,
    ({ several }) => several.upsert({ keys: ['x', 'y'], vectors: never({ m: make() }) }),
    { field },
  ]),
)
table('batch of searches for several vectors', [
  ['a Float32Array', arg, ({ several }) => several.searchBatch({ vectors: never(f32(1, 2)) })],
  ['one query', arg, ({ several }) => several.searchBatch({ vectors: never([[1, 2]]) })],
  ['a wrong one', dim, ({ several }) => several.searchBatch({ vectors: never([[[1, 2, 3]]]) })],
  ['a zero one', zero, ({ several }) => several.searchBatch({ vectors: never([f32(0, 0)]) })],
])
table('searches for several vectors that there are none of', [
  ['diverse', arg, ({ several }) => several.search({ vector: never([[1, 2]]), diversity: 0.5 })],
])
