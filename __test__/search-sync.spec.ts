// What `searchSync` costs beside the search itself.
import test from 'ava'
import { loadBinding } from '#ts/native/loader.js'
import { Lifetime } from '#ts/internal/lifetime.js'
import { Writes } from '#ts/native/writes.js'
import { open, type SearchQuery } from '#ts/index.js'
import { randomMatrix } from './helpers/random.js'

const dim = 128
const k = 10

/** Microseconds of one call: the least of many rounds, which is the one nothing interrupted. */
function microseconds(call: () => unknown): number {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 200; round += 1) {
    const started = performance.now()
    for (let repeat = 0; repeat < 50; repeat += 1) call()
    least = Math.min(least, performance.now() - started)
  }
  return (least * 1000) / 50
}

test('searchSync adds at most 5 microseconds to the native call', async (t) => {
  const db = await open(':memory:')
  t.teardown(() => db.close())
  const docs = await db.collection('docs', {
    vectors: { dim, metric: 'l2' },
    fields: { n: 'int', title: 'text' },
  })
  const keys = Array.from({ length: k }, (_, at) => `key-${at}`)
  await docs.upsert({
    keys,
    vectors: randomMatrix(k, dim, 1),
    fields: { n: keys.map((_, at) => at), title: keys },
  })
  const vector = randomMatrix(1, dim, 2)

  // The same search without anything around it: what is left of a call to the addon.
  const native = await nativeCollection(docs.name)
  const out = Buffer.alloc(16 * 1024)
  const numbers = new Float64Array([0, k, 0, 0.95, Number.NaN, Number.NaN, 0, 0, 0])
  const bare = microseconds(() => native.searchSync(vector, numbers, null, null, null, null, out))
  const cost = (query: SearchQuery): number => microseconds(() => docs.searchSync(query as never))
  const plain = cost({ vector, k, select: false })
  const withFields = cost({ vector, k })
  t.log(
    `native ${bare.toFixed(2)} us, searchSync ${plain.toFixed(2)} us, with fields ${withFields.toFixed(2)} us, ` +
      `overhead ${(plain - bare).toFixed(2)} us and ${(withFields - bare).toFixed(2)} us`,
  )
  t.true(plain - bare <= 5)

  async function nativeCollection(name: string) {
    // A second handle on an equal collection, straight from the addon.
    const { BindingDatabase } = loadBinding()
    const writes = new Writes(new Lifetime())
    const options = {
      readOnly: false,
      durability: 'sync',
      memoryBudget: 1e8,
      memtableBytes: 1e7,
      blockCacheBytes: 1e7,
      memoryMap: false,
      compression: 'lz4',
      walBytesMax: 1e7,
      compaction: 'size-tiered',
      compactionRateMax: 0,
      idempotencyWindowMs: 1000,
      threads: 1,
      retainVersions: 1,
      retainMs: 0,
      host: 'test',
      pid: 1,
    }
    const raw = await BindingDatabase.open(null, options, writes.settle)
    if ('code' in raw) throw new Error(raw.message)
    const made = await raw.createCollection(name, {
      key: 'string',
      vectors: [{ name: 'vector', dim, metric: 'l2', type: 'f32', index: 'auto' }],
      fields: [],
      rejectExtra: false,
    })
    if ('code' in made) throw new Error(made.message)
    const bytes = Buffer.from(keys.join(''))
    const ends = Uint32Array.from(keys, (_, at) => (at + 1) * (bytes.length / k))
    const rows = [randomMatrix(k, dim, 1)]
    await writes.begin(
      (id) => {
        made.write(
          id,
          'upsert',
          bytes,
          ends,
          rows,
          [null],
          null,
          null,
          null,
          null,
          null,
          null,
          0,
          null,
        )
        made.start()
      },
      (error) => error,
    )
    return made
  }
})
