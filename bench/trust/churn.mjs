// What is left of the recall when everything was written over many times by a process that was killed
// again and again, against a collection that was filled once.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { open } from 'cairndb'
import { recallOf } from '../lib/answers.mjs'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readTruth, readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker, startWorker } from '../lib/worker.mjs'

/** Every row is written over so often, in so many lives at least. */
export async function measureChurn({ settings, data }) {
  const { kills, overwrites, ...call } = settings('churn')
  const folder = newFolder('churn')
  const at = (name) => ({ ...call, data, folder: join(folder, name) })
  try {
    await callInWorker(import.meta.url, 'fill', at('fresh'))
    let [written, lives] = [0, 0]
    while (lives < kills || written < overwrites * call.rows) {
      written += await lifeOf(at('churned'), lives)
      lives += 1
      if (lives % 10 === 0) log(`${lives} lives, ${written} rows written`)
    }
    await callInWorker(import.meta.url, 'fill', at('churned'))
    const fresh = await callInWorker(import.meta.url, 'recall', at('fresh'))
    const churned = await callInWorker(import.meta.url, 'recall', at('churned'))
    const note = `${lives} kills, every row written ${(written / call.rows).toFixed(0)} times`
    return [
      figure('recall@10 lost by churn', 'points', [100 * (fresh - churned)], { most: 0.5 }, note),
      figure('recall@10 of a fresh build', '', [fresh]),
      figure('recall@10 after churn', '', [churned]),
    ]
  } finally {
    removeFolder(folder)
  }
}

/** One process writes until it is killed; the rows that it wrote. */
async function lifeOf(call, number) {
  const worker = startWorker(import.meta.url, { name: `life ${number}` })
  try {
    await worker.call('begin', { ...call, number })
    worker.call('goOn').catch(() => {})
    // Long enough for some flushes and merges, and no two alike.
    await delay(200 + ((number * 7919) % 400))
    return await worker.call('written')
  } finally {
    await worker.stop('SIGKILL')
  }
}

/** Small, so that there are many flushes and merges to be killed in. */
const settings = { durability: 'sync', memtableBytes: 1024 ** 2, lockTimeoutMs: 10_000 }

/** Gives every row its own vector, and merges. */
export async function fill({ data, dataset, rows, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(folder, settings)
  const collection = await db.collection('v', schemaOf(dim))
  for (const batch of columnBatches(matrix, dim, batchRows)) await collection.upsert(batch)
  await collection.compact()
  await db.close()
}

let state

/** In a life: opens what the one before left. */
export async function begin({ data, dataset, rows, folder, number }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(folder, settings)
  const collection = await db.collection('v', schemaOf(dim))
  state = { collection, matrix, dim, rows, number, written: 0 }
}

/** In a life: gives rows the vectors of others, for ever, 500 at a time from all over the base. */
export async function goOn() {
  const { collection, matrix, dim, rows, number } = state
  for (let batch = 0; ; batch += 1) {
    const moved = 1 + ((number * 31 + batch * 17) % (rows - 1))
    const first = (number * 104_729 + batch * 500) % rows
    const keys = Array.from({ length: 500 }, (_, at) => ((first + at) * 7919) % rows)
    const vectors = new Float32Array(keys.length * dim)
    for (const [at, key] of keys.entries()) {
      const other = (key + moved) % rows
      vectors.set(matrix.subarray(other * dim, (other + 1) * dim), at * dim)
    }
    await collection.upsert({ keys: BigUint64Array.from(keys, BigInt), vectors })
    state.written += keys.length
  }
}

/** In a life: rows that were acknowledged. */
export function written() {
  return state.written
}

/** The share of the true neighbours that is found. */
export async function recall({ data, dataset, rows, queries, ef, folder }) {
  const base = readVectors(data, dataset, 'base', rows)
  const asked = readVectors(data, dataset, 'query', queries)
  const db = await open(folder)
  const collection = await db.openCollection('v')
  const answers = Array.from({ length: asked.rows }, (_, row) => {
    const vector = asked.matrix.subarray(row * asked.dim, (row + 1) * asked.dim)
    const hits = collection.searchSync({ vector, k: 10, efSearch: ef, select: false })
    return hits.map(({ key }) => Number(key))
  })
  await db.close()
  return recallOf(answers, readTruth(data, dataset, base, asked, 10), { k: 10, rows, full: true })
}
