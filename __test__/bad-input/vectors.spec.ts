// Wrong vectors and matrices.
import { type ErrorCode } from '#ts/index.js'
import {
  arg,
  dim,
  good,
  never,
  notFinite,
  table,
  type Case,
  type World,
} from '../helpers/bad-input.js'
import type { Facts } from '../helpers/expect.js'
import { detached, shared } from '../helpers/weird.js'

type MakeVector = () => unknown

/** Wrong vectors for 4 components under cosine. */
const vectors: readonly (readonly [string, ErrorCode, MakeVector])[] = [
  ['null', arg, () => null],
  ['a string', arg, () => '1,2,3,4'],
  ['a number', arg, () => 4],
  ['true', arg, () => true],
  ['a function', arg, () => () => [1, 2, 3, 4]],
  ['an array-like', arg, () => ({ 0: 1, 1: 2, 2: 3, 3: 4, length: 4 })],
  ['empty', dim, () => []],
  ['an empty Float32Array', dim, () => new Float32Array(0)],
  ['one short', dim, () => [1, 2, 3]],
  ['one long', dim, () => [1, 2, 3, 4, 5]],
  ['twice as long', dim, () => new Float32Array(8).fill(1)],
  ['one component', dim, () => new Float32Array(1).fill(1)],
  ['too many components', dim, () => new Float32Array(65_537).fill(1)],
  ['NaN in an array', notFinite, () => [1, 2, Number.NaN, 4]],
  ['NaN in a Float32Array', notFinite, () => new Float32Array([1, 2, Number.NaN, 4])],
  ['Infinity in an array', notFinite, () => [Number.POSITIVE_INFINITY, 2, 3, 4]],
  [
    'Infinity in a Float32Array',
    notFinite,
    () => new Float32Array([1, 2, 3, Number.POSITIVE_INFINITY]),
  ],
  [
    '-Infinity in a Float32Array',
    notFinite,
    () => new Float32Array([1, 2, 3, Number.NEGATIVE_INFINITY]),
  ],
  ['3.5e38, too large for 32 bits', notFinite, () => [1, 2, 3, 3.5e38]],
  ['a component "1"', arg, () => ['1', 2, 3, 4]],
  ['a component null', arg, () => [null, 2, 3, 4]],
  ['a component true', arg, () => [1, true, 3, 4]],
  ['a component [2]', arg, () => [1, [2], 3, 4]],
  ['a component 1n', arg, () => [1, 1n, 3, 4]],
  ['a component {}', arg, () => [1, {}, 3, 4]],
  ['a hole', arg, () => [1, , 3, 4]],
  ['a Float64Array', arg, () => new Float64Array([1, 2, 3, 4])],
  ['an Int8Array', arg, () => new Int8Array([1, 2, 3, 4])],
  ['a Uint8Array', arg, () => new Uint8Array([1, 2, 3, 4])],
  ['a Uint8ClampedArray', arg, () => new Uint8ClampedArray([1, 2, 3, 4])],
  ['an Int32Array', arg, () => new Int32Array([1, 2, 3, 4])],
  ['a BigInt64Array', arg, () => new BigInt64Array([1n, 2n, 3n, 4n])],
  ['a Buffer', arg, () => Buffer.alloc(16)],
  ['a DataView', arg, () => new DataView(new ArrayBuffer(16))],
  ['an ArrayBuffer', arg, () => new ArrayBuffer(16)],
  ['detached', arg, () => detached(new Float32Array([1, 2, 3, 4]))],
  ['shared', arg, () => shared([1, 2, 3, 4])],
  ['zero', 'ERR_ZERO_VECTOR', () => [0, 0, 0, 0]],
  ['zero in a Float32Array', 'ERR_ZERO_VECTOR', () => new Float32Array(4)],
  ['minus zero', 'ERR_ZERO_VECTOR', () => [-0, 0, -0, 0]],
]

const inQuery = { field: 'vector' }
/** What a query may have in the place of a vector: fields by name. */
const likeNames: ReadonlySet<string> = new Set(['an array-like', 'a DataView', 'an ArrayBuffer'])
const atNew = { index: 0, key: 'new', field: 'vector' }
const vectorCalls: readonly (readonly [
  string,
  (world: World, vector: unknown) => unknown,
  Facts,
])[] = [
  ['upsert', ({ cos }, vector) => cos.upsert({ key: 'new', vector: never(vector) }), atNew],
  ['add', ({ cos }, vector) => cos.add({ key: 'new', vector: never(vector) }), atNew],
  [
    'update',
    ({ cos }, vector) => cos.update({ key: 'one', vector: never(vector) }),
    { index: 0, key: 'one', field: 'vector' },
  ],
  [
    'the second row of an upsert',
    ({ cos }, vector) =>
      cos.upsert([
        { key: 'good', vector: good },
        { key: 'bad', vector: never(vector) },
      ]),
    { index: 1, key: 'bad', field: 'vector' },
  ],
  [
    'vectors by name',
    ({ cos }, vector) => cos.upsert({ key: 'new', vectors: { vector: never(vector) } }),
    atNew,
  ],
  [
    'ingest',
    ({ cos }, vector) => cos.ingest([never({ key: 'new', vector })]),
    { index: 0, row: 0, key: 'new' },
  ],
  ['search', ({ cos }, vector) => cos.search({ vector: never(vector) }), inQuery],
  ['searchSync', ({ cos }, vector) => cos.searchSync({ vector: never(vector) }), inQuery],
  ['explain', ({ cos }, vector) => cos.explain({ vector: never(vector) }), inQuery],
]

