// The writer of stall-and-reopen.mjs, in a process of its own.
import { readFileSync } from 'node:fs'
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
 * the longest that its thread ran between two of them (null where no kernel tells), what the host of a virtual
 * machine took of the cores meanwhile, the longest time of a loop that has
 * nothing to do for as long beside a thread that counts, the 99th percentile of the delay, and rows per
 * second.
 */
export async function write({ data, dataset, rows, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const db = await open(join(folder, 'db'), { durability: 'sync' })
  const collection = await db.collection('v', schemaOf(dim))
  const batches = columnBatches(matrix, dim, batchRows)
  globalThis.gc()
  // What reading the data left is given back to the system meanwhile.
  await delay(500)

  const watch = monitorEventLoopDelay({ resolution: 1 })
  const stolenBefore = stolenMilliseconds()
  const timer = watchLoop()
  watch.enable()
  const started = performance.now()
  await collection.ingest(batches)
  const seconds = (performance.now() - started) / 1000
  watch.disable()
  const { longest, ran } = timer.stop()
  // The kernel counts a pause once it is over, core by core.
  await delay(100)
  const stolen = stolenMilliseconds() - stolenBefore

  const counting = new Worker('for (let n = 0; ; n += 1);', { eval: true })
  const control = watchLoop()
  await delay(seconds * 1000)
  const { longest: beside } = control.stop()
  await counting.terminate()

  await db.close()
  return { longest, ran, stolen, beside, p99: watch.percentile(99) / 1e6, rate: rows / seconds }
}

/** Merges what was written into one segment with a graph; returns the seconds that took. */
export async function finish(folder) {
  const db = await open(join(folder, 'db'))
  const collection = await db.collection('v')
  const started = performance.now()
  await collection.compact()
  const seconds = (performance.now() - started) / 1000
  await db.close()
  return seconds
}

function watchLoop() {
  let [longest, ran] = [0, 0]
  let [before, ranBefore] = [performance.now(), threadMilliseconds()]
  const tick = () => {
    const [now, ranNow] = [performance.now(), threadMilliseconds()]
    longest = Math.max(longest, now - before - 1)
    ran = Math.max(ran, ranNow - ranBefore)
    ;[before, ranBefore] = [now, ranNow]
  }
  const timer = setInterval(tick, 1)
  return {
    stop() {
      tick()
      clearInterval(timer)
      return { longest, ran: Number.isNaN(ran) ? null : ran }
    },
  }
}

/** How long the main thread of this process has run on a core; NaN where no kernel tells. */
function threadMilliseconds() {
  if (process.platform !== 'linux') return NaN
  return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6
}

/**
 * Milliseconds, summed over the cores, for which the host of a virtual machine did not run them although they
 * had work; in steps of 10, and 0 where no kernel tells.
 */
function stolenMilliseconds() {
  if (process.platform !== 'linux') return 0
  const cores = readFileSync('/proc/stat', 'utf8').matchAll(/^cpu\d+ (.*)$/gm)
  return [...cores].reduce((sum, [, columns]) => sum + 10 * Number(columns.split(' ')[7]), 0)
}
