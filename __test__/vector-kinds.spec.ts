// Vectors of 16 and 8 bits and of single bits, through every call of a collection.
import { join } from 'node:path'
import test from 'ava'
import { exportTo, importFrom } from '#ts/io/index.js'
import { isCairnError, open } from '#ts/index.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: {
    halves: { dim: 5, metric: 'l2', type: 'f16' },
    bytes: { dim: 5, metric: 'cosine', type: 'i8' },
    bits: { dim: 40, metric: 'hamming', type: 'binary' },
  },
  fields: { n: 'int' },
} as const

/** A number from 1 on as 16 bits hold it: eleven of them, rounded to the nearest, ties to even. */
function half(x: number): number {
  const step = 2 ** (Math.floor(Math.log2(x)) - 10)
  const below = Math.floor(x / step)
  const over = x / step - below
  const up = over > 0.5 || (over === 0.5 && below % 2 !== 0)
  return (below + (up ? 1 : 0)) * step
}

interface Given {
  readonly halves: Float32Array
  readonly bytes: Int8Array
  readonly bits: Uint8Array
}

function random(next: () => number): Given {
  return {
    halves: Float32Array.from({ length: 5 }, () => 1 + next() * 100),
    bytes: Int8Array.from({ length: 5 }, () => Math.floor(next() * 256) - 128 || 1),
    bits: Uint8Array.from({ length: 5 }, () => Math.floor(next() * 256)),
  }
}

function ones(byte: number): number {
  return byte.toString(2).replaceAll('0', '').length
}

/** Distances by their definitions, over what is stored. */
const distances = {
  halves: (a: Given, b: Given) =>
    a.halves.reduce((sum, x, at) => sum + (half(x) - half(b.halves[at] ?? 0)) ** 2, 0),
  bytes: (a: Given, b: Given) => {
    const dot = (x: Int8Array, y: Int8Array): number =>
      x.reduce((sum, value, at) => sum + value * (y[at] ?? 0), 0)
    return 1 - dot(a.bytes, b.bytes) / Math.sqrt(dot(a.bytes, a.bytes) * dot(b.bytes, b.bytes))
  },
  bits: (a: Given, b: Given) => a.bits.reduce((sum, x, at) => sum + ones(x ^ (b.bits[at] ?? 0)), 0),
}

test('what is written is read in the array of its field, rounded as it is stored', async (t) => {
  const path = join(temporaryDirectory(t), 'data')
  const db = await open(path)
  const docs = await db.collection('docs', schema)
  const vectors = {
    halves: new Float32Array([0.1, -2049, 65_504, 1e-7, -0]),
    bytes: new Int8Array([-128, 127, 0, 1, -1]),
    bits: new Uint8Array([0, 255, 1, 128, 7]),
  }
  await docs.upsert({ key: 'a', vectors })
  await docs.upsert({
    key: 'b',
    vectors: { ...vectors, bytes: [1, 2, 3, 4, 5], bits: [1, 2, 3, 4, 5] },
  })
  const stored = new Float32Array([0.0999755859375, -2048, 65_504, 1.1920928955078125e-7, -0])
  const read = async (from: typeof docs): Promise<void> => {
    const [a, b] = await from.get(['a', 'b'], { vectors: true })
    t.deepEqual(a?.vectors, { halves: stored, bytes: vectors.bytes, bits: vectors.bits })
    t.deepEqual(b?.vectors.bytes, new Int8Array([1, 2, 3, 4, 5]))
    t.deepEqual(b?.vectors.bits, new Uint8Array([1, 2, 3, 4, 5]))
    for await (const { key, vectors } of from.scan({ vectors: true })) {
      t.deepEqual(vectors, key === 'a' ? a?.vectors : b?.vectors)
    }
    const [hit] = await from.search({ vector: { bits: vectors.bits }, vectors: true })
    t.deepEqual(hit?.vectors, a?.vectors)
  }
  await read(docs)
  await docs.compact()
  await read(docs)
  await db.close()
  const again = await openFor(t, path)
  const reopened = await again.collection('docs', schema)
  await read(reopened)
  const [listed] = await again.listCollections()
  t.is(listed?.schema?.vectors['bits']?.type, 'binary')
  t.is(listed?.schema?.vectors['halves']?.type, 'f16')
  const error = await t.throwsAsync(
    again.collection('docs', {
      ...schema,
      vectors: { ...schema.vectors, bytes: { dim: 5, metric: 'cosine' } },
    }),
  )
  t.true(isCairnError(error, 'ERR_SCHEMA_MISMATCH'))
})