for (const [name, call, facts] of vectorCalls) {
  table(
    `vector in ${name}`,
    vectors.map(([title, code, make]): Case => {
      const named = facts === inQuery && likeNames.has(title)
      return [title, code, (now) => call(now, make()), named ? { path: 'vector' } : facts]
    }),
  )
}

table('a missing vector', [
  [
    'upsert',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'new' })),
    { index: 0, key: 'new', field: 'vector' },
  ],
  ['add', arg, ({ cos }) => cos.add(never([{ key: 'new', fields: {} }])), { index: 0 }],
  ['columns', arg, ({ cos }) => cos.upsert(never({ keys: ['new'] })), { path: 'vectors' }],
  [
    'an undefined one',
    arg,
    ({ cos }) => cos.search(never({ vector: undefined })),
    { path: 'vector' },
  ],
  ['searchBatch', arg, ({ cos }) => cos.searchBatch(never({})), { path: 'vectors' }],
  [
    'both vector and vectors',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'n', vector: good, vectors: { vector: good } })),
    { index: 0 },
  ],
  [
    'vector where there are two fields',
    arg,
    ({ two }) => two.upsert(never({ key: 'n', vector: [1, 2] })),
    { index: 0, path: 'vector' },
  ],
  [
    'an unknown field',
    arg,
    ({ two }) => two.upsert(never({ key: 'n', vectors: { c: [1, 2] } })),
    { path: 'c' },
  ],
  ['no field at all', arg, ({ two }) => two.upsert(never({ key: 'n', vectors: {} })), { index: 0 }],
  [
    'the second field wrong',
    dim,
    ({ two }) => two.upsert(never({ key: 'n', vectors: { a: [1, 2], b: [1, 2] } })),
    { field: 'b', expected: 3, got: 2 },
  ],
  [
    'search without a name of two',
    arg,
    ({ two }) => two.search({ vector: [1, 2] }),
    { path: 'vector' },
  ],
  [
    'search in an unknown field',
    arg,
    ({ two }) => two.search({ vector: { c: [1, 2] } }),
    { path: 'vector.c' },
  ],
  [
    'search in __proto__',
    arg,
    ({ two }) => two.search({ vector: never(JSON.parse('{"__proto__":[1,2]}')) }),
  ],
])

const matrices: readonly (readonly [string, ErrorCode, MakeVector])[] = [
  ['one component short', dim, () => new Float32Array(7).fill(1)],
  ['an array of numbers', arg, () => [1, 2, 3, 4, 5, 6, 7, 8]],
  ['an array of arrays', arg, () => [good, good]],
  ['a Float64Array', arg, () => new Float64Array(8).fill(1)],
  ['a Buffer', arg, () => Buffer.alloc(32)],
  ['null', arg, () => null],
  ['a string', arg, () => 'matrix'],
  ['detached', arg, () => detached(new Float32Array(8).fill(1))],
  ['shared', arg, () => shared([1, 2, 3, 4, 5, 6, 7, 8])],
  ['NaN in the second row', notFinite, () => new Float32Array([1, 1, 1, 1, 1, Number.NaN, 1, 1])],
  ['a zero row', 'ERR_ZERO_VECTOR', () => new Float32Array([1, 1, 1, 1, 0, 0, 0, 0])],
]

/** Whether something is wrong with one row of a matrix, the second in each of these. */
const isOfOneRow = (code: ErrorCode) => code === notFinite || code === 'ERR_ZERO_VECTOR'

table(
  'matrix of columns',
  matrices.map(([title, code, make]): Case => [
    title,
    code,
    ({ cos }) => cos.upsert({ keys: ['x', 'y'], vectors: never(make()) }),
    { field: 'vector', ...(isOfOneRow(code) ? { index: 1, key: 'y' } : {}) },
  ]),
)
table(
  'matrix of a batch search',
  matrices.map(([title, code, make]): Case => [
    title,
    code,
    ({ cos }) => cos.searchBatch({ vectors: never(make()) }),
    { field: 'vector', ...(isOfOneRow(code) ? { query: 1 } : {}) },
  ]),
)
table('matrix', [
  [
    'a row too many',
    dim,
    ({ cos }) => cos.upsert({ keys: ['x'], vectors: new Float32Array(8).fill(1) }),
    { expected: 4, got: 8 },
  ],
  [
    'a row too few',
    dim,
    ({ cos }) => cos.upsert({ keys: ['x', 'y'], vectors: new Float32Array(4).fill(1) }),
    { expected: 8, got: 4 },
  ],
])
