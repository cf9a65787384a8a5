// How searching scales over the cores: as many `searchBatch` calls at once as there are cores, against one.
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

/** One process, not pinned, an engine pool of as many threads as there are cores. */
export async function measureScaling({ settings, data }) {
  const { ef, repetitions, ...rest } = settings('scaling')
  const folder = newFolder('scaling')
  const worker = startWorker(import.meta.url, { name: 'scaling' })
  const cores = availableParallelism()
  try {
    await worker.call('prepare', { ...rest, data, folder })
    const speedups = []
    for (let round = 0; round <= repetitions; round += 1) {
      const alone = await worker.call('search', ef, 1)
      const together = await worker.call('search', ef, cores)
      if (round > 0) speedups.push((cores * alone) / together)
    }
    await worker.call('close')
    return [
      figure(`queries per second, ${cores} callers on ${cores} cores over one`, 'x', speedups, {
        least: 0.8 * cores,
      }),
    ]
  } finally {
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
}

let state

/** In the process: a collection with one finished graph. */
export async function prepare({ data, dataset, rows, queries, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const asked = readVectors(data, dataset, 'query', queries)
  const db = await open(join(folder, 'db'), { durability: 'os' })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  state = { db, collection, vectors: asked.matrix }
}

/** In the process: seconds until `callers` batches, asked at once, are all answered. */
export async function search(efSearch, callers) {
  const { collection, vectors } = state
  globalThis.gc()
  const started = performance.now()
  await Promise.all(
    Array.from({ length: callers }, () => collection.searchBatch({ vectors, k: 10, efSearch })),
  )
  return (performance.now() - started) / 1000
}

/** In the process. */
export async function close() {
  await state.db.close()
}
