import { createReadStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { parquetReadObjects } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import test from 'ava'
import type { ErrorCode } from '#ts/index.js'
import { exportTo, importFrom } from '#ts/io/index.js'
import { fails } from '../helpers/expect.js'
import { openFor, temporaryDirectory } from '../helpers/home.js'
import { randomMatrix, seeded } from '../helpers/random.js'
import { fullCollection, recordsOf, same } from './world.js'

const plain = { vectors: { dim: 2, metric: 'l2' } } as const

for (const chunkRows of [1, 3, 4096]) {
  test(`records of every type go through row groups of ${chunkRows} and come back the same`, async (t) => {
    const db = await openFor(t)
    const full = await fullCollection(db)
    const path = join(temporaryDirectory(t), 'full.parquet')
    const result = await exportTo(full, path, { chunkRows })
    t.deepEqual(result, { rows: 10, bytes: readFileSync(path).length, version: 1n, cursor: null })
    t.like(await importFrom({ db, name: 'copy' }, path), { rows: 10, skipped: 0 })
    await same(t, await db.openCollection('copy'), full)
  })
}

test('number keys and no records at all go through, too', async (t) => {
  const db = await openFor(t)
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
  const directory = temporaryDirectory(t)
  for (const name of ['none', 'some']) {
    const path = join(directory, `${name}.parquet`)
    await exportTo(ids, path)
    await importFrom({ db, name }, path)
    await same(t, await db.openCollection(name), ids as never)
    await ids.upsert([0n, 2n ** 53n + 1n, 2n ** 64n - 1n].map((key) => ({ key, vector: [1] })))
  }
})

test('a table of another program is read, whatever its compression', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', { ...plain, fields: { when: 'date' } })
  const path = join(temporaryDirectory(t), 'x.parquet')
  const columnData = [
    { name: 'id', data: [1n, 2n ** 60n], type: 'INT64' as const },
    { name: 'x', data: ['a', '\uFEFFb'], type: 'STRING' as const },
    { name: 'n', data: [1, null], type: 'INT32' as const },
    { name: 'when', data: [new Date(5), null], type: 'TIMESTAMP' as const },
    { name: 'raw', data: [new Uint8Array([1, 0]), null], type: 'BYTE_ARRAY' as const },
    {
      name: 'embedding',
      data: [
        [1, 2],
        [3, 4.5],
      ],
      type: 'JSON' as const,
    },
  ]
  for (const codec of ['UNCOMPRESSED', 'SNAPPY', 'GZIP'] as const) {
    const bytes = parquetWriteBuffer({ columnData, codec, compressors: { GZIP: gzipSync } })
    writeFileSync(path, new Uint8Array(bytes))
    await importFrom(docs, path, { key: 'id', vector: 'embedding' })
    t.deepEqual((await docs.get('1'))?.fields, {
      x: 'a',
      n: 1,
      when: new Date(5),
      raw: new Uint8Array([1, 0]),
    } as never)
    const last = await docs.get(String(2n ** 60n), { vectors: true })
    t.deepEqual(last?.fields, { x: '\uFEFFb' } as never)
    t.deepEqual(last?.vector, Float32Array.of(3, 4.5))
    await docs.delete(['1', String(2n ** 60n)])
  }
})

test('other readers see lists of floats and typed columns', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const path = join(temporaryDirectory(t), 'full.parquet')
  await exportTo(full, path, { select: ['year', 'seen', 'tags', 'isNew'] })
  const { buffer, byteOffset, length } = readFileSync(path)
  const file = buffer.slice(byteOffset, byteOffset + length)
  const rows = await parquetReadObjects({ file })
  const all = rows.find(({ key }) => key === 'all')
  t.like(all, {
    year: 2n ** 63n - 1n,
    seen: new Date('2024-02-29T12:34:56.789Z'),
    isNew: false,
    tags: ['b', 'a', ''],
    body: [Math.fround(0.1), -0, 1.401298464324817e-45],
  })
})

test('sources that are no Parquet, cut, or of a kind that is not read are refused', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', plain)
  await docs.upsert(['a', 'b'].map((key) => ({ key, vector: [1, 2] })))
  const path = join(temporaryDirectory(t), 'x.parquet')
  await exportTo(docs, path)
  const whole = readFileSync(path)
  const copy = await db.collection('copy', plain)
  for (let length = 0; length < whole.length; length += 1) {
    writeFileSync(path, whole.subarray(0, length))
    await fails(t, () => importFrom(copy, path), 'ERR_CORRUPT', { file: path })
  }
  const huge = Buffer.from(whole)
  huge.writeUInt32LE(0xffffffff, whole.length - 8)
  writeFileSync(path, huge)
  await fails(t, () => importFrom(copy, path), 'ERR_CORRUPT')
  writeFileSync(path, gzipSync(whole))
  await fails(t, () => importFrom(copy, path), 'ERR_UNSUPPORTED_FORMAT')
  writeFileSync(path, whole)
  const stream = () => importFrom(copy, createReadStream(path), { format: 'parquet' })
  await fails(t, stream, 'ERR_UNSUPPORTED_FORMAT')
  const zipped = () => exportTo(docs, `${path}.gz`)
  await fails(t, zipped, 'ERR_INVALID_ARGUMENT', { path: 'target' })
  t.is(await copy.count(), 0)
})

test('whatever bits are flipped, an import ends with rows or with an error of ours', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', { ...plain, fields: { x: 'text', n: 'int[]' } })
  await docs.upsert(
    ['a', 'b', 'c'].map((key, n) => ({ key, vector: [1, n], fields: { x: 'text', n: [n, 1] } })),
  )
  const path = join(temporaryDirectory(t), 'x.parquet')
  await exportTo(docs, path)
  const whole = readFileSync(path)
  const next = seeded(13)
  const codes = new Set<ErrorCode>()
  const copy = await db.collection('copy', { ...plain, fields: { x: 'text', n: 'int[]' } })
  for (let round = 0; round < 1500; round += 1) {
    const bytes = Buffer.from(whole)
    for (let flips = 0; flips < 1 + (round % 3); flips += 1) {
      bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
    }
    writeFileSync(path, bytes)
    try {
      await importFrom(copy, path)
    } catch (error) {
      codes.add((error as { code: ErrorCode }).code)
      t.regex((error as { code: string }).code ?? String(error), /^ERR_(?!INTERNAL)/)
    }
  }
  t.true(codes.has('ERR_CORRUPT'))
})

test('an import of many row groups goes on where it ended', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', plain)
  const rows = 10_000
  await docs.upsert({
    keys: Array.from({ length: rows }, (_, at) => `${at}`),
    vectors: randomMatrix(rows, 2, 3),
  })
  const path = join(temporaryDirectory(t), 'docs.parquet')
  await exportTo(docs, path, { chunkRows: 700 })
  const controller = new AbortController()
  const copy = await db.collection('copy', plain)
  const error = await fails(
    t,
    () =>
      importFrom(copy, path, { signal: controller.signal, onProgress: () => controller.abort() }),
    'ERR_ABORTED',
  )
  const resume = error?.details['resumeToken'] as string
  t.true((await importFrom(copy, path, { resume })).rows < rows)
  t.deepEqual(await recordsOf(copy as never), await recordsOf(docs as never))
})
