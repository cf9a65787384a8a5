import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import type { Collection, ErrorCode } from '#ts/index.js'
import { exportTo, importFrom, type Format } from '#ts/io/index.js'
import { fails, type Facts } from '../helpers/expect.js'
import { openFor, temporaryDirectory } from '../helpers/home.js'
import { randomMatrix } from '../helpers/random.js'
import { fullCollection, recordsOf } from './world.js'

const schema = { vectors: { dim: 3, metric: 'l2' } } as const
const ids = { ...schema, key: 'u64' } as const

for (const format of ['npy', 'fvecs'] as const) {
  test(`vectors and keys go through ${format} bit for bit`, async (t) => {
    const db = await openFor(t)
    const path = join(temporaryDirectory(t), `x.${format}`)
    const odd = Float32Array.of(-0, 1e-45, 3.4028234663852886e38)
    const docs = await db.collection('docs', schema)
    await docs.upsert([
      { key: '"\n', vector: odd },
      { key: '12', vector: [1, 2, 3] },
      { key: '\u{10FFFF}', vector: [0.1, 0.2, 0.3] },
    ])
    t.is((await exportTo(docs, path)).bytes, readFileSync(path).length)
    const copy = await db.collection('copy', schema)
    await importFrom(copy, path)
    t.deepEqual(await recordsOf(copy as never), await recordsOf(docs as never))

    const numbers = await db.collection('numbers', ids)
    await numbers.upsert([5n, 2n ** 64n - 1n].map((key) => ({ key, vector: odd })))
    await exportTo(numbers, path)
    const more = await db.collection('more', ids)
    await importFrom(more, path)
    t.deepEqual(await recordsOf(more as never), await recordsOf(numbers as never))
  })
}

test('many rows go through every format, also compressed', async (t) => {
  const db = await openFor(t)
  const rows = 20_000
  const keys = Array.from({ length: rows }, (_, at) => `${at}`)
  const directory = temporaryDirectory(t)
  const docs = await db.collection('docs', schema)
  const matrix = randomMatrix(rows, 3, 1).map((value) => Math.round(Math.abs(value) * 255))
  await docs.upsert({ keys, vectors: matrix })
  for (const name of ['x.npy', 'x.fvecs', 'x.bvecs', 'x.ivecs', 'x.bvecs.gz']) {
    const path = join(directory, name)
    await exportTo(docs, path)
    const copy = await db.collection('copy', schema)
    t.like(await importFrom(copy, path), { rows })
    t.deepEqual(await recordsOf(copy as never), await recordsOf(docs as never), name)
    await db.dropCollection('copy')
  }
})

test('one field of several is written, and its rows need no keys', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const path = join(temporaryDirectory(t), 'body.npy')
  const details = { path: 'vectors' }
  await fails(t, () => exportTo(full, path), 'ERR_INVALID_ARGUMENT', details)
  await fails(t, () => exportTo(full, path, { vectors: false }), 'ERR_INVALID_ARGUMENT', details)
  await exportTo(full, path, { vectors: 'body' })
  rmSync(`${path}.keys.jsonl`)
  const docs = await db.collection('docs', schema)
  await importFrom(docs, path, { key: (row) => `row-${String(row['key'])}` })
  t.is(await docs.count(), 10)
  t.true(await docs.has('row-9'))
  const numbers = await db.collection('numbers', ids)
  await importFrom(numbers, path)
  t.true(await numbers.has(9n))
})

test('a stream takes rows that need no count, and an import of a matrix goes on where it ended', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const matrix = randomMatrix(5000, 3, 2)
  await docs.upsert({ keys: Array.from({ length: 5000 }, (_, at) => `${at}`), vectors: matrix })
  const through = new PassThrough()
  const copy = await db.collection('copy', schema)
  await Promise.all([
    exportTo(docs, through, { format: 'fvecs' }),
    importFrom(copy, through, { format: 'fvecs' }),
  ])
  t.is(await copy.count(), 5000)
  const npy = exportTo(docs, new PassThrough(), { format: 'npy' })
  await t.throwsAsync(npy, { code: 'ERR_INVALID_ARGUMENT' })
  await t.throwsAsync(exportTo(docs, 'x.npy.gz'), { code: 'ERR_INVALID_ARGUMENT' })
  t.false(readdirSync('.').some((name) => name.includes('x.npy')))

  const path = join(temporaryDirectory(t), 'x.npy')
  await exportTo(docs, path)
  const controller = new AbortController()
  const again = await db.collection('again', schema)
  const error = await fails(
    t,
    () =>
      importFrom(again, path, { signal: controller.signal, onProgress: () => controller.abort() }),
    'ERR_ABORTED',
  )
  const resume = error?.details['resumeToken'] as string
  const { rows } = await importFrom(again, path, { resume })
  t.true(rows < 5000)
  t.deepEqual(await recordsOf(again as never), await recordsOf(docs as never))
})

