// Bytes per vector in memory and on disk, against the formula.
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { bytesPerRecord } from '../lib/formula.mjs'
import { grouped } from '../lib/numbers.mjs'
import { folderBytes, newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker } from '../lib/worker.mjs'

/** How far the measured bytes may be from the formula. */
const tolerance = 0.15

/** One finished collection, asked for its figures and seen from outside. */
export async function measureBytes({ settings, data }) {
  const { dataset, rows, batchRows } = settings('bytes')
  const folder = newFolder('bytes')
  try {
    const call = { data, dataset, rows, batchRows, folder }
    const { dim, memory } = await callInWorker(import.meta.url, 'build', call)
    const resident = await callInWorker(import.meta.url, 'residentWhenOpen', folder)
    const disk = folderBytes(join(folder, 'db'))
    const expected = bytesPerRecord({ dim })
    const off = Math.abs(memory / rows / expected - 1)
    const name = (what) => `bytes per vector ${what}, ${grouped(rows)} x ${dim}, m 16`
    return [
      figure(name('in memory'), 'B', [memory / rows]),
      {
        ...figure(name('by the formula'), 'B', [expected]),
        reach: 'within 15 %',
        reached: off <= tolerance ? 'yes' : 'no',
        note: `${(off * 100).toFixed(1)} % off`,
      },
      figure(name('resident in the process after opening'), 'B', [resident / rows]),
      figure(name('on disk'), 'B', [disk / rows]),
    ]
  } finally {
    removeFolder(folder)
  }
}

/** In a process of its own: bytes that the finished segments hold. */
export async function build({ data, dataset, rows, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(join(folder, 'db'), { durability: 'os' })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  const { segments } = await collection.stats()
  await db.close()
  return { dim, memory: segments.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) }
}

/** In a process of its own: by how much opening and one search let it grow. */
export async function residentWhenOpen(folder) {
  globalThis.gc()
  const before = process.memoryUsage.rss()
  const db = await open(join(folder, 'db'))
  const collection = await db.collection('v')
  const { dim } = collection.schema.vectors.vector
  collection.searchSync({ vector: new Float32Array(dim), k: 10, exact: true })
  const grown = process.memoryUsage.rss() - before
  await db.close()
  return grown
}
