// The writer of stall-and-reopen.mjs, in a process of its own.
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'

/**
 * Ingests rows while a timer of one millisecond watches the event loop.
 *
 * @returns The longest time in milliseconds between two of its ticks beyond the one that was asked for,
 * the same of a loop that has nothing to do for as long beside a thread that counts, the 99th percentile
 * of the delay, and rows per second; seconds of `compact` where `finish` is set.
 */
export async function write({ data, dataset, rows, batchRows, folder, finish }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(join(folder, 'db'), { durability: 'sync' })
  const collection = await db.collection('v', schemaOf(dim))
  const batches = columnBatches(matrix, dim, batchRows)
  globalThis.gc()

  const watch = monitorEventLoopDelay({ resolution: 1 })
  const timer = watchLoop()
  watch.enable()
  const started = performance.now()
  await collection.ingest(batches)
  const seconds = (performance.now() - started) / 1000
  watch.disable()
  const longest = timer.stop()

  const counting = new Worker('for (let n = 0; ; n += 1);', { eval: true })
  const control = watchLoop()
  await delay(seconds * 1000)
  const beside = control.stop()
  await counting.terminate()

  const finished = finish ? await timed(() => collection.compact()) : Number.NaN
  await db.close()
  return { longest, beside, p99: watch.percentile(99) / 1e6, rate: rows / seconds, finished }
}

function watchLoop() {
  let longest = 0
  let before = performance.now()
  const tick = () => {
    const now = performance.now()
    longest = Math.max(longest, now - before - 1)
    before = now
  }
  const timer = setInterval(tick, 1)
  return {
    stop() {
      tick()
      clearInterval(timer)
      return longest
    },
  }
}

async function timed(action) {
  const started = performance.now()
  await action()
  return (performance.now() - started) / 1000
}
