// Wrong vectors for fields of 16 and 8 bits and of single bits.
import { type ErrorCode } from '#ts/index.js'
import { arg, dim, never, notFinite, table, type Case, type World } from '../helpers/bad-input.js'
import { detached } from '../helpers/weird.js'

type Field = 'halves' | 'bytes' | 'bits'

const zero = 'ERR_ZERO_VECTOR'

/** Wrong whatever the field is made of. */
const anywhere: readonly (readonly [string, ErrorCode, () => unknown])[] = [
  ['null', arg, () => null],
  ['a string', arg, () => '123'],
  ['a number', arg, () => 3],
  ['an array-like', arg, () => ({ 0: 1, 1: 2, 2: 3, length: 3 })],
  ['empty', dim, () => []],
  ['one short', dim, () => [1, 2]],
  ['one long', dim, () => [1, 2, 3, 4]],
  ['NaN', notFinite, () => [1, Number.NaN, 3]],
  ['Infinity', notFinite, () => [1, 2, Number.POSITIVE_INFINITY]],
  ['a component "1"', arg, () => ['1', 2, 3]],
  ['a component null', arg, () => [1, null, 3]],
  ['a component 1n', arg, () => [1n, 2, 3]],
  ['a hole', arg, () => [1, , 3]],
  ['a Float64Array', arg, () => new Float64Array([1, 2, 3])],
  ['an Int16Array', arg, () => new Int16Array([1, 2, 3])],
  ['a Uint8ClampedArray', arg, () => new Uint8ClampedArray([1, 2, 3])],
  ['an Int32Array', arg, () => new Int32Array([1, 2, 3])],
  ['a DataView', arg, () => new DataView(new ArrayBuffer(3))],
  ['an ArrayBuffer', arg, () => new ArrayBuffer(3)],
]

const own: Readonly<Record<Field, readonly (readonly [string, ErrorCode, () => unknown])[]>> = {
  halves: [
    ['an Int8Array', arg, () => new Int8Array([1, 2, 3])],
    ['a Uint8Array', arg, () => new Uint8Array([1, 2, 3])],
    ['65,505', arg, () => [1, 65_505, 3]],
    ['-65,520 in a Float32Array', arg, () => new Float32Array([1, 2, -65_520])],
    ['1e38', arg, () => [1, 2, 1e38]],
    ['3.5e38', notFinite, () => [1, 2, 3.5e38]],
    ['NaN in a Float32Array', notFinite, () => new Float32Array([1, 2, Number.NaN])],
    ['zero', zero, () => [0, 0, -0]],
    ['what is zero in 16 bits', zero, () => [2.9e-8, -1e-9, 0]],
    ['an array that is short', dim, () => new Float32Array(2)],
    ['detached', arg, () => detached(new Float32Array([1, 2, 3]))],
  ],
  bytes: [
    ['a Float32Array', arg, () => new Float32Array([1, 2, 3])],
    ['a Uint8Array', arg, () => new Uint8Array([1, 2, 3])],
    ['a Buffer', arg, () => Buffer.from([1, 2, 3])],
    ['128', arg, () => [1, 2, 128]],
    ['-129', arg, () => [-129, 2, 3]],
    ['0.5', arg, () => [0.5, 2, 3]],
    ['a number next to 1', arg, () => [1 + Number.EPSILON, 2, 3]],
    ['1e30', arg, () => [1, 1e30, 3]],
    ['zero', zero, () => new Int8Array(3)],
    ['an array that is long', dim, () => new Int8Array(4).fill(1)],
    ['detached', arg, () => detached(new Int8Array([1, 2, 3]))],
  ],
  bits: [
    ['a Float32Array', arg, () => new Float32Array([1, 2, 3])],
    ['an Int8Array', arg, () => new Int8Array([1, 2, 3])],
    ['256', arg, () => [1, 2, 256]],
    ['-1', arg, () => [-1, 2, 3]],
    ['0.25', arg, () => [0.25, 2, 3]],
    ['a number for each bit', dim, () => new Uint8Array(24)],
    ['detached', arg, () => detached(new Uint8Array([1, 2, 3]))],
  ],
}

const good: Readonly<Record<Field, readonly number[]>> = {
  halves: [1, 2, 3],
  bytes: [1, 2, 3],
  bits: [1, 2, 3],
}

const calls: readonly (readonly [
  string,
  (world: World, field: Field, vector: unknown) => unknown,
])[] = [
  [
    'upsert',
    ({ short }, field, vector) =>
      short.upsert({ key: 'new', vectors: never({ ...good, [field]: vector }) }),
  ],
  [
    'add',
    ({ short }, field, vector) =>
      short.add([{ key: 'new', vectors: never({ ...good, [field]: vector }) }]),
  ],
  [
    'update',
    ({ short }, field, vector) => short.update({ key: 'one', vectors: never({ [field]: vector }) }),
  ],
  ['search', ({ short }, field, vector) => short.search({ vector: never({ [field]: vector }) })],
  [
    'searchSync',
    ({ short }, field, vector) => short.searchSync({ vector: never({ [field]: vector }) }),
  ],
  ['explain', ({ short }, field, vector) => short.explain({ vector: never({ [field]: vector }) })],
]

for (const field of ['halves', 'bytes', 'bits'] as const) {
  for (const [name, call] of calls) {
    table(
      `vector of ${field} in ${name}`,
      [...anywhere, ...own[field]].map(([title, code, make]): Case => [
        title,
        code,
        (world) => call(world, field, make()),
        { field },
      ]),
    )
  }
}

const matrices: readonly (readonly [Field, string, ErrorCode, () => unknown])[] = [
  ['halves', 'an Int8Array', arg, () => new Int8Array(6).fill(1)],
  ['halves', 'one component short', dim, () => new Float32Array(5).fill(1)],
  ['halves', 'a component beyond 16 bits', arg, () => new Float32Array(6).fill(70_000)],
  ['bytes', 'a Float32Array', arg, () => new Float32Array(6).fill(1)],
  ['bytes', 'an array', arg, () => [1, 2, 3, 4, 5, 6]],
  ['bytes', 'one component long', dim, () => new Int8Array(7).fill(1)],
  ['bits', 'a Float32Array', arg, () => new Float32Array(6)],
  ['bits', 'a number for each bit', dim, () => new Uint8Array(48)],
]
table(
  'matrix of short vectors',
  matrices.map(([field, title, code, make]): Case => {
    const columns = {
      halves: new Float32Array(6).fill(1),
      bytes: new Int8Array(6).fill(1),
      bits: new Uint8Array(6),
    }
    return [
      `${field}: ${title}`,
      code,
      ({ short }) =>
        short.upsert({ keys: ['x', 'y'], vectors: never({ ...columns, [field]: make() }) }),
      { field },
    ]
  }),
)
table(
  'matrix of a batch search of short vectors',
  matrices
    .filter(([, title]) => !title.includes('number for each bit'))
    .map(([field, title, code, make]): Case => [
      `${field}: ${title}`,
      code,
      ({ short }) => short.searchBatch({ vectors: never({ [field]: make() }) }),
      { field },
    ]),
)
