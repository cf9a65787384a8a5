// What the members of a search do in the engine, seen through `explain`, and how good answers are.
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { open, type Collection, type Database, type SearchStage } from '#ts/index.js'
import { openFor } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 16
const rows = 6000
const schema = { vectors: { dim, metric: 'l2' }, fields: { n: 'int', text: 'text' } } as const

let db: Database
let docs: Collection<typeof schema>

test.before(async () => {
  db = await open(':memory:')
  docs = await db.collection('docs', schema)
  const numbers = Array.from({ length: rows }, (_, at) => at)
  await docs.upsert({
    keys: numbers.map((at) => `k${at}`),
    vectors: randomMatrix(rows, dim, 1),
    fields: { n: numbers, text: numbers.map((at) => `text of ${at}`) },
  })
  await docs.compact()
})

test.after.always(() => db.close())

const vector = randomMatrix(1, dim, 2)

/** The one place that a search of the compacted collection looks at. */
async function stageOf(effort: {
  efSearch?: number
  recall?: number
  exact?: boolean
}): Promise<SearchStage> {
  const { stages } = await docs.explain({ vector, k: 10, ...effort })
  const [stage, ...others] = stages.filter((each) => each.rows > 0)
  if (stage === undefined || others.length > 0) throw new Error('not one segment')
  return stage
}

test('a graph is searched with the candidate list that was asked for', async (t) => {
  const stage = await stageOf({ efSearch: 123 })
  t.deepEqual([stage.path, stage.ef, stage.rows], ['hnsw', 123, rows])
  t.true(stage.hops > 0)
  t.true(stage.distances > 0 && stage.distances < rows)
})

test('what is new is level 0 and compared row by row, a large segment is above and has a graph', async (t) => {
  const small = await db.collection('small', schema)
  await small.upsert({ keys: ['a', 'b'], vectors: randomMatrix(2, dim, 3) })
  const paths = async (): Promise<readonly string[]> => {
    const { stages } = await small.explain({ vector })
    return stages.filter((stage) => stage.rows > 0).map(({ path }) => path)
  }
  t.deepEqual(await paths(), ['flat'])
  await small.compact()
  t.deepEqual(await paths(), ['flat'])
  const levels = async (of: Collection<typeof schema>): Promise<unknown> =>
    (await of.stats()).segments.map(({ level, index }) => [level, index])
  t.deepEqual(await levels(small), [[0, 'flat']])
  t.deepEqual(await levels(docs), [[1, 'hnsw']])
  t.is((await stageOf({})).path, 'hnsw')
})

test('a shorter list compares less', async (t) => {
  const [short, long] = [await stageOf({ efSearch: 10 }), await stageOf({ efSearch: 400 })]
  t.deepEqual([short.ef, long.ef], [10, 400])
  t.true(short.distances < long.distances, `${short.distances} and ${long.distances}`)
  t.true(short.hops < long.hops)
})

test('a higher recall takes a longer list, and all of it compares with every row', async (t) => {
  const [usual, high, highest] = [
    await stageOf({}),
    await stageOf({ recall: 0.99 }),
    await stageOf({ recall: 0.9999 }),
  ]
  t.true(usual.ef <= high.ef && high.ef < highest.ef, [usual.ef, high.ef, highest.ef].join())
  for (const effort of [{ exact: true }, { recall: 1 }]) {
    const stage = await stageOf(effort)
    t.deepEqual([stage.path, stage.ef, stage.distances], ['flat', 0, rows])
  }
})

test('a synchronous search whose answer outgrows its first block is the same search', async (t) => {
  const query = { vector, k: 1000, exact: true, vectors: true } as const
  const hits = await docs.search(query)
  t.is(hits.length, 1000)
  t.is(hits[999]?.vector.length, dim)
  t.is(typeof hits[999]?.fields.text, 'string')
  const fresh = await db.openCollection<typeof schema>('docs')
  t.deepEqual(fresh.searchSync(query), hits, 'the block grows')
  t.deepEqual(fresh.searchSync(query), hits, 'the block is large enough')
  t.deepEqual(fresh.searchSync({ vector, k: 3, exact: true }).length, 3)
})

test('real images are found with the default recall', async (t) => {
  const { matrix, dim: pixels } = await readImages()
  const [stored, asked, k] = [9500, 500, 10]
  const images = await (
    await openFor(t)
  ).collection('images', {
    key: 'u64',
    vectors: { dim: pixels, metric: 'l2' },
  })
  await images.upsert({
    keys: BigUint64Array.from({ length: stored }, (_, at) => BigInt(at)),
    vectors: matrix.slice(0, stored * pixels),
  })
  await images.compact()
  const vectors = matrix.slice(stored * pixels, (stored + asked) * pixels)
  const { stages } = await images.explain({ vector: vectors.slice(0, pixels), k })
  t.deepEqual(
    stages.filter((stage) => stage.rows > 0).map(({ path }) => path),
    ['qg'],
  )
  const found = await images.searchBatch({ vectors, k })
  const truth = await images.searchBatch({ vectors, k, exact: true })
  t.is(found.keys.length, asked * k)
  let right = 0
  for (let query = 0; query < asked; query += 1) {
    const nearest = new Set(truth.keys.slice(query * k, (query + 1) * k))
    right += found.keys.slice(query * k, (query + 1) * k).filter((key) => nearest.has(key)).length
  }
  const recall = right / (asked * k)
  t.log(`recall@${k} ${recall.toFixed(4)}`)
  t.true(recall >= 0.95, String(recall))
})

test.serial(
  'answers of a batch are views of the memory that the engine filled, and nothing is copied',
  async (t) => {
    const rows = 4000
    const docs = await (
      await openFor(t)
    ).collection('docs', { key: 'u64', vectors: { dim: 2, metric: 'l2', index: 'flat' } })
    await docs.upsert({
      keys: BigUint64Array.from({ length: rows }, (_, at) => BigInt(at)),
      vectors: Float32Array.from({ length: rows * 2 }, (_, at) => at),
    })
    const vectors = new Float32Array(2 * 500)
    const before = process.memoryUsage().arrayBuffers
    const { keys, distances, scores, offsets } = await docs.searchBatch({ vectors, k: rows })
    const grown = process.memoryUsage().arrayBuffers - before
    const memory = keys.buffer as ArrayBuffer
    for (const view of [distances, scores, offsets]) t.is(view.buffer, memory)
    const needed = keys.byteLength + distances.byteLength + scores.byteLength + offsets.byteLength
    t.is(needed, 500 * rows * (8 + 4 + 4) + 501 * 4)
    // Versions, 8 bytes a hit, and a header are in it besides.
    t.true(
      memory.byteLength >= needed && memory.byteLength < needed * 1.6,
      String(memory.byteLength),
    )
    t.true(grown < memory.byteLength * 1.1, `${grown} bytes for a block of ${memory.byteLength}`)
    // What is written through one view is read through another of the same place.
    new Float32Array(memory, distances.byteOffset, 1)[0] = -1
    t.is(distances[0], -1)
  },
)

/** The demo's images: 10,000 digits of 784 pixels. */
async function readImages(): Promise<{ matrix: Float32Array; dim: number }> {
  const file: string = pathToFileURL('demo/images.mjs').href
  const { readImages: read, dim: pixels } = (await import(file)) as {
    readImages: () => { matrix: Float32Array }
    dim: number
  }
  return { matrix: read().matrix, dim: pixels }
}
