// Whether log and memtables stay inside their caps while more is written than they hold.
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { worst } from '../lib/figure.mjs'
import { memtablesMost } from '../lib/formula.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker } from '../lib/worker.mjs'

const MiB = 1024 ** 2

/** Small caps and a fast writer, so that back-pressure has work. */
export async function measureCaps({ settings, data }) {
  const { memtableBytes, walBytesMax, ...rest } = settings('caps')
  const folder = newFolder('caps')
  try {
    const call = { ...rest, data, folder, memtableBytes, walBytesMax }
    const { dim, memtables, wal, frozen } = await callInWorker(import.meta.url, 'watch', call)
    const most = memtablesMost({ dim, memtableBytes, batchRows: rest.batchRows })
    return [
      worst('memtables, largest total seen', 'MiB', [memtables / MiB], {
        most: Number((most / MiB).toFixed(1)),
      }),
      worst('memtables waiting for their flush, most seen', '', [frozen], {}),
      worst('log, largest seen', 'MiB', [wal / MiB], { most: walBytesMax / MiB }),
    ]
  } finally {
    removeFolder(folder)
  }
}

/** In a process of its own: the largest figures seen between batches. */
export async function watch(call) {
  const { data, dataset, rows, batchRows, folder, memtableBytes, walBytesMax, sampleEvery } = call
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(join(folder, 'db'), { durability: 'os', memtableBytes, walBytesMax })
  const collection = await db.collection('v', schemaOf(dim))
  const most = { dim, memtables: 0, wal: 0, frozen: 0 }
  let batches = 0
  for (const batch of columnBatches(matrix, dim, batchRows)) {
    await collection.upsert(batch)
    batches += 1
    if (batches % sampleEvery !== 0) continue
    const stats = await collection.stats()
    most.memtables = Math.max(most.memtables, stats.memtableBytes)
    most.frozen = Math.max(most.frozen, stats.frozenMemtables)
    most.wal = Math.max(most.wal, stats.walBytes)
  }
  await db.close()
  return most
}
