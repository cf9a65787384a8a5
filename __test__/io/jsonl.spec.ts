import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { gunzipSync, gzipSync } from 'node:zlib'
import test from 'ava'
import { exportTo, importFrom } from '#ts/io/index.js'
import { encodeFloat, encodeValue, parseJson } from '#ts/io/values.js'
import { openFor, temporaryDirectory } from '../helpers/home.js'
import { seeded } from '../helpers/random.js'
import { fullCollection, recordsOf, same } from './world.js'

const plain = { vectors: { dim: 2, metric: 'l2' }, fields: { n: 'int' } } as const

test('every value survives the round trip through JSON', (t) => {
  const values = [
    null,
    true,
    '',
    '{"$int":"5"}',
    -0,
    5e-324,
    1.7976931348623157e308,
    2 ** 53,
    1e20,
    2n ** 63n - 1n,
    -(2n ** 63n),
    9007199254740993n,
    new Date(-8.64e15),
    new Uint8Array([0, 1, 255]),
    [[], {}, [[null]]],
    { $date: 'x' },
    { $object: { $int: '5' } },
    { $int: 1n << 60n, other: 1 },
    JSON.parse('{"__proto__":{"a":1}}'),
    { 'a 12345678901234567890': 'b 12345678901234567890 "12345678901234567890"' },
  ]
  for (const value of values) t.deepEqual(parseJson(encodeValue(value)), value, encodeValue(value))
  t.deepEqual(parseJson(encodeValue(values)), values)
})

test('a float is written in the fewest digits that give it back', (t) => {
  t.is(encodeFloat(Math.fround(0.1)), '0.1')
  t.is(encodeFloat(Math.fround(16777216)), '16777216')
  t.is(encodeFloat(Math.fround(1e-45)), '1e-45')
  const next = seeded(7)
  const bits = new Uint32Array(1)
  const float = new Float32Array(bits.buffer)
  for (let round = 0; round < 20_000; round += 1) {
    bits[0] = Math.floor(next() * 2 ** 32)
    const [value = 0] = float
    if (!Number.isFinite(value)) continue
    const text = encodeFloat(value)
    t.true(Object.is(Math.fround(JSON.parse(text) as number), value), text)
    t.true(text.replace(/e.*|[-.]/g, '').replace(/^0+/, '').length <= 9 || Number.isInteger(value))
  }
})

test('records of every type come back the same, and the schema with them', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const path = join(temporaryDirectory(t), 'full.jsonl')
  const result = await exportTo(full, path)
  t.deepEqual(result, {
    rows: 10,
    bytes: readFileSync(path).length,
    version: 1n,
    cursor: null,
  })
  const { rows, skipped } = await importFrom({ db, name: 'copy' }, path)
  t.deepEqual({ rows, skipped }, { rows: 10, skipped: 0 })
  await same(t, await db.openCollection('copy'), full)
})

test('number keys beyond 2^53 come back the same', async (t) => {
  const db = await openFor(t)
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
  await ids.upsert([0n, 2n ** 53n + 1n, 2n ** 64n - 1n].map((key) => ({ key, vector: [1] })))
  const path = join(temporaryDirectory(t), 'ids.jsonl')
  await exportTo(ids, path)
  await importFrom({ db, name: 'copy' }, path)
  await same(t, await db.openCollection('copy'), ids as never)
})

test('lines that a person wrote are read', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', {
    vectors: { dim: 2, metric: 'l2' },
    fields: { n: 'int', seen: 'date', raw: 'bytes' },
  })
  const text = [
    '\uFEFF{"key": "a", "vector": [1, 2], "fields": {"n": 1}}\r',
    '',
    '  \t\r',
    '{"key": 7, "vectors": {"vector": [1e0, -2.50]}, "n": 9007199254740993, "free": [1, "x"]}',
    '{"key": "c", "vector": [1, 2], "seen": "2024-01-01", "raw": "AQI=", "n": null}',
  ].join('\n')
  await importFrom(docs, [Buffer.from(text)], { format: 'jsonl' })
  t.deepEqual(
    (await docs.get(['a', '7', 'c'], { vectors: true })).map((record) => record?.fields),
    [
      { n: 1 },
      { n: 9007199254740993n, free: [1, 'x'] },
      { seen: new Date('2024-01-01'), raw: new Uint8Array([1, 2]), n: null },
    ],
  )
})

test('columns have the names that the options say', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', plain)
  const line = '{"id": 5, "embedding": [1, 2], "n": 3}\n'
  await importFrom(docs, [Buffer.from(line)], { format: 'jsonl', key: 'id', vector: 'embedding' })
  await importFrom(docs, [Buffer.from(line)], {
    format: 'jsonl',
    key: ({ id }) => `doc-${String(id)}`,
    vector: { vector: 'embedding' },
  })
  t.deepEqual(await docs.get('5'), { key: '5', version: 1n, fields: { n: 3 } })
  t.deepEqual(await docs.get('doc-5'), { key: 'doc-5', version: 2n, fields: { id: 5, n: 3 } })
})

test('a block may end anywhere in a line', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const path = join(temporaryDirectory(t), 'full.jsonl')
  await exportTo(full, path)
  const text = readFileSync(path)
  for (const size of [1, 2, 3, 7, 64]) {
    const blocks = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
      text.subarray(at * size, (at + 1) * size),
    )
    await importFrom({ db, name: `copy${size}` }, blocks, { format: 'jsonl' })
    await same(t, await db.openCollection(`copy${size}`), full)
  }
})

