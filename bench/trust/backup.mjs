// What an incremental backup copies, and what it does to the writes beside it.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { quantile } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

/** One database, a full backup, and small changes with an incremental backup after each. */
export async function measureBackup({ settings, data }) {
  const { share, repetitions, ...rest } = settings('backup')
  const folder = newFolder('backup')
  const worker = startWorker(import.meta.url, { name: 'backup' })
  try {
    await worker.call('prepare', { ...rest, data, folder })
    const full = await worker.call('backup')
    const p99 = (values) => quantile(values, 0.99)
    const bytes = []
    const ratios = []
    const idle = []
    for (let repetition = 0; repetition < repetitions; repetition++) {
      await worker.call('change', { share, repetition })
      const alone = p99(await worker.call('write'))
      const { bytesCopied, bytesTotal, times } = await worker.call('backupAndWrite')
      bytes.push((100 * bytesCopied) / bytesTotal)
      ratios.push(p99(times) / alone)
      idle.push(alone)
    }
    await worker.call('close')
    const changed = `${share * 100} % of ${rest.rows} rows changed`
    return [
      figure('full backup', 'MB', [full.bytesCopied / 1e6]),
      figure('incremental backup, bytes copied of all bytes', '%', bytes, { most: 3 }, changed),
      figure(
        'write p99 beside it over idle',
        'x',
        ratios,
        { most: 2 },
        'writes of one row, each synced',
      ),
      figure('write p99, idle', 'ms', idle),
    ]
  } finally {
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
}

let state

/** In the process: one finished segment. */
export async function prepare({ data, dataset, rows, batchRows, writes, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(join(folder, 'db'), { durability: 'sync' })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  state = { db, collection, matrix, dim, rows, writes, batchRows, target: join(folder, 'backups') }
}

/** In the process. */
export async function backup() {
  const { bytesCopied, bytesTotal } = await state.db.backup(state.target)
  return { bytesCopied, bytesTotal }
}

/** Until then the background has ended what a change set off. */
const settledMs = 3000

/** In the process: gives rows all over the base the vectors of others. */
export async function change({ share, repetition }) {
  const { collection, matrix, dim, rows, batchRows } = state
  const step = Math.round(1 / share)
  const changed = Array.from({ length: Math.floor(rows / step) }, (_, at) => at * step + repetition)
  for (let from = 0; from < changed.length; from += batchRows) {
    const keys = changed.slice(from, from + batchRows)
    const vectors = new Float32Array(keys.length * dim)
    for (const [at, key] of keys.entries()) {
      const other = (key + 1) % rows
      vectors.set(matrix.subarray(other * dim, (other + 1) * dim), at * dim)
    }
    await collection.upsert({ keys: BigUint64Array.from(keys, BigInt), vectors })
  }
  await delay(settledMs)
}

/** In the process: milliseconds of each of some writes of one row. */
export async function write(more = (count) => count < state.writes) {
  const { collection, matrix, dim } = state
  const times = []
  while (more(times.length)) {
    const row = times.length % 1000
    const record = { key: BigInt(row), vector: matrix.subarray(row * dim, (row + 1) * dim) }
    const started = performance.now()
    await collection.upsert(record)
    times.push(performance.now() - started)
  }
  return times
}

/** In the process: writes for as long as a backup takes. */
export async function backupAndWrite() {
  let done = false
  const copying = backup().finally(() => (done = true))
  const times = await write(() => !done)
  return { ...(await copying), times }
}

/** In the process. */
export async function close() {
  await state.db.close()
}
