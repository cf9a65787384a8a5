import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as arrow from 'apache-arrow'
import test from 'ava'
import type { ErrorCode } from '#ts/index.js'
import { exportTo, importFrom } from '#ts/io/index.js'
import { fails } from '../helpers/expect.js'
import { openFor, temporaryDirectory } from '../helpers/home.js'
import { randomMatrix, seeded } from '../helpers/random.js'
import { fullCollection, recordsOf, same } from './world.js'

for (const name of ['full.arrow', 'full.arrows', 'full.arrows.gz']) {
  test(`records of every type go through ${name} and come back the same`, async (t) => {
    const db = await openFor(t)
    const full = await fullCollection(db)
    const path = join(temporaryDirectory(t), name)
    const result = await exportTo(full, path, { chunkRows: 3 })
    t.deepEqual(result, { rows: 10, bytes: readFileSync(path).length, version: 1n, cursor: null })
    t.like(await importFrom({ db, name: 'copy' }, path), { rows: 10, skipped: 0 })
    await same(t, await db.openCollection('copy'), full)
  })
}

test('number keys and no records at all go through, too', async (t) => {
  const db = await openFor(t)
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
  const directory = temporaryDirectory(t)
  for (const name of ['none.arrow', 'some.arrows']) {
    const path = join(directory, name)
    await exportTo(ids, path)
    await importFrom({ db, name: `copy-${name}` }, path)
    await same(t, await db.openCollection(`copy-${name}`), ids as never)
    await ids.upsert([0n, 2n ** 64n - 1n].map((key) => ({ key, vector: [1] })))
  }
})

test('columns are typed as other programs want them', async (t) => {
  const db = await openFor(t)
  const full = await fullCollection(db)
  const path = join(temporaryDirectory(t), 'full.arrow')
  await exportTo(full, path, { select: ['year', 'tags', 'seen', 'meta', 'key'] })
  const { schema, numRows } = arrow.tableFromIPC(readFileSync(path))
  t.is(numRows, 10)
  t.deepEqual(
    schema.fields.map(({ name, type }) => `${name}: ${String(type)}`),
    [
      'key: Utf8',
      'body: FixedSizeList[3]<Float32>',
      'head: FixedSizeList[2]<Float32>',
      'tokens: List<FixedSizeList[2]<Float32>>',
      'year: Int64',
      'seen: Timestamp<MILLISECOND, UTC>',
      'meta: Utf8',
      'tags: List<Utf8>',
      'key_2: Utf8',
      '_extra: Utf8',
    ],
  )
})

test('a table of another program is read', async (t) => {
  const db = await openFor(t)
  const f64 = new arrow.Float64()
  const table = new arrow.Table({
    id: arrow.vectorFromArray([1n, 2n, 2n ** 60n], new arrow.Int64()),
    embedding: arrow.vectorFromArray(
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      new arrow.List(new arrow.Field('item', f64, true)),
    ),
    label: arrow.vectorFromArray(['x', 'y', 'x']),
    when: arrow.vectorFromArray([new Date(5), null, new Date(7)], new arrow.TimestampMicrosecond()),
    day: arrow.vectorFromArray([new Date(86_400_000), null, null], new arrow.DateDay()),
    small: arrow.vectorFromArray([1, null, 3], new arrow.Int8()),
    raw: arrow.vectorFromArray([new Uint8Array([1]), null, new Uint8Array()], new arrow.Binary()),
    nested: arrow.vectorFromArray(
      [{ a: 1n, b: ['p', 'q'] }, null, { a: null, b: [] }],
      new arrow.Struct([
        new arrow.Field('a', new arrow.Int64(), true),
        new arrow.Field(
          'b',
          new arrow.List(new arrow.Field('item', new arrow.Utf8(), true)),
          true,
        ) as never,
      ]),
    ),
  })
  for (const format of ['file', 'stream'] as const) {
    const docs = await db.collection(`docs-${format}`, {
      vectors: { dim: 2, metric: 'l2' },
      fields: { day: 'date' },
    })
    const path = join(temporaryDirectory(t), 'x.arrow')
    writeFileSync(path, arrow.tableToIPC(table, format))
    await importFrom(docs, path, { key: 'id', vector: 'embedding' })
    const fields: Record<string, unknown> = (await docs.get('1'))?.fields ?? {}
    const { label, when, day, small, raw, nested } = fields
    t.deepEqual(
      { label, when, day, small, raw, nested },
      {
        label: 'x',
        when: new Date(5),
        day: new Date(86_400_000),
        small: 1,
        raw: new Uint8Array([1]),
        nested: { a: 1, b: ['p', 'q'] },
      },
    )
    t.deepEqual((await docs.get('2'))?.fields, { label: 'y' } as never)
    const [last] = await docs.get([String(2n ** 60n)], { vectors: true })
    t.deepEqual(last?.vector, Float32Array.of(5, 6))
    t.deepEqual(last?.fields['nested'], { b: [] })
  }
})

