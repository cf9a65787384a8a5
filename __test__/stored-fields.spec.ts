import test from 'ava'
import { openFor } from './helpers/home.js'

const shape = { vectors: { dim: 2, metric: 'l2', index: 'flat' } } as const
const MiB = 1024 * 1024

const row = (n: number) => ({
  key: `key ${String(n)}`,
  vector: Float32Array.of(n, 1),
  fields: { n, text: `what is said about record ${String(n)}; `.repeat(20) },
})

for (const compression of ['lz4', 'none'] as const) {
  test(`fields come back as they were given with compression '${compression}', and their cache is counted`, async (t) => {
    const db = await openFor(t, ':memory:', { compression, memoryBudget: 8 * MiB })
    const docs = await db.collection('docs', shape)
    const rows = Array.from({ length: 2000 }, (_, n) => row(n))
    await docs.upsert(rows)
    await docs.compact()
    const { blockCache: before } = await db.stats()
    t.deepEqual(before, { hits: 0, misses: 0, bytes: 0, bytesMax: 2 * MiB })
    const keys = rows.slice(0, 500).map(({ key }) => key)
    const cold = await docs.get(keys)
    t.deepEqual(
      cold.map((record) => record?.fields),
      rows.slice(0, 500).map(({ fields }) => fields),
    )
    const first = (await db.stats()).blockCache
    await docs.get(keys)
    const second = (await db.stats()).blockCache
    t.true(first.misses > 10 && first.bytes > 0 && first.bytes <= first.bytesMax)
    t.is(second.misses, first.misses)
    t.is(second.hits, first.hits + 500)
    let scanned = 0
    for await (const { fields } of docs.scan()) {
      t.is(fields['text'], row(fields['n'] as number).fields.text)
      scanned += 1
    }
    t.is(scanned, 2000)
    t.deepEqual((await db.stats()).blockCache, second)
  })
}

test('compression makes files smaller, and no cache is kept when none is wanted', async (t) => {
  const sizes = []
  for (const compression of ['lz4', 'none'] as const) {
    const db = await openFor(t, ':memory:', { compression, blockCacheBytes: 0 })
    const docs = await db.collection('docs', shape)
    await docs.upsert(Array.from({ length: 2000 }, (_, n) => row(n)))
    await docs.compact()
    sizes.push((await docs.stats()).liveBytes)
    await docs.get(['key 1', 'key 2'])
    const { hits, misses, bytes, bytesMax } = (await db.stats()).blockCache
    t.deepEqual([hits, misses, bytes, bytesMax], [0, 2, 0, 0])
  }
  const [small = 0, large = 0] = sizes
  t.log(`${String(small)} bytes with LZ4, ${String(large)} without`)
  t.true(small * 4 < large)
})
