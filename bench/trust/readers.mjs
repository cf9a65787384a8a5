// What readers in other processes cost the writer, and how soon they see what it wrote.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure, worst } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { median, quantile } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

/** The writer alone and beside its readers in turns, each time with a new database. */
export async function measureReaders({ settings, data }) {
  const { readers, repetitions, looks, pauseMs, ...rest } = settings('readers')
  const rates = { alone: [], beside: [] }
  for (let round = 0; round <= repetitions; round += 1) {
    const turns = round % 2 === 0 ? ['alone', 'beside'] : ['beside', 'alone']
    for (const turn of turns) {
      const rate = await writeBeside(turn === 'beside' ? readers : 0, { ...rest, data })
      if (round > 0) rates[turn].push(rate)
    }
    log(round === 0 ? 'warm-up round' : `round ${round} of ${repetitions}`)
  }
  const alone = median(rates.alone)
  const ratio = rates.beside.map((rate) => rate / alone)
  const again = rates.alone.map((rate) => rate / alone)
  const paced = await refreshes({ ...rest, data, looks, pauseMs })
  const flatOut = await refreshes({ ...rest, data, looks, pauseMs: 0 })
  const p99 = (milliseconds) => [quantile(milliseconds, 0.99)]
  const pace = `the writer has ${rest.batchRows} rows every ${pauseMs} ms, ${looks} looks`
  return [
    figure(
      `writer beside ${readers} readers over the writer alone`,
      'x',
      ratio,
      { least: 0.9 },
      'each looks and searches once a second',
    ),
    figure('writer alone over itself', 'x', again),
    figure('refresh() beside a writer, p50', 'ms', [median(paced)]),
    worst('refresh() beside a writer, p99', 'ms', p99(paced), { most: 50 }, pace),
    figure('refresh() beside a writer that never rests, p50', 'ms', [median(flatOut)]),
    figure('refresh() beside a writer that never rests, p99', 'ms', p99(flatOut)),
  ]
}

async function writeBeside(readers, call) {
  const folder = newFolder('readers')
  const writer = startWorker(import.meta.url, { name: 'the writer' })
  const others = Array.from({ length: readers }, (_, at) =>
    startWorker(import.meta.url, { name: `reader ${at}` }),
  )
  try {
    await writer.call('prepare', { ...call, folder })
    await Promise.all(others.map((reader) => reader.call('read', folder)))
    return await writer.call('write')
  } finally {
    await Promise.all([writer, ...others].map((worker) => worker.stop('SIGKILL')))
    removeFolder(folder)
  }
}

async function refreshes({ looks, pauseMs, ...call }) {
  const folder = newFolder('readers')
  const writer = startWorker(import.meta.url, { name: 'the writer' })
  const reader = startWorker(import.meta.url, { name: 'the reader' })
  try {
    await writer.call('prepare', { ...call, folder })
    await reader.call('read', folder)
    writer.call('writeOn', pauseMs).catch(() => {})
    return await reader.call('refresh', looks)
  } finally {
    await Promise.all([writer, reader].map((worker) => worker.stop('SIGKILL')))
    removeFolder(folder)
  }
}

let state

/** In the writer: a new database, and the batches to come. */
export async function prepare({ data, dataset, rows, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(join(folder, 'db'), { durability: 'sync' })
  const collection = await db.collection('v', schemaOf(dim))
  state = { collection, rows, batches: [...columnBatches(matrix, dim, batchRows)] }
  await collection.upsert(state.batches[0])
}

/** In the writer: rows per second, each batch on the disk before the next. */
export async function write() {
  const { collection, batches, rows } = state
  globalThis.gc()
  const started = performance.now()
  for (const batch of batches) await collection.upsert(batch)
  return (rows * 1000) / (performance.now() - started)
}

/** In the writer: writes for ever, with a pause behind each batch. */
export async function writeOn(pauseMs) {
  const { collection, batches } = state
  for (;;) {
    for (const batch of batches) {
      await collection.upsert(batch)
      if (pauseMs > 0) await delay(pauseMs)
    }
  }
}

/** In a reader: opens, looks once a second by itself as readers do, and searches as often. */
export async function read(folder) {
  const db = await open(join(folder, 'db'), { mode: 'ro' })
  const collection = await db.openCollection('v')
  const { vector } = await collection.get(0n, { vectors: true })
  state = { db, collection, vector }
  const search = () => void collection.search({ vector, k: 10 })
  setInterval(search, 1000)
}

/** In a reader: milliseconds of each look. Each sees all that was written before it. */
export async function refresh(looks) {
  const milliseconds = []
  for (let look = 0; look < looks; look += 1) {
    const started = performance.now()
    await state.db.refresh()
    milliseconds.push(performance.now() - started)
    await delay(10)
  }
  return milliseconds
}