test('a name that ends in .gz is compressed, and compression is seen without a name', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const path = join(temporaryDirectory(t), 'full.jsonl.gz')
  const { bytes } = await exportTo(full, path)
  const packed = readFileSync(path)
  t.is(bytes, packed.length)
  t.regex(gunzipSync(packed).toString(), /^\{"\$cairn"/)
  await importFrom({ db, name: 'copy' }, path)
  await same(t, await db.openCollection('copy'), full)
  const blocks = [packed.subarray(0, 1), packed.subarray(1)]
  await importFrom({ db, name: 'again' }, blocks, { format: 'jsonl' })
  await same(t, await db.openCollection('again'), full)
})

test('streams are written and read', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const through = new PassThrough({ highWaterMark: 16 })
  const [{ rows }] = await Promise.all([
    exportTo(full, through, { format: 'jsonl' }),
    importFrom({ db, name: 'copy' }, through, { format: 'jsonl' }),
  ])
  t.is(rows, 10)
  await same(t, await db.openCollection('copy'), full)
  const path = join(temporaryDirectory(t), 'full.jsonl')
  await exportTo(full, path)
  await importFrom({ db, name: 'file' }, createReadStream(path), { format: 'jsonl' })
  await same(t, await db.openCollection('file'), full)
})

test('select, vectors and limit choose what is written, and a cursor goes on', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const lines: string[] = []
  let after: string | undefined
  for (;;) {
    const path = join(temporaryDirectory(t), 'part.jsonl')
    const options = { select: ['year'], vectors: 'head', limit: 4, after }
    const { rows, cursor } = await exportTo(full, path, options)
    t.true(rows <= 4)
    lines.push(...readFileSync(path, 'utf8').split('\n').slice(1, -1))
    if (cursor === null) break
    after = cursor
  }
  const expected = (await recordsOf(full)).map((record) => (record as { key: string }).key)
  t.deepEqual(
    lines.map((line) => (JSON.parse(line) as { key: string }).key),
    expected,
  )
  t.true(lines.every((line) => /"fields":\{("year":[^,]*)?\}\}$/.test(line)))
  t.true(lines.some((line) => line.includes('"vectors":{"head":[')))
  t.false(lines.some((line) => line.includes('"body"')))
})

test('an export shows one version, whatever is written meanwhile', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', plain)
  const rows = (n: number) =>
    Array.from({ length: 3000 }, (_, at) => ({ key: `${at}`, vector: [1, 2], fields: { n } }))
  await docs.upsert(rows(1))
  const path = join(temporaryDirectory(t), 'docs.jsonl')
  let isChanged = false
  const result = await exportTo(docs, path, {
    onProgress: () => {
      if (isChanged) return
      isChanged = true
      void docs.upsert(rows(2))
      void docs.delete(['998', '999'])
    },
  })
  t.true(isChanged)
  t.is(result.rows, 3000)
  t.is(result.version, 1n)
  t.is(readFileSync(path, 'utf8').split('"n":1}').length, 3001)
})

test('an export that ends early leaves the target as it was', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', plain)
  await docs.upsert(Array.from({ length: 3000 }, (_, at) => ({ key: `${at}`, vector: [1, 2] })))
  const directory = temporaryDirectory(t)
  const path = join(directory, 'docs.jsonl')
  writeFileSync(path, 'before')
  const controller = new AbortController()
  const options = { signal: controller.signal, onProgress: () => controller.abort() }
  await t.throwsAsync(exportTo(docs, path, options), { code: 'ERR_ABORTED' })
  t.is(readFileSync(path, 'utf8'), 'before')
  const failing = {
    transform: () => {
      throw new RangeError('mine')
    },
  }
  await t.throwsAsync(exportTo(docs, path, failing), { instanceOf: RangeError })
  await t.throwsAsync(exportTo(docs, join(directory, 'none/x.jsonl')), { code: 'ERR_IO' })
  t.is(readFileSync(path, 'utf8'), 'before')
  t.deepEqual((await import('node:fs')).readdirSync(directory), ['docs.jsonl'])
})

test('a stream that takes nothing, fails or closes does not hold an export', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', plain)
  await docs.upsert(Array.from({ length: 9000 }, (_, at) => ({ key: `${at}`, vector: [1, 2] })))
  const signal = AbortSignal.timeout(50)
  const stuck = new PassThrough({ highWaterMark: 1 })
  await t.throwsAsync(exportTo(docs, stuck, { format: 'jsonl', signal }), { code: 'ERR_ABORTED' })
  const closing = new PassThrough({ highWaterMark: 1 })
  setTimeout(() => closing.destroy(), 20)
  await t.throwsAsync(exportTo(docs, closing, { format: 'jsonl' }), { code: 'ERR_IO' })
  const failing = new PassThrough({ highWaterMark: 1 })
  setTimeout(() => failing.destroy(new Error('mine')), 20)
  const error = await t.throwsAsync(exportTo(docs, failing, { format: 'jsonl' }), {
    code: 'ERR_IO',
  })
  t.regex(String(error?.cause), /mine/)
})

test('gzip of several members is read to its end', async (t) => {
  const docs = await (await openFor(t)).collection('docs', plain)
  const line = (key: string): string => `{"key":"${key}","vector":[1,2]}\n`
  const packed = Buffer.concat([gzipSync(line('a')), gzipSync(line('b'))])
  await importFrom(docs, [packed], { format: 'jsonl' })
  t.is(await docs.count(), 2)
  t.false(existsSync('undefined.cairn-resume'))
})
