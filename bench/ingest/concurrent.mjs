// Single rows from one caller and from many at once: what group commit is worth.
import { open } from 'cairndb'
import { join } from 'node:path'
import { schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker } from '../lib/worker.mjs'

/** One caller and many in turns, in one process. */
export async function measureConcurrent({ settings, data }) {
  const folder = newFolder('concurrent')
  try {
    const { callers, alone, together } = await callInWorker(import.meta.url, 'compare', {
      ...settings('concurrent'),
      data,
      folder,
    })
    const ratio = together.map((rate, at) => rate / alone[at])
    return [
      figure('single-row upserts, 1 caller', 'rows/s', alone),
      figure(`single-row upserts, ${callers} callers`, 'rows/s', together),
      figure(`${callers} callers over 1 caller`, 'x', ratio, { least: 20 }),
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
  const upsert = () => {
    const at = next++ % rows
    return collection.upsert({
      key: BigInt(next),
      vector: matrix.subarray(at * dim, (at + 1) * dim),
    })
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
  const [alone, together] = [[], []]
  for (let round = 0; round <= repetitions; round += 1) {
    const [slow, fast] = [await rate(single, 1), await rate(many, callers)]
    if (round > 0) {
      alone.push(slow)
      together.push(fast)
    }
    log(`round ${round}: ${slow.toFixed(0)} and ${fast.toFixed(0)} rows/s`)
  }
  await db.close()
  return { callers, alone, together }
}
