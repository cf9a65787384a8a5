// The measuring loop: engines take turns, the first round is warm-up and checks the answers.
import { checkSweep, recallOf } from './answers.mjs'
import { log } from './log.mjs'
import { median, quantiles, summary } from './numbers.mjs'

/**
 * Runs every engine at every `ef`, round after round, each engine in turn (A B C A B C ...).
 *
 * @param engines - `{ name, ef: number[], truth, rules, pass(ef, verify) }`; `pass` resolves with
 * `{ seconds, queries, latency?, answers?, recall? }`, or with an array of them, one by `ef`, when the
 * engine's `whole` is set and it is given all of `ef` at once.
 * @param repetitions - Rounds that count, after one that does not.
 * @returns Points by engine: `{ ef, recall, qps, latency }` with `qps` and each quantile of each round.
 */
export async function sweep(engines, repetitions) {
  const points = new Map(engines.map(({ name, ef }) => [name, ef.map(emptyPoint)]))
  for (let round = 0; round <= repetitions; round += 1) {
    const started = performance.now()
    for (const { engine, at } of turns(engines, round)) {
      await runTurn(engine, at, round === 0, points.get(engine.name))
    }
    const what = round === 0 ? 'warm-up round, answers checked' : `round ${round} of ${repetitions}`
    log(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s`)
  }
  for (const [name, found] of points) checkSweep(name, found)
  return points
}

/**
 * The engines with ours among them a second time, under the name `again`. It stands in the middle, so that
 * both come after somebody else and neither finds its data in the cache.
 */
export function withAgain(engines, again) {
  const ours = engines.find(({ name }) => name === 'cairn')
  return engines.toSpliced(Math.ceil(engines.length / 2), 0, { ...ours, name: again })
}

/** The order of one round; every other round runs backwards, so that nobody is always behind the same engine. */
export function turns(engines, round) {
  const steps = Math.max(...engines.map(({ ef, whole }) => (whole ? 1 : ef.length)))
  const order = []
  for (let at = 0; at < steps; at += 1) {
    for (const engine of engines) {
      if (engine.whole ? at === 0 : at < engine.ef.length) order.push({ engine, at })
    }
  }
  return round % 2 === 0 ? order : order.toReversed()
}

async function runTurn(engine, at, verify, points) {
  if (!engine.whole) {
    record(engine, points[at], await engine.pass(engine.ef[at], verify), verify)
    return
  }
  const results = await engine.pass(engine.ef, verify)
  for (const [step, result] of results.entries()) record(engine, points[step], result, verify)
}

function record(engine, point, { seconds, queries, latency = {}, answers, recall }, verify) {
  if (verify) {
    point.recall = recall ?? recallOf(answers, engine.truth, engine.rules)
    point.queries = queries
    return
  }
  point.qps.push(queries / seconds)
  for (const [name, micros] of Object.entries(latency)) point.latency[name].push(micros)
}

function emptyPoint(ef) {
  const latency = Object.fromEntries(Object.keys(quantiles).map((name) => [name, []]))
  return { ef, recall: Number.NaN, queries: 0, qps: [], latency }
}

/** A point in the columns of the record. */
export function pointColumns({ ef, recall, queries, qps, latency }) {
  const speed = summary(qps)
  const micros = (values) => (values.length === 0 ? '' : median(values).toFixed(1))
  return {
    ef,
    queries,
    recall: recall.toFixed(5),
    repetitions: qps.length,
    qps_median: speed.median.toFixed(1),
    qps_min: speed.min.toFixed(1),
    qps_max: speed.max.toFixed(1),
    ...Object.fromEntries(
      Object.entries(latency).map(([name, values]) => [`${name}_us`, micros(values)]),
    ),
  }
}
