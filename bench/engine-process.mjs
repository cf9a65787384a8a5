// What runs in the process of one engine: it builds, and then answers passes of queries.
import { createEngine } from './engines/index.mjs'
import { readVectors } from './lib/data.mjs'
import { quantile } from './lib/numbers.mjs'

let engine
let queries

/**
 * Builds the index.
 *
 * @returns `{ version, seconds, bytes, threads, rss, note }`; `rss` is what the process holds afterwards,
 * the vectors it was given no more among it.
 */
export async function build({ name, folder, data, dataset, rows, queryCount, params, threads }) {
  const idle = residentBytes()
  engine = await createEngine(name, { folder, threads })
  const result = await buildFrom(readVectors(data, dataset, 'base', rows), params)
  const rss = residentBytes() - idle
  const given = readVectors(data, dataset, 'query', queryCount)
  queries = engine.prepare(
    Array.from({ length: given.rows }, (_, row) =>
      given.matrix.slice(row * given.dim, (row + 1) * given.dim),
    ),
  )
  return { version: engine.version, threads: engine.buildThreads ?? threads, rss, ...result }
}

function buildFrom(base, params) {
  return engine.build(base.matrix, base.dim, params)
}

/**
 * Answers every query once, one after the other; one in twenty before that, because the caches still hold
 * what the engine before this one worked on.
 *
 * @returns `{ seconds, queries, p50, p99 }` in microseconds; with `verify`, `answers` as well.
 */
export async function pass({ k, ef, verify }) {
  engine.useEf(ef)
  globalThis.gc()
  return verify ? collect(k, ef) : time(k, ef)
}

async function collect(k, ef) {
  const answers = []
  for (const query of queries) answers.push(engine.ids(await engine.searchOne(query, k, ef)))
  return { seconds: Number.NaN, queries: queries.length, answers }
}

async function time(k, ef) {
  const micros = new Float64Array(queries.length)
  let isAsync = false
  for (const query of queries.slice(0, Math.ceil(queries.length / 20))) {
    const answer = engine.searchOne(query, k, ef)
    isAsync = answer instanceof Promise
    await answer
  }
  const started = performance.now()
  let before = started
  for (let at = 0; at < queries.length; at += 1) {
    const answer = engine.searchOne(queries[at], k, ef)
    if (isAsync) await answer
    const now = performance.now()
    micros[at] = (now - before) * 1000
    before = now
  }
  const seconds = (before - started) / 1000
  const [p50, p99] = [quantile(micros, 0.5), quantile(micros, 0.99)]
  return { seconds, queries: queries.length, p50, p99 }
}

/** Ends the engine's work. */
export async function close() {
  await engine?.close()
}

function residentBytes() {
  globalThis.gc()
  return process.memoryUsage.rss()
}
