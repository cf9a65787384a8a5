// Rows, columns and vectors of odd shapes: proxies, getters, holes, lengths without end, and memory that moves.
import { open } from '#ts/index.js'
import {
  arg,
  beside,
  dim,
  good,
  key,
  limit,
  never,
  table,
  type Case,
} from '../helpers/bad-input.js'

const refuse = (): never => {
  throw new Error('do not touch')
}
const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const

function trapped(target: object, trap: string): object {
  return new Proxy(target, { [trap]: refuse })
}

function throwing(name: string, rest: object): object {
  return Object.defineProperty({ ...rest }, name, { enumerable: true, get: refuse })
}

function endless(length: number): unknown[] {
  const list: unknown[] = []
  list.length = length
  return list
}

const row = { key: 'new', vector: good }
table('a row that throws', [
  ...(['get', 'ownKeys'] as const).map((trap): Case => [
    `a proxy whose ${trap} does`,
    arg,
    ({ cos }) => cos.upsert([row, never(trapped({ ...row }, trap))]),
    { index: 1 },
  ]),
  ...['key', 'vector', 'vectors', 'fields'].map((name): Case => [
    `its ${name}`,
    arg,
    ({ cos }) =>
      cos.upsert([row, never(throwing(name, name === 'vectors' ? { key: 'x' } : { ...row }))]),
    { index: 1 },
  ]),
  ...['keys', 'vectors', 'fields'].map((name): Case => [
    `the ${name} of columns`,
    arg,
    ({ cos }) =>
      cos.upsert(
        never(throwing(name, { keys: ['x'], vectors: new Float32Array(good), fields: undefined })),
      ),
  ]),
  ...traps.map((trap): Case => [
    `an array that is a proxy whose ${trap} does`,
    arg,
    ({ cos }) => cos.upsert(never(trapped([1], trap === 'has' ? 'get' : trap))),
  ]),
])

table('a list without end', [
  [
    'of rows',
    limit,
    ({ cos }) => cos.upsert(never(endless(2 ** 32 - 1))),
    { limit: 100_000, got: 2 ** 32 - 1 },
  ],
  ['of rows, one too many', limit, ({ cos }) => cos.upsert(never(endless(100_001)))],
  ['of keys to delete', limit, ({ cos }) => cos.delete(never(endless(2 ** 32 - 1)))],
  ['of keys to get', limit, ({ cos }) => cos.get(never(endless(2 ** 32 - 1)))],
  ['of keys to ask for', limit, ({ cos }) => cos.has(never(endless(2 ** 32 - 1)))],
  [
    'of keys in columns',
    limit,
    ({ cos }) => cos.upsert({ keys: never(endless(2 ** 32 - 1)), vectors: new Float32Array(good) }),
  ],
  ['of updates', limit, ({ cos }) => cos.update(never(endless(2 ** 32 - 1)))],
  ['of holes for rows', arg, ({ cos }) => cos.upsert(never(endless(3))), { index: 0 }],
  ['of holes for keys', key, ({ cos }) => cos.delete(never(endless(3))), { index: 0 }],
  [
    'in a vector',
    dim,
    ({ cos }) => cos.upsert(never({ key: 'x', vector: endless(2 ** 32 - 1) })),
    { index: 0, key: 'x', expected: 4 },
  ],
  ['in a search', dim, ({ cos }) => cos.search({ vector: never(endless(2 ** 32 - 1)) })],
  [
    'in a column of a field',
    arg,
    ({ cos }) =>
      cos.upsert({
        keys: ['x'],
        vectors: new Float32Array(good),
        fields: { int: endless(2 ** 32 - 1) },
      }),
    { field: 'int', expected: 1 },
  ],
  [
    'of fields, one object a row',
    arg,
    ({ cos }) =>
      cos.upsert({
        keys: ['x'],
        vectors: new Float32Array(good),
        fields: never(endless(2 ** 32 - 1)),
      }),
    { field: 'fields' },
  ],
  [
    'in a json field',
    arg,
    ({ cos }) => cos.upsert({ ...row, fields: { json: never(endless(2 ** 32 - 1)) } }),
    { index: 0, key: 'new', field: 'json' },
  ],
  [
    'of names in a selection',
    arg,
    ({ cos }) => cos.search({ vector: good, select: never(endless(2 ** 32 - 1)) }),
    { path: 'select[0]' },
  ],
  [
    'of fields in a record',
    limit,
    ({ cos }) =>
      cos.upsert({
        ...row,
        fields: Object.fromEntries(Array.from({ length: 200_000 }, (_, at) => [`f${at}`, at])),
      }),
    { index: 0, key: 'new', limit: 1024 * 1024 },
  ],
  [
    'of names in an object',
    limit,
    ({ cos }) =>
      cos.upsert({
        ...row,
        fields: {
          json: Object.fromEntries(Array.from({ length: 200_000 }, (_, at) => [`f${at}`, at])),
        },
      }),
    { index: 0, key: 'new', limit: 1024 * 1024 },
  ],
  [
    'of text in a key',
    key,
    ({ cos }) => cos.upsert({ key: 'k'.repeat(100_000_000), vector: good }),
    { index: 0 },
  ],
  [
    'of text in a field',
    limit,
    ({ cos }) => cos.upsert({ ...row, fields: { text: 't'.repeat(100_000_000) } }),
    { index: 0, key: 'new', limit: 1024 * 1024 },
  ],
])