const npy = (descr: string, shape: string, body: Buffer, order: string = 'False'): Buffer => {
  const text = `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`
  const head = Buffer.from('\x93NUMPY\x01\0\0\0', 'latin1')
  head.writeUInt16LE(text.length, 8)
  return Buffer.concat([head, Buffer.from(text), body])
}
const doubles = (write: 'writeDoubleLE' | 'writeDoubleBE', ...values: number[]): Buffer => {
  const bytes = Buffer.alloc(8 * values.length)
  for (const [at, value] of values.entries()) bytes[write](value, 8 * at)
  return bytes
}
const vec = (length: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(4)
  head.writeInt32LE(length)
  return Buffer.concat([head, body])
}
const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)
const ints = (...values: number[]): Buffer => Buffer.from(Int32Array.from(values).buffer)
const one = vec(3, floats(1, 2, 3))

async function read(docs: Collection, format: Format, bytes: Buffer): Promise<unknown> {
  await importFrom(docs, [bytes], { format })
  const records = await docs.get(['0', '1'] as never, { vectors: true })
  return records.map((record) => [
    ...((record?.vectors['vector'] as Float32Array | undefined) ?? []),
  ])
}

test('doubles, bytes in the other order and later versions of npy are read', async (t) => {
  const docs = (await (await openFor(t)).collection('docs', schema)) as unknown as Collection
  const values = [1.5, -2, 0.1, 4, 5, 6]
  const expected = [
    [1.5, -2, Math.fround(0.1)],
    [4, 5, 6],
  ]
  for (const [descr, write] of [
    ["'<f8'", 'writeDoubleLE'],
    ["'>f8'", 'writeDoubleBE'],
  ] as const) {
    t.deepEqual(await read(docs, 'npy', npy(descr, '(2, 3)', doubles(write, ...values))), expected)
  }
  const big = floats(...values).swap32()
  t.deepEqual(await read(docs, 'npy', npy("'>f4'", '(2L, 3L)', big)), expected)
  const v1 = npy("'<f4'", '(2, 3)', floats(...values))
  const length = v1.readUInt16LE(8)
  const v2 = Buffer.concat([v1.subarray(0, 6), Buffer.from([2, 0]), ints(length), v1.subarray(10)])
  t.deepEqual(await read(docs, 'npy', v2), expected)
  t.deepEqual(await read(docs, 'npy', npy("'<f4'", '(1, 3)', floats(7, 8, 9), 'True')), [
    [7, 8, 9],
    [4, 5, 6],
  ])
})

