// Opening after SIGKILL with a full log: a child writes and is killed, another one opens and is timed.
import { open } from 'cairndb'
import { setTimeout as wait } from 'node:timers/promises'
import { join } from 'node:path'
import { WrongAnswer } from '../lib/answers.mjs'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure, worst } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { quantile } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker, startWorker } from '../lib/worker.mjs'

/** Nothing may be flushed, so that all of it is in the log. */
const memtableBytes = 1024 ** 3
const walBytesMax = 1024 ** 3

/** Each run has its own database. */
export async function measureRecovery({ settings, data }) {
  const { walBytes, runs, ...rest } = settings('recovery')
  const milliseconds = []
  const sizes = []
  for (let run = 1; run <= runs; run += 1) {
    const { opened, logged } = await killAndOpen({ ...rest, data, walBytes })
    milliseconds.push(opened)
    sizes.push(logged / 1024 ** 2)
    log(
      `run ${run} of ${runs}: ${(logged / 1024 ** 2).toFixed(0)} MiB of log, ${opened.toFixed(0)} ms`,
    )
  }
  const name = `recovery after SIGKILL, ${Math.round(walBytes / 1024 ** 2)} MiB of log`
  const p99 = [quantile(milliseconds, 0.99)]
  return [
    figure(`${name}, p50`, 'ms', milliseconds),
    worst(
      `${name}, p99`,
      'ms',
      p99,
      { most: 1000 },
      `of ${runs} runs; every acknowledged row was there`,
    ),
    figure('size of that log', 'MiB', sizes),
  ]
}

async function killAndOpen({ data, dataset, batchRows, walBytes }) {
  const folder = newFolder('recovery')
  const writer = startWorker(import.meta.url, { name: 'the writer' })
  try {
    const call = { folder, data, dataset, batchRows, walBytes }
    const { rows, logged } = await writer.call('fill', call)
    // It goes on writing and dies in the middle of it.
    writer.call('goOn', batchRows).catch(() => {})
    await wait(20)
    await writer.stop('SIGKILL')
    const { opened, count } = await callInWorker(import.meta.url, 'reopen', folder, data, dataset)
    if (count < rows) throw new WrongAnswer(`${rows} rows were acknowledged, ${count} are there`)
    return { opened, logged }
  } finally {
    await writer.stop('SIGKILL')
    removeFolder(folder)
  }
}

let state

/** In the writer: fills the log up to a size; the rows acknowledged until then. */
export async function fill({ folder, data, dataset, batchRows, walBytes }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', Math.ceil(walBytes / 128 / 4))
  const db = await open(join(folder, 'db'), { durability: 'sync', memtableBytes, walBytesMax })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  state = { collection, matrix, dim, rows: matrix.length / dim }
  const { walBytes: logged, memtableRows } = await collection.stats()
  if (memtableRows !== state.rows) throw new WrongAnswer('some of the rows are not in the log only')
  return { rows: state.rows, logged }
}

/** In the writer: writes for ever. */
export async function goOn(batchRows) {
  const { collection, matrix, dim, rows } = state
  for (let key = rows; ; key += batchRows) {
    const keys = BigUint64Array.from({ length: batchRows }, (_, at) => BigInt(key + at))
    await collection.upsert({ keys, vectors: matrix.subarray(0, batchRows * dim) })
  }
}

/** In a new process: milliseconds from `open` until the collection answers its first search. */
export async function reopen(folder, data, dataset) {
  const { matrix } = readVectors(data, dataset, 'query', 1)
  const started = performance.now()
  const db = await open(join(folder, 'db'), { memtableBytes, walBytesMax })
  const collection = await db.collection('v')
  const hits = collection.searchSync({ vector: matrix, k: 10 })
  const opened = performance.now() - started
  if (hits.length !== 10) throw new WrongAnswer(`${hits.length} hits in place of 10`)
  const count = await collection.count()
  await db.close()
  return { opened, count }
}