const growable = (): Float32Array => {
  const buffer = new (
    SharedArrayBuffer as unknown as new (length: number, options: object) => SharedArrayBuffer
  )(16, { maxByteLength: 64 })
  return new Float32Array(buffer).fill(1)
}
/** A view that lost its memory when the buffer below it shrank. */
const shrunk = (): Float32Array => {
  const buffer = new (
    ArrayBuffer as unknown as new (
      length: number,
      options: object,
    ) => ArrayBuffer & { resize(length: number): void }
  )(16, { maxByteLength: 64 })
  const view = new Float32Array(buffer, 0, 4)
  buffer.resize(4)
  return view
}
table('memory that moves', [
  [
    'a vector in shared memory that grows',
    arg,
    ({ cos }) => cos.upsert({ key: 'x', vector: growable() }),
    { index: 0, key: 'x', field: 'vector' },
  ],
  ['a search in it', arg, ({ cos }) => cos.search({ vector: growable() })],
  ['a batch in it', arg, ({ cos }) => cos.searchBatch({ vectors: growable() })],
  [
    'columns in it',
    arg,
    ({ cos }) => cos.upsert({ keys: ['x'], vectors: growable() }),
    { field: 'vector' },
  ],
  [
    'a vector that lost its memory',
    dim,
    ({ cos }) => cos.upsert({ key: 'x', vector: shrunk() }),
    { index: 0, key: 'x', field: 'vector' },
  ],
  ['a search that did', dim, ({ cos }) => cos.search({ vector: shrunk() })],
  [
    'columns that did',
    dim,
    ({ cos }) => cos.upsert({ keys: ['x'], vectors: shrunk() }),
    { field: 'vector' },
  ],
])

beside('what was given is what is stored, whatever becomes of its memory', async (t) => {
  const db = await open(':memory:')
  t.teardown(() => db.close())
  const docs = await db.collection('docs', { vectors: { dim: 4, metric: 'l2' } })
  const buffer = new (
    ArrayBuffer as unknown as new (
      length: number,
      options: object,
    ) => ArrayBuffer & { resize(length: number): void }
  )(16, { maxByteLength: 64 })
  const vector = new Float32Array(buffer)
  vector.set([1, 2, 3, 4])
  const resized = docs.upsert({ key: 'resized', vector })
  buffer.resize(0)
  const moved = Float32Array.of(5, 6, 7, 8)
  const taken = docs.upsert({ keys: ['moved'], vectors: moved })
  structuredClone(moved.buffer, { transfer: [moved.buffer] })
  const odd = new Float32Array(Buffer.alloc(64).buffer, 0, 4)
  const overwritten = docs.upsert({ key: 'overwritten', vector: odd.fill(9) })
  odd.fill(-1)
  await Promise.all([resized, taken, overwritten])
  const records = await docs.get(['resized', 'moved', 'overwritten'], { vectors: true })
  t.deepEqual(
    records.map((record) => [...(record?.vector ?? [])]),
    [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
      [9, 9, 9, 9],
    ],
  )
})

beside('the smallest, the largest and both zeros come back bit for bit', async (t) => {
  const db = await open(':memory:')
  t.teardown(() => db.close())
  const docs = await db.collection('docs', {
    vectors: { dim: 4, metric: 'l2' },
    fields: { float: 'float', int: 'int', date: 'date' },
  })
  const smallest = 2 ** -149
  const rows = [
    [smallest, -smallest, 0, -0],
    [3.4028234663852886e38, -3.4028234663852886e38, 2 ** -126, 1],
  ]
  const floats = [Number.MIN_VALUE, Number.MAX_VALUE, -0, 0, -Number.MIN_VALUE]
  const ints = [2n ** 63n - 1n, -(2n ** 63n), 2 ** 53 - 1, -(2 ** 53) + 1, 0]
  const dates = [8.64e15, -8.64e15, 0, -1, 253_402_300_800_000].map((at) => new Date(at))
  for (const [at, float] of floats.entries()) {
    await docs.upsert({
      key: `k${at}`,
      vector: never(rows[at % 2]),
      fields: { float, int: never(ints[at]), date: never(dates[at]) },
    })
  }
  await docs.compact()
  for (const [at, float] of floats.entries()) {
    const record = await docs.get(`k${at}`, { vectors: true })
    const { fields, vector } = record ?? {}
    t.true(Object.is(fields?.float, float), `${float}`)
    t.is(BigInt(fields?.int ?? 1), BigInt(ints[at] ?? 2))
    t.deepEqual(fields?.date, dates[at])
    t.deepEqual([...(vector ?? [])], rows[at % 2])
  }
})