test('a row that is wrong is named, and left out when asked for', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const table = new arrow.Table({
    key: arrow.vectorFromArray(['a', 'b', null, 'd']),
    vector: arrow.vectorFromArray(
      [[1, 2], [1], [1, 2], [1, null]],
      new arrow.List(new arrow.Field('item', new arrow.Float32(), true)),
    ),
  })
  const source = [arrow.tableToIPC(table, 'stream')]
  const call = () => importFrom(docs, source, { format: 'arrow' })
  await fails(t, call, 'ERR_INVALID_KEY', { row: 2 })
  const errors: unknown[] = []
  const result = await importFrom(docs, source, {
    format: 'arrow',
    onError: 'skip',
    onSkip: (error) => errors.push(error.code, error.details['row']),
  })
  t.deepEqual(errors, ['ERR_INVALID_KEY', 2, 'ERR_DIM_MISMATCH', 1, 'ERR_INVALID_ARGUMENT', 3])
  t.like(result, { rows: 1, skipped: 3 })
})

test('columns that no field can hold are refused before a row is written', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 1, metric: 'l2' } })
  const types = [new arrow.Decimal(2, 10), new arrow.TimeSecond(), new arrow.DurationSecond()]
  for (const type of types) {
    const schema = new arrow.Schema([new arrow.Field('x', type, true)])
    const writer = new arrow.RecordBatchStreamWriter()
    writer.reset(undefined, schema)
    writer.finish()
    const source = [await writer.toUint8Array()]
    const call = () => importFrom(docs, source, { format: 'arrow' })
    await fails(t, call, 'ERR_UNSUPPORTED_FORMAT', { column: 'x' })
  }
})

const batch = new arrow.Table({
  key: arrow.vectorFromArray(['a', 'b', 'c'], new arrow.Utf8()),
  vector: arrow.makeVector(
    arrow.makeData({
      type: new arrow.FixedSizeList(2, new arrow.Field('item', new arrow.Float32())),
      length: 3,
      child: arrow.makeData({ type: new arrow.Float32(), data: Float32Array.of(1, 2, 3, 4, 5, 6) }),
    }),
  ),
})

test('sources that are cut anywhere are refused', async (t) => {
  const db = await openFor(t)
  const schema = { vectors: { dim: 2, metric: 'l2' } } as const
  const docs = await db.collection('docs', schema)
  await docs.upsert(['a', 'b'].map((key) => ({ key, vector: [1, 2] })))
  const path = join(temporaryDirectory(t), 'x.arrow')
  for (const format of ['arrow', 'arrow-stream'] as const) {
    await exportTo(docs, path, { format })
    const whole = readFileSync(path)
    for (let length = 0; length < whole.length; length += 1) {
      const source = [whole.subarray(0, length)]
      await fails(t, () => importFrom(docs, source, { format: 'arrow' }), 'ERR_CORRUPT')
    }
    const copy = await db.collection(`copy-${format}`, schema)
    await importFrom(copy, [whole], { format: 'arrow' })
    t.is(await copy.count(), 2)
  }
})

test('a file with its schema at the end alone needs a path', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const whole = Buffer.from(arrow.tableToIPC(batch, 'file'))
  const stream = () => importFrom(docs, [whole], { format: 'arrow' })
  await fails(t, stream, 'ERR_UNSUPPORTED_FORMAT')
  const path = join(temporaryDirectory(t), 'x.arrow')
  for (let length = 0; length < whole.length; length += 5) {
    writeFileSync(path, whole.subarray(0, length))
    await fails(t, () => importFrom(docs, path), 'ERR_CORRUPT')
  }
  writeFileSync(path, whole)
  await importFrom(docs, path)
  t.is(await docs.count(), 3)
})

