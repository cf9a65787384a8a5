// What encryption costs: the same work on two databases in turns, one of them encrypted.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { median } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

/** Plain, encrypted, and plain once more, so that what the machine does by itself is seen. */
export async function measureEncryption({ settings, data }) {
  const { repetitions, ...rest } = settings('encryption')
  const folder = newFolder('encryption')
  const worker = startWorker(import.meta.url, { name: 'encryption' })
  const names = ['plain', 'sealed', 'again']
  const of = () => Object.fromEntries(names.map((name) => [name, []]))
  const [seconds, micros] = [of(), of()]
  try {
    await worker.call('prepare', { ...rest, data, folder })
    for (let round = 0; round <= repetitions; round += 1) {
      for (const name of names) {
        const time = await worker.call('ingest', name, round)
        if (round > 0) seconds[name].push(time)
      }
      log(round === 0 ? 'ingest, warm-up round' : `ingest, round ${round} of ${repetitions}`)
    }
    await worker.call('finish', names, repetitions)
    for (let round = 0; round <= repetitions; round += 1) {
      for (const name of names) {
        const time = await worker.call('search', name)
        if (round > 0) micros[name].push(time)
      }
    }
    const rate = (name) => seconds[name].map((time) => median(seconds.plain) / time)
    const time = (name) => micros[name].map((one) => one / median(micros.plain))
    return [
      figure('encrypted ingest, rate over plain', 'x', rate('sealed'), { least: 0.8 }),
      figure('plain ingest, rate over itself', 'x', rate('again')),
      figure('encrypted search, warm, time over plain', 'x', time('sealed'), { most: 1.05 }),
      figure('plain search, time over itself', 'x', time('again')),
    ]
  } finally {
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
}

let state

/** In the process. */
export async function prepare({ data, dataset, rows, queries, ef, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const asked = readVectors(data, dataset, 'query', queries)
  const vectors = Array.from({ length: asked.rows }, (_, row) =>
    asked.matrix.slice(row * dim, (row + 1) * dim),
  )
  state = { folder, matrix, dim, batchRows, vectors, ef, key: randomBytes(32), open: {} }
}

async function opened(name, round) {
  const encryption = name === 'sealed' ? { key: state.key } : undefined
  const db = await open(join(state.folder, `${name}-${round}`), { durability: 'sync', encryption })
  return { db, collection: await db.collection('v', schemaOf(state.dim)) }
}

/** In the process: seconds to ingest everything into a new database. */
export async function ingest(name, round) {
  const { matrix, dim, batchRows } = state
  const { db, collection } = await opened(name, round)
  globalThis.gc()
  const started = performance.now()
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  const seconds = (performance.now() - started) / 1000
  await db.close()
  return seconds
}

/** In the process: one database of each kind, merged into one graph and opened anew. */
export async function finish(names, round) {
  for (const name of names) {
    const { db, collection } = await opened(name, round)
    await collection.compact()
    await db.close()
    state.open[name] = (await opened(name, round)).collection
  }
}

/** In the process: microseconds a query. */
export function search(name) {
  const { vectors, ef, open: collections } = state
  globalThis.gc()
  const started = performance.now()
  for (const vector of vectors) {
    collections[name].searchSync({ vector, k: 10, efSearch: ef, select: false })
  }
  return ((performance.now() - started) * 1000) / vectors.length
}
