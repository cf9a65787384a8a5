// What runs in the process of one engine: it builds, and then answers passes of queries.
import { createEngine } from './engines/index.mjs'
import { columnsOf } from './filtered/workloads.mjs'
import { readVectors } from './lib/data.mjs'
import { latencyOf } from './lib/numbers.mjs'

let engine
let queries

/**
 * Builds the index; with `filtered`, with the columns of workloads.mjs.
 *
 * @returns `{ version, rows, seconds, bytes, threads, rss, peak, note }`; `rss` is what the process holds afterwards,
 * the vectors it was given no more among it, `peak` the most it ever held, with them.
 */
export async function build({
  name,
  folder,
  data,
  dataset,
  rows,
  queryCount,
  params,
  threads,
  filtered,
}) {
  const idle = residentBytes()
  engine = await createEngine(name, { folder, threads })
  const result = await buildFrom(readVectors(data, dataset, 'base', rows), params, filtered)
  const rss = residentBytes() - idle
  const peak = process.resourceUsage().maxRSS * 1024
  const given = readVectors(data, dataset, 'query', queryCount)
  queries = engine.prepare(
    Array.from({ length: given.rows }, (_, row) =>
      given.matrix.slice(row * given.dim, (row + 1) * given.dim),
    ),
  )
  return { version: engine.version, threads: engine.buildThreads ?? threads, rss, peak, ...result }
}

async function buildFrom(base, params, filtered) {
  const columns = filtered ? columnsOf(base) : undefined
  return { rows: base.rows, ...(await engine.build(base.matrix, base.dim, params, columns)) }
}

/**
 * Answers every query once, one after the other; one in twenty before that, because the caches still hold what the
 * engine before this one worked on. With `chosen`, the queries of those numbers; with `filter`, out of its rows.
 *
 * @returns `{ seconds, queries, latency }`, `latency` by `p50` to `p999` in microseconds; with `verify`, `answers` in its place.
 */
export async function pass({ k, ef, verify, filter, chosen }) {
  engine.useEf(ef)
  globalThis.gc()
  const asked = chosen ? Array.from(chosen, (at) => queries[at]) : queries
  const only = filter && engine.filter(filter)
  const ask = (query) => engine.searchOne(query, k, ef, only)
  return verify ? collect(asked, ask) : time(asked, ask)
}

async function collect(asked, ask) {
  const answers = []
  for (const query of asked) answers.push(engine.ids(await ask(query)))
  return { seconds: Number.NaN, queries: asked.length, answers }
}

async function time(asked, ask) {
  const micros = new Float64Array(asked.length)
  let isAsync = false
  for (const query of asked.slice(0, Math.ceil(asked.length / 20))) {
    const answer = ask(query)
    isAsync = answer instanceof Promise
    await answer
  }
  const started = performance.now()
  let before = started
  for (let at = 0; at < asked.length; at += 1) {
    const answer = ask(asked[at])
    if (isAsync) await answer
    const now = performance.now()
    micros[at] = (now - before) * 1000
    before = now
  }
  const seconds = (before - started) / 1000
  return { seconds, queries: asked.length, latency: latencyOf(micros) }
}

/** Ends the engine's work. */
export async function close() {
  await engine?.close()
}

function residentBytes() {
  globalThis.gc()
  return process.memoryUsage.rss()
}
