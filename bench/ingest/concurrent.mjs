// Single rows from one caller and from many at once: what group commit is worth, and what a sync costs.
import { open } from 'cairndb'
import { join } from 'node:path'
import { schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { quantile } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker } from '../lib/worker.mjs'

/** One caller and many in turns, in one process. */
export async function measureConcurrent({ settings, data }) {
  const folder = newFolder('concurrent')
  try {
    const { callers, alone, together, latency } = await callInWorker(import.meta.url, 'compare', {
      ...settings('concurrent'),
      data,
      folder,
    })
    const ratio = together.map((rate, at) => rate / alone[at])
    return [
      figure('single-row upserts, 1 caller', 'rows/s', alone),
      figure(`single-row upserts, ${callers} callers`, 'rows/s', together),
      figure(`${callers} callers over 1 caller`, 'x', ratio, { least: 20 }),
      ...['sync', 'os', 'memory'].flatMap((durability) => [
        figure(`write of one row, '${durability}', p50`, 'us', latency[durability].p50),
        figure(`write of one row, '${durability}', p99`, 'us', latency[durability].p99),
      ]),
    ]
  } finally {
    removeFolder(folder)
  }
}

/** Runs in a process of its own. */
export async function compare({ data, dataset, folder, callers, single, many, repetitions }) {
  const { matrix, dim, rows } = readVectors(data, dataset, 'base', 10_000)
  const db = await open(join(folder, 'db'), { durability: 'sync' })
  const collection = await db.collection('v', schemaOf(dim))
  let next = 0
  const upsert = (durability = 'sync') => {
    const at = next++ % rows
    const record = { key: BigInt(next), vector: matrix.subarray(at * dim, (at + 1) * dim) }
    return collection.upsert(record, { durability })
  }
  const rate = async (count, atOnce) => {
    const started = performance.now()
    let left = count
    const caller = async () => {
      while (left > 0) {
        left -= 1
        await upsert()
      }
    }
    await Promise.all(Array.from({ length: atOnce }, caller))
    return count / ((performance.now() - started) / 1000)
  }
  const latency = { sync: none(), os: none(), memory: none() }
  const measureLatency = async (durability) => {
    const times = []
    for (let count = 0; count < single; count += 1) {
      const started = performance.now()
      await upsert(durability)
      times.push((performance.now() - started) * 1000)
    }
    latency[durability].p50.push(quantile(times, 0.5))
    latency[durability].p99.push(quantile(times, 0.99))
  }
  const [alone, together] = [[], []]
  for (let round = 0; round <= repetitions; round += 1) {
    const [slow, fast] = [await rate(single, 1), await rate(many, callers)]
    if (round > 0) {
      alone.push(slow)
      together.push(fast)
      for (const durability of Object.keys(latency)) await measureLatency(durability)
    }
    log(`round ${round}: ${slow.toFixed(0)} and ${fast.toFixed(0)} rows/s`)
  }
  await db.close()
  return { callers, alone, together, latency }
}

function none() {
  return { p50: [], p99: [] }
}