test('every way to search gives the nearest by what is stored', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const seed = 0x16_08
  t.log(`seed ${seed}`)
  const next = seeded(seed)
  const all = Array.from({ length: 300 }, () => random(next))
  const columns = {
    halves: Float32Array.from(all.flatMap(({ halves }) => [...halves])),
    bytes: Int8Array.from(all.flatMap(({ bytes }) => [...bytes])),
    bits: Uint8Array.from(all.flatMap(({ bits }) => [...bits])),
  }
  const keys = all.map((_, at) => `k${String(at).padStart(3, '0')}`)
  await docs.upsert({ keys, vectors: columns, fields: { n: all.map((_, at) => at) } })
  for (const compacted of [false, true]) {
    if (compacted) await docs.compact()
    const query = random(next)
    for (const field of ['halves', 'bytes', 'bits'] as const) {
      const truth = all
        .map((vectors, at) => ({ key: keys[at] ?? '', far: distances[field](query, vectors) }))
        .sort((a, b) => a.far - b.far || (a.key < b.key ? -1 : 1))
        .slice(0, 7)
      const asked = { vector: { [field]: query[field] }, k: 7, exact: true }
      const hits = await docs.search(asked)
      t.deepEqual(
        hits.map(({ key }) => key),
        truth.map(({ key }) => key),
        field,
      )
      for (const [rank, { distance, score }] of hits.entries()) {
        const far = truth[rank]?.far ?? Number.NaN
        t.true(Math.abs(distance - far) <= 1e-5 * (1 + far), `${field}: ${distance} is ${far}`)
        if (field === 'bits') t.is(score, Math.fround(1 / (1 + distance)))
      }
      t.deepEqual(docs.searchSync(asked), hits)
      const batch = await docs.searchBatch({
        vectors: { [field]: query[field] },
        k: 7,
        exact: true,
      })
      t.deepEqual(
        batch.keys,
        hits.map(({ key }) => key),
      )
      const some = await docs.search({ ...asked, filter: { n: { lt: 50 } } })
      t.true(some.length === 7 && some.every(({ fields }) => Number(fields.n) < 50))
      const like = await docs.search({ like: { key: 'k007', field }, k: 3, exact: true })
      t.false(like.some(({ key }) => key === 'k007'))
    }
    const fused = await docs.search({ vector: query, k: 5 })
    t.is(fused.length, 5)
  }
})

test('an older version keeps its vectors, and an update replaces one of them', async (t) => {
  const db = await openFor(t, join(temporaryDirectory(t), 'data'))
  const docs = await db.collection('docs', schema)
  const next = seeded(3)
  const before = random(next)
  await docs.add({ key: 'a', vectors: before })
  const { version } = await db.snapshot('before')
  await docs.update({ key: 'a', vectors: { bits: new Uint8Array(5).fill(255) } })
  const now = await docs.get('a', { vectors: true })
  t.deepEqual(now?.vectors.bits, new Uint8Array(5).fill(255))
  t.deepEqual(now?.vectors.bytes, before.bytes)
  const old = await db.at(version)
  t.teardown(() => old.close())
  const then = await (await old.collection('docs', schema)).get('a', { vectors: true })
  t.deepEqual(then?.vectors.bits, before.bits)
})

for (const format of ['jsonl', 'arrow', 'parquet'] as const) {
  test(`records leave as ${format} and come back the same`, async (t) => {
    const db = await openFor(t)
    const docs = await db.collection('docs', schema)
    const next = seeded(9)
    await docs.upsert(
      Array.from({ length: 20 }, (_, at) => ({
        key: `k${at}`,
        vectors: random(next),
        fields: { n: at },
      })),
    )
    const path = join(temporaryDirectory(t), `docs.${format}`)
    await exportTo(docs, path)
    await importFrom({ db, name: 'copy' }, path)
    const copy = await db.collection('copy', schema)
    for await (const record of docs.scan({ vectors: true })) {
      const copied = await copy.get(record.key, { vectors: true })
      t.deepEqual(copied?.vectors, record.vectors)
    }
    t.is(await copy.count(), 20)
  })
}

test('a stream of rows takes every kind', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const next = seeded(10)
  const rows = Array.from({ length: 50 }, (_, at) => ({ key: `k${at}`, vectors: random(next) }))
  await docs.ingest(rows, { chunkRows: 7 })
  const read = await docs.get('k13', { vectors: true })
  t.deepEqual(read?.vectors.bytes, rows[13]?.vectors.bytes)
})
