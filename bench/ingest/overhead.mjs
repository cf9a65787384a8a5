// What `searchSync` costs beyond the search: the same queries through it and through one `searchBatch`,
// whose cost per query has next to no JavaScript in it.
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { pin } from '../lib/pin.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

/** One process on one core, an engine pool of one thread. */
export async function measureOverhead({ settings, data }) {
  const { ef: widths, repetitions, ...rest } = settings('overhead')
  const folder = newFolder('overhead')
  const worker = startWorker(import.meta.url, { name: 'overhead' })
  try {
    await worker.call('prepare', { ...rest, data, folder })
    pin(worker.pid)
    const rows = []
    for (const ef of widths) rows.push(...(await measureWidth(worker, ef, repetitions)))
    await worker.call('close')
    return rows
  } finally {
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
}

async function measureWidth(worker, ef, repetitions) {
  const [sync, batch] = [[], []]
  for (let round = 0; round <= repetitions; round += 1) {
    const one = await worker.call('bySync', ef)
    const many = await worker.call('byBatch', ef)
    if (round > 0) {
      sync.push(one)
      batch.push(many)
    }
  }
  const overhead = sync.map((micros, at) => micros - batch[at])
  log(`ef ${ef}: ${sync[0].toFixed(1)} us and ${batch[0].toFixed(1)} us a query`)
  return [
    figure(`searchSync over the native call, ef ${ef}`, 'us', overhead, { most: 5 }),
    figure(`searchSync, ef ${ef}`, 'us', sync),
    figure(`native, ef ${ef}`, 'us', batch),
  ]
}

let state

/** In the process: a collection with one finished graph. */
export async function prepare({ data, dataset, rows, queries, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const asked = readVectors(data, dataset, 'query', queries)
  const db = await open(join(folder, 'db'), { threads: 1, durability: 'os' })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  const vectors = Array.from({ length: asked.rows }, (_, row) =>
    asked.matrix.slice(row * dim, (row + 1) * dim),
  )
  state = { db, collection, vectors, all: asked.matrix }
}

/** In the process: microseconds a query, one call each. */
export function bySync(efSearch) {
  const { collection, vectors } = state
  globalThis.gc()
  const started = performance.now()
  for (const vector of vectors) collection.searchSync({ vector, k: 10, efSearch, select: false })
  return ((performance.now() - started) * 1000) / vectors.length
}

/** In the process: microseconds a query, one call for all. */
export async function byBatch(efSearch) {
  const { collection, vectors, all } = state
  globalThis.gc()
  const started = performance.now()
  await collection.searchBatch({ vectors: all, k: 10, efSearch })
  return ((performance.now() - started) * 1000) / vectors.length
}

/** In the process. */
export async function close() {
  await state.db.close()
}
