// How long searches take that arrive when they like, not when the one before is answered: at half of what the
// machine can do, and at four fifths. A search waits from the moment it was due, so that a stop of the database
// counts for all that came meanwhile.
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { open } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure } from '../lib/figure.mjs'
import { latencyOf } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

const shares = [0.5, 0.8]
/** Of the generator of Lehmer that draws the gaps. */
const modulus = 2_147_483_647

/** One process, not pinned, an engine pool of as many threads as there are cores. */
export async function measureArrivals({ settings, data }) {
  const { seconds, repetitions, ...rest } = settings('arrivals')
  const folder = newFolder('arrivals')
  const worker = startWorker(import.meta.url, { name: 'arrivals' })
  const [rates, latencies] = [[], new Map(shares.map((share) => [share, []]))]
  try {
    await worker.call('prepare', { ...rest, data, folder })
    for (let round = 0; round <= repetitions; round += 1) {
      const rate = await worker.call('flatOut', seconds)
      if (round > 0) rates.push(rate)
      for (const share of shares) {
        const found = await worker.call('paced', share * rate, seconds, round)
        if (round > 0) latencies.get(share).push(found)
      }
    }
    await worker.call('close')
  } finally {
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
  const note = 'from the moment that each search was due; they arrive at random'
  return [
    figure('searches per second, asynchronous, as many at once as it takes', '/s', rates),
    ...[...latencies].flatMap(([share, found]) =>
      Object.keys(found[0]).map((name) =>
        figure(
          `search at ${share * 100} % of that, ${name}`,
          'us',
          found.map((latency) => latency[name]),
          {},
          note,
        ),
      ),
    ),
  ]
}

let state

/** In the process: a collection with one finished graph. */
export async function prepare({ data, dataset, rows, queries, ef, batchRows, folder }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const given = readVectors(data, dataset, 'query', queries)
  const db = await open(join(folder, 'db'), { durability: 'os' })
  const collection = await db.collection('v', schemaOf(dim))
  await collection.ingest(columnBatches(matrix, dim, batchRows))
  await collection.compact()
  const asked = Array.from({ length: given.rows }, (_, row) => ({
    vector: given.matrix.slice(row * dim, (row + 1) * dim),
    k: 10,
    efSearch: ef,
    select: false,
  }))
  state = { db, collection, asked }
}

/** In the process: searches per second when two a core are always under way. */
export async function flatOut(seconds) {
  const { collection, asked } = state
  const started = performance.now()
  const end = started + seconds * 1000
  let answered = 0
  const caller = async (first) => {
    for (let at = first; performance.now() < end; at += 1) {
      await collection.search(asked[at % asked.length])
      answered += 1
    }
  }
  const callers = Array.from({ length: 2 * availableParallelism() }, (_, at) => caller(at * 997))
  await Promise.all(callers)
  return answered / ((performance.now() - started) / 1000)
}

/** In the process: quantiles of the time from due to answered, in microseconds, at `rate` searches per second. */
export async function paced(rate, seconds, round) {
  const { collection, asked } = state
  let drawn = round + 1
  const random = () => (drawn = (drawn * 48_271) % modulus) / modulus
  const waited = []
  /** @type {Promise<void>[]} */
  const answers = []
  const ask = async (query, since) => {
    await collection.search(query)
    waited.push((performance.now() - since) * 1000)
  }
  const started = performance.now()
  let due = started
  for (let at = 0; due < started + seconds * 1000; at += 1) {
    due += (-Math.log(1 - random()) * 1000) / rate
    while (performance.now() < due) await new Promise((resolve) => setImmediate(resolve))
    answers.push(ask(asked[at % asked.length], due))
  }
  await Promise.all(answers)
  return latencyOf(waited)
}

/** In the process. */
export async function close() {
  await state.db.close()
}
