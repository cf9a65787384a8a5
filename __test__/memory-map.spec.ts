// Vectors that stay in their files: the same answers, and a file that is cut ends no process.
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import test from 'ava'
import { isCairnError, type Database } from '#ts/index.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const dim = 24
const cosine = { vectors: { dim, metric: 'cosine' } } as const

const row = (n: number) => ({
  key: `key ${String(n)}`,
  vector: Float32Array.from({ length: dim }, (_, at) => Math.sin(n * 7 + at * (1 + (n % 5)))),
  fields: { n },
})

async function filled(db: Database) {
  const docs = await db.collection('docs', cosine)
  await docs.upsert(Array.from({ length: 2000 }, (_, n) => row(n)))
  await docs.compact()
  return docs
}

/** The only segment file below a directory. */
function segmentFile(directory: string): string {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const name = names.find((it) => it.endsWith('.seg'))
  if (name === undefined) throw new Error('no segment')
  return join(directory, name)
}

test('with memoryMap the same is found, and returned as it was given', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const mapped = await openFor(t, directory, { memoryMap: true })
  const docs = await filled(mapped)
  const stats = await docs.stats()
  const isMapped = process.platform !== 'win32'
  t.is(stats.mappedBytes, isMapped ? 2000 * dim * 4 : 0)
  t.is(stats.vectorBytes, isMapped ? 2000 * 4 : 2000 * 32 * 4)
  const queries = [3, 500, 1999].map((n) => row(n + 0.3).vector)
  const ask = async (from: typeof docs) =>
    Promise.all(queries.map((vector) => from.search({ vector, k: 10, exact: true, vectors: true })))
  const fromFiles = await ask(docs)
  t.deepEqual(
    docs.searchSync({ vector: queries[0]!, k: 10, exact: true, vectors: true }),
    fromFiles[0],
  )
  await mapped.close()

  const copied = await openFor(t, directory)
  const same = await copied.collection('docs', cosine)
  t.is((await same.stats()).mappedBytes, 0)
  const fromMemory = await ask(same)
  for (const [at, hits] of fromMemory.entries()) {
    t.deepEqual(
      fromFiles[at]?.map(({ key, vector, fields }) => ({ key, vector, fields })),
      hits.map(({ key, vector, fields }) => ({ key, vector, fields })),
    )
    for (const [n, hit] of hits.entries()) {
      t.true(Math.abs(hit.distance - (fromFiles[at]?.[n]?.distance ?? 9)) < 1e-5)
    }
  }
})

// Windows keeps a file that is mapped from being cut.
const unix = process.platform === 'win32' ? test.skip : test
unix(
  'a mapped file that is cut answers ERR_CORRUPT, on every thread, and Node goes on',
  async (t) => {
    const directory = join(temporaryDirectory(t), 'data')
    const db = await openFor(t, directory, { memoryMap: true })
    const docs = await filled(db)
    truncateSync(segmentFile(directory), 8192)
    const { vector } = row(7)
    const isCorrupt = (error: unknown) => isCairnError(error) && error.code === 'ERR_CORRUPT'
    t.true(isCorrupt(t.throws(() => docs.searchSync({ vector, k: 5, exact: true }))))
    t.true(isCorrupt(await t.throwsAsync(docs.search({ vector, k: 5, exact: true }))))
    t.true(isCorrupt(await t.throwsAsync(docs.search({ vector, k: 5 }))))
    await docs.upsert({ ...row(1), key: 'later' })
    t.true(await docs.has('later'))
  },
)

test('in memory there is nothing to map', async (t) => {
  const db = await openFor(t, ':memory:', { memoryMap: true })
  const docs = await filled(db)
  t.is((await docs.stats()).mappedBytes, 0)
  t.is((await docs.search({ vector: row(5).vector, k: 1 }))[0]?.key, 'key 5')
})