test('whatever bits are flipped, an import ends with rows or with an error of ours', async (t) => {
  const db = await openFor(t)
  const whole = Buffer.from(arrow.tableToIPC(batch, 'stream'))
  const next = seeded(11)
  const codes = new Set<ErrorCode>()
  for (let round = 0; round < 3000; round += 1) {
    const copy = Buffer.from(whole)
    for (let flips = 0; flips < 1 + (round % 3); flips += 1) {
      copy[Math.floor(next() * copy.length)] = Math.floor(next() * 256)
    }
    const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
    try {
      await importFrom(docs, [copy], { format: 'arrow' })
    } catch (error) {
      codes.add((error as { code: ErrorCode }).code)
      t.regex((error as { code: string }).code ?? String(error), /^ERR_(?!INTERNAL)/)
    }
  }
  t.true(codes.has('ERR_CORRUPT'))
})

test('huge lengths are refused before memory is taken', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const lengths = [2 ** 31 - 1, -2, 65 * 1024 * 1024]
  for (const length of lengths) {
    const bytes = Buffer.alloc(64, 0xff)
    bytes.writeInt32LE(length, 4)
    await fails(t, () => importFrom(docs, [bytes], { format: 'arrow' }), 'ERR_CORRUPT', {
      got: length,
    })
  }
  const { schema } = batch
  const message = new arrow.Message(2n ** 40n, arrow.MetadataVersion.V5, arrow.MessageHeader.Schema)
  Object.assign(message, { _createHeader: () => schema })
  const metadata = arrow.Message.encode(message)
  const head = Buffer.alloc(8, 0xff)
  head.writeInt32LE(metadata.length, 4)
  const source = [head, metadata]
  await fails(t, () => importFrom(docs, source, { format: 'arrow' }), 'ERR_LIMIT_EXCEEDED')
})

test('metadata of ours that is wrong is refused', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const wrong: readonly (readonly [string, ErrorCode])[] = [
    ['nothing', 'ERR_CORRUPT'],
    ['{"format":2}', 'ERR_UNSUPPORTED_FORMAT'],
    ['{"format":1,"schema":{"vectors":{}}}', 'ERR_CORRUPT'],
    ['{"format":1,"schema":{"vectors":{"dim":2,"metric":"l2"}}}', 'ERR_CORRUPT'],
    [
      '{"format":1,"schema":{"vectors":{"dim":2,"metric":"l2"}},"columns":{"key":5}}',
      'ERR_CORRUPT',
    ],
    [
      '{"format":1,"schema":{"vectors":{"dim":2,"metric":"l2"}},"columns":{"key":"key","vectors":[["x","y"]],"fields":[],"extra":"z"}}',
      'ERR_CORRUPT',
    ],
  ]
  for (const [text, code] of wrong) {
    const schema = new arrow.Schema(batch.schema.fields, new Map([['cairn', text]]))
    const source = [arrow.tableToIPC(new arrow.Table(schema, batch.batches), 'stream')]
    await fails(t, () => importFrom(docs, source, { format: 'arrow' }), code)
  }
})

test('an import of many batches goes on where it ended', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', { vectors: { dim: 4, metric: 'l2' } })
  const rows = 20_000
  await docs.upsert({
    keys: Array.from({ length: rows }, (_, at) => `${at}`),
    vectors: randomMatrix(rows, 4, 3),
  })
  const path = join(temporaryDirectory(t), 'docs.arrow')
  await exportTo(docs, path)
  const controller = new AbortController()
  const copy = await db.collection('copy', { vectors: { dim: 4, metric: 'l2' } })
  const error = await fails(
    t,
    () =>
      importFrom(copy, path, { signal: controller.signal, onProgress: () => controller.abort() }),
    'ERR_ABORTED',
  )
  const resume = error?.details['resumeToken'] as string
  t.true((await importFrom(copy, path, { resume })).rows < rows)
  t.deepEqual(await recordsOf(copy as never), await recordsOf(docs as never))
  writeFileSync(path, readFileSync(path).subarray(0, -1))
  await fails(t, () => importFrom(copy, path), 'ERR_CORRUPT')
})
