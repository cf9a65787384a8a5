// What is left of the recall when everything was written over many times by a process that was killed
// again and again: of the database as the kills left it and as its own merges then make it, against one that was
// filled once with the very same rows.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { open } from 'cairndb'
import { recallWithTies, WrongAnswer } from '../lib/answers.mjs'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure, worst } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker, startWorker } from '../lib/worker.mjs'

/** Every row is written over so often, in so many lives at least. */
export async function measureChurn({ settings, data }) {
  const { kills, overwrites, ...rest } = settings('churn')
  const folder = newFolder('churn')
  const call = { ...rest, data, churned: join(folder, 'churned'), fresh: join(folder, 'fresh') }
  try {
    await callInWorker(import.meta.url, 'fill', call)
    let [written, lives] = [0, 0]
    while (lives < kills || written < overwrites * call.rows) {
      written += await lifeOf(call, lives)
      lives += 1
      if (lives % 10 === 0) log(`${lives} lives, ${written} rows written`)
    }
    const { opened, rested, fresh } = await callInWorker(import.meta.url, 'compare', call)
    const lost = [opened, rested].map(({ recall }) => 100 * (fresh.recall - recall))
    const times = `${lives} kills, every row written ${(written / call.rows).toFixed(0)} times`
    return [
      worst('recall@10 lost by churn', 'points', lost, { most: 0.5 }, times),
      figure('recall@10 of a fresh build', '', [fresh.recall], {}, shapeOf(fresh)),
      figure('recall@10 at the open after churn', '', [opened.recall], {}, shapeOf(opened)),
      figure('recall@10 after churn, at rest', '', [rested.recall], {}, shapeOf(rested)),
    ]
  } finally {
    removeFolder(folder)
  }
}

function shapeOf({ segments, dead, inMemory }) {
  return `${segments} segments, ${(100 * dead).toFixed(0)} % of their rows dead, ${inMemory} rows in memtables`
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

/** Gives every row its own vector. */
export async function fill({ data, dataset, rows, batchRows, churned }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(churned, settings)
  const collection = await db.collection('v', schemaOf(dim))
  for (const batch of columnBatches(matrix, dim, batchRows)) await collection.upsert(batch)
  await db.close()
}

let state

/** In a life: opens what the one before left. */
export async function begin({ data, dataset, rows, churned, number }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(churned, settings)
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

/**
 * The recall of what the kills left, as it opens and once its background rests, and of a fresh build of the same
 * rows at rest.
 *
 * Which writes of the killed processes took effect is asked of the database: its rows as a scan gives them fill
 * the fresh build, and the truth is its own exact search. So nothing is written to it and nothing is merged on
 * demand; what its background still has to do at this open, it does.
 */
export async function compare({ data, dataset, rows, queries, ef, batchRows, churned, fresh }) {
  const asked = readVectors(data, dataset, 'query', queries)
  const { dim } = asked
  const left = await open(churned, settings)
  const churn = await left.openCollection('v')
  const truth = answersOf(churn, asked, { exact: true })
  const measure = async (collection) => ({
    ...figuresOf(await collection.stats()),
    recall: recallWithTies(answersOf(collection, asked, { efSearch: ef }), truth),
  })
  const opened = await measure(churn)
  await untilQuiet(churn)
  const rested = await measure(churn)
  const { keys, matrix } = await rowsOf(churn, dim)
  if (keys.length !== rows) throw new WrongAnswer(`${keys.length} of ${rows} rows are there`)
  await left.close()

  const db = await open(fresh, settings)
  const built = await db.collection('v', schemaOf(dim))
  for (const { keys: at, vectors } of columnBatches(matrix, dim, batchRows)) {
    await built.upsert({ keys: at.map((row) => keys[Number(row)]), vectors })
  }
  await untilQuiet(built)
  const filledOnce = await measure(built)
  await db.close()
  return { opened, rested, fresh: filledOnce }
}

/** Looks of `untilQuiet`, and how many of them in a row must see the same. */
const lookMs = 250
const sameLooks = 8
const quietMsMax = 300_000

/** Waits until flushes and merges have nothing more to do by themselves. */
async function untilQuiet(collection) {
  const until = performance.now() + quietMsMax
  let [seen, same] = ['', 0]
  while (same < sameLooks) {
    if (performance.now() > until) throw new Error(`the background does not rest: ${seen}`)
    await delay(lookMs)
    const { frozenMemtables, segments } = await collection.stats()
    const now = segments.map(({ id, health }) => `${id} ${health}`).join(', ')
    const quiet = frozenMemtables === 0 && segments.every(({ health }) => health === 'good')
    same = quiet && now === seen ? same + 1 : 0
    seen = now
  }
}

async function rowsOf(collection, dim) {
  const [keys, rows] = [[], []]
  for await (const { key, vector } of collection.scan({ select: false, vectors: true })) {
    keys.push(key)
    rows.push(vector)
  }
  const matrix = new Float32Array(rows.length * dim)
  for (const [row, vector] of rows.entries()) matrix.set(vector, row * dim)
  return { keys: BigUint64Array.from(keys), matrix }
}

function answersOf(collection, { rows, dim, matrix }, how) {
  return Array.from({ length: rows }, (_, row) => {
    const vector = matrix.subarray(row * dim, (row + 1) * dim)
    return collection.searchSync({ vector, k: 10, select: false, ...how })
  })
}

function figuresOf({ segments, memtableRows }) {
  const sum = (name) => segments.reduce((total, segment) => total + segment[name], 0)
  const dead = segments.length === 0 ? 0 : 1 - sum('live') / sum('rows')
  return { segments: segments.length, dead, inMemory: memtableRows }
}