const wrong: readonly [
  what: string,
  format: Format,
  bytes: Buffer,
  code: ErrorCode,
  facts?: Facts,
][] = [
  ['no npy', 'npy', Buffer.from('PK\x03\x04 something else'), 'ERR_CORRUPT'],
  ['an empty npy', 'npy', Buffer.alloc(0), 'ERR_CORRUPT'],
  ['a cut header', 'npy', npy("'<f4'", '(1, 3)', Buffer.alloc(0)).subarray(0, 30), 'ERR_CORRUPT'],
  ['a header that is no dictionary', 'npy', npy('', 'nothing', Buffer.alloc(0)), 'ERR_CORRUPT'],
  [
    'a later version',
    'npy',
    Buffer.from('\x93NUMPY\x09\0\0\0', 'latin1'),
    'ERR_UNSUPPORTED_FORMAT',
  ],
  [
    'a header of 4 GiB',
    'npy',
    Buffer.from('\x93NUMPY\x02\0\xff\xff\xff\xff', 'latin1'),
    'ERR_CORRUPT',
  ],
  [
    'Fortran order',
    'npy',
    npy("'<f4'", '(2, 3)', floats(1, 2, 3, 4, 5, 6), 'True'),
    'ERR_UNSUPPORTED_FORMAT',
  ],
  ['integers', 'npy', npy("'<i8'", '(1, 3)', Buffer.alloc(24)), 'ERR_UNSUPPORTED_FORMAT'],
  ['pickled objects', 'npy', npy("'|O'", '(1, 3)', Buffer.alloc(24)), 'ERR_UNSUPPORTED_FORMAT'],
  [
    'a structure',
    'npy',
    npy("[('a', '<f4')]", '(1, 3)', Buffer.alloc(24)),
    'ERR_UNSUPPORTED_FORMAT',
  ],
  ['a vector alone', 'npy', npy("'<f4'", '(3,)', floats(1, 2, 3)), 'ERR_UNSUPPORTED_FORMAT'],
  ['three dimensions', 'npy', npy("'<f4'", '(1, 1, 3)', floats(1, 2, 3)), 'ERR_UNSUPPORTED_FORMAT'],
  ['rows of nothing', 'npy', npy("'<f4'", '(5, 0)', Buffer.alloc(0)), 'ERR_LIMIT_EXCEEDED'],
  [
    'a huge shape',
    'npy',
    npy("'<f4'", '(9999999999999999, 65536)', floats(1)),
    'ERR_LIMIT_EXCEEDED',
  ],
  [
    'rows that are not there',
    'npy',
    npy("'<f4'", '(99999999999, 3)', floats(1, 2, 3)),
    'ERR_CORRUPT',
    { row: 1 },
  ],
  [
    'a cut row',
    'npy',
    npy("'<f4'", '(2, 3)', floats(1, 2, 3, 4)),
    'ERR_CORRUPT',
    { row: 1, expected: 12, got: 4 },
  ],
  [
    'bytes behind the rows',
    'npy',
    npy("'<f4'", '(1, 3)', floats(1, 2, 3, 4)),
    'ERR_CORRUPT',
    { row: 1 },
  ],
  ['another dim', 'npy', npy("'<f4'", '(1, 2)', floats(1, 2)), 'ERR_DIM_MISMATCH', { row: 0 }],
  ['NaN', 'npy', npy("'<f4'", '(2, 3)', floats(1, 2, 3, 4, NaN, 6)), 'ERR_NOT_FINITE', { row: 1 }],
  [
    'a double that is too large',
    'npy',
    npy("'<f8'", '(1, 3)', doubles('writeDoubleLE', 1, 1e39, 1)),
    'ERR_NOT_FINITE',
    { row: 0 },
  ],
  ['a cut length', 'fvecs', Buffer.concat([one, Buffer.from([3, 0])]), 'ERR_CORRUPT', { row: 1 }],
  ['a cut vector', 'fvecs', Buffer.concat([one, one.subarray(0, 9)]), 'ERR_CORRUPT', { row: 1 }],
  ['a length alone', 'fvecs', vec(3, Buffer.alloc(0)), 'ERR_CORRUPT', { row: 0 }],
  [
    'a length that changes',
    'fvecs',
    Buffer.concat([one, vec(2, floats(1, 2))]),
    'ERR_CORRUPT',
    { row: 1, expected: 3, got: 2, offset: 16 },
  ],
  ['a length of 2 GiB', 'fvecs', vec(2 ** 31 - 1, floats(1)), 'ERR_CORRUPT'],
  ['a length below 0', 'fvecs', vec(-1, floats(1)), 'ERR_CORRUPT'],
  ['a length of 0', 'bvecs', vec(0, Buffer.alloc(0)), 'ERR_CORRUPT'],
  [
    'an infinite component',
    'fvecs',
    Buffer.concat([one, vec(3, floats(1, Infinity, 1))]),
    'ERR_NOT_FINITE',
    { row: 1, offset: 16 },
  ],
  [
    'an integer that would be rounded',
    'ivecs',
    vec(3, ints(1, 2 ** 24 + 1, 0)),
    'ERR_INVALID_ARGUMENT',
    { row: 0 },
  ],
  ['cut gzip', 'fvecs', gzipSync(one).subarray(0, -3), 'ERR_CORRUPT'],
]

for (const [what, format, bytes, code, facts] of wrong) {
  test(`${format} with ${what} is refused`, async (t) => {
    const docs = await (await openFor(t)).collection('docs', schema)
    await fails(t, () => importFrom(docs, [bytes], { format }), code, facts)
  })
}

test('an npy file that is not as long as it says is refused before a row is written', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const path = join(temporaryDirectory(t), 'x.npy')
  writeFileSync(path, npy("'<f4'", '(5, 3)', floats(1, 2, 3)))
  await fails(t, () => importFrom(docs, path, { chunkRows: 1 }), 'ERR_CORRUPT', { file: path })
  t.is(await docs.count(), 0)
})

test('keys and rows must be as many', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const path = join(temporaryDirectory(t), 'x.fvecs')
  writeFileSync(path, Buffer.concat([one, one]))
  for (const keys of ['"a"\n', '"a"\n"b"\n"c"\n', '"a"\nb\n']) {
    writeFileSync(`${path}.keys.jsonl`, keys)
    await fails(t, () => importFrom(docs, path), 'ERR_CORRUPT', { file: `${path}.keys.jsonl` })
  }
})

test('a component that a format cannot hold is refused, and nothing is left behind', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const directory = temporaryDirectory(t)
  for (const vector of [
    [1, 2, 0.5],
    [1, 2, 256],
    [1, 2, -1],
  ]) {
    await docs.upsert({ key: 'a', vector })
    const call = () => exportTo(docs, join(directory, 'x.bvecs'))
    await fails(t, call, 'ERR_INVALID_ARGUMENT', { key: 'a', component: 2 })
  }
  t.deepEqual(readdirSync(directory), [])
})
