// What a graph costs and finds at several sizes: rows per second of its build, and recall at one list length.
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker } from '../lib/worker.mjs'

/** Ten times the rows per second that the field asks of a graph of a thousand rows (two seconds). */
const rateLeast = 5000

/** Each size in a process and a directory of its own. */
export async function measureBuild({ settings, data }) {
  const { sizes, ef, k, ...rest } = settings('build')
  const figures = []
  for (const rows of sizes) {
    const folder = newFolder('build')
    try {
      const given = { ...rest, rows, ef, k, data, folder }
      const { seconds, recall } = await callInWorker(import.meta.url, 'build', given)
      log(`${rows} rows: ${seconds.toFixed(1)} s, recall ${recall.toFixed(4)}`)
      figures.push(
        figure(`graph of ${rows} rows, built`, 'rows/s', [rows / seconds], { least: rateLeast }),
        figure(`graph of ${rows} rows, recall@${k} at ef ${ef}`, '', [recall], { least: 0.9 }),
      )
    } finally {
      removeFolder(folder)
    }
  }
  return figures
}

/** Runs in a process of its own: seconds from the first row to the finished graph, and what that finds. */
export async function build({ data, dataset, rows, queries, batchRows, ef, k, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const { matrix: vectors } = readVectors(data, dataset, 'query', queries)
  const db = await open(join(folder, 'db'), { durability: 'os' })
  const collection = await db.collection('v', schemaOf(dim))
  const started = performance.now()
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  const seconds = (performance.now() - started) / 1000
  const found = await collection.searchBatch({ vectors, k, efSearch: ef })
  const truth = await collection.searchBatch({ vectors, k, exact: true })
  await db.close()
  return { seconds, recall: overlap(found, truth) }
}

/** Of the right answers, the share that was found. */
function overlap(found, truth) {
  let right = 0
  for (let query = 0; query + 1 < truth.offsets.length; query += 1) {
    const nearest = new Set(answers(truth, query))
    for (const key of answers(found, query)) if (nearest.has(key)) right += 1
  }
  return right / truth.keys.length
}

function answers({ keys, offsets }, query) {
  return keys.subarray(offsets[query], offsets[query + 1])
}
