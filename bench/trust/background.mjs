// How long searches and writes take while flushes and compactions run beside them.
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { median, quantile } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

/** Idle and busy in turns, in one process that may use every core. */
export async function measureBackground({ settings, data }) {
  const { repetitions, ...rest } = settings('background')
  const folder = newFolder('background')
  const worker = startWorker(import.meta.url, { name: 'background' })
  try {
    await worker.call('prepare', { ...rest, data, folder })
    const p99 = { idle: [], busy: [] }
    const longest = { searches: [], writes: [] }
    for (let round = 0; round <= repetitions; round += 1) {
      for (const turn of ['idle', 'busy']) {
        const { searches, writes } = await worker.call(turn)
        if (round === 0) continue
        p99[turn].push(quantile(searches, 0.99))
        if (turn === 'idle') continue
        longest.searches.push(Math.max(...searches) / 1000)
        longest.writes.push(Math.max(...writes) / 1000)
      }
      log(round === 0 ? 'warm-up round' : `round ${round} of ${repetitions}`)
    }
    const alone = median(p99.idle)
    return [
      figure('search p99 beside flush and compaction over idle', 'x', ratios(p99.busy, alone), {
        most: 2,
      }),
      figure('search p99 idle over itself', 'x', ratios(p99.idle, alone)),
      figure('search p99 idle', 'us', p99.idle),
      figure('search p99 beside flush and compaction', 'us', p99.busy),
      figure('longest search beside flush and compaction', 'ms', longest.searches, { most: 100 }),
      figure(
        'longest write beside flush and compaction',
        'ms',
        longest.writes,
        { most: 100 },
        `batches of ${rest.batchRows} rows`,
      ),
    ]
  } finally {
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
}

function ratios(values, one) {
  return values.map((value) => value / one)
}

let state

/** In the process: a collection with one finished graph, and rows to write over. */
export async function prepare({ data, dataset, rows, queries, ef, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const asked = readVectors(data, dataset, 'query', queries)
  const db = await open(join(folder, 'db'), { durability: 'os', memtableBytes: 2 * 1024 ** 2 })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  const vectors = Array.from({ length: asked.rows }, (_, row) =>
    asked.matrix.slice(row * dim, (row + 1) * dim),
  )
  state = { collection, vectors, ef, batches: [...columnBatches(matrix, dim, batchRows)], next: 0 }
}

/** In the process: microseconds of each query, nothing else going on. */
export async function idle() {
  const { collection } = state
  await collection.compact()
  return { searches: await searches(() => false), writes: [] }
}

/** In the process: microseconds of each query and of each write while a tenth of the rows is replaced and merged. */
export async function busy() {
  const { collection, batches } = state
  const from = state.next
  state.next += Math.ceil(batches.length / 10)
  let done = false
  const writes = []
  const work = async () => {
    for (let at = from; at < state.next; at += 1) {
      const started = performance.now()
      await collection.upsert(batches[at % batches.length])
      writes.push((performance.now() - started) * 1000)
    }
    await collection.compact()
    done = true
  }
  const working = work()
  const times = await searches(() => !done)
  await working
  return { searches: times, writes }
}

/** One query after the other, all of them once, and again while `more()`. */
async function searches(more) {
  const { collection, vectors, ef } = state
  globalThis.gc()
  const times = []
  do {
    for (const vector of vectors) {
      const started = performance.now()
      await collection.search({ vector, k: 10, efSearch: ef, select: false })
      times.push((performance.now() - started) * 1000)
    }
  } while (more())
  return times
}
