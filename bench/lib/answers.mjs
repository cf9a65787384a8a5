// Whether answers are right: recall against the truth, and what no engine may ever return.

/** Below this, at the largest `ef`, an engine is not slow or approximate but wrong. */
export const recallFloor = 0.5

/** Answers that cannot be, whatever the approximation. */
export class WrongAnswer extends Error {}

/**
 * The share of the `k` true neighbours that were found, by row number.
 *
 * @param answers - Row numbers by query.
 * @param truth - `{ ids, depth }`, `depth` true neighbours by query, nearest first.
 * @param rules - `rows` of the base; `full` when fewer than `k` answers are wrong.
 * @throws {WrongAnswer}
 */
export function recallOf(answers, truth, { k, rows, full = false }) {
  let found = 0
  for (const [query, ids] of answers.entries()) {
    checkIds(ids, query, { k, rows, full })
    const right = new Set(truth.ids.subarray(query * truth.depth, query * truth.depth + k))
    for (const id of ids) if (right.has(id)) found += 1
  }
  return found / (answers.length * k)
}

/**
 * The share of answers that are as near as the truth's. Where several rows have the same vector, the nearest are
 * not one set of keys but several: a row at the distance of the last true neighbour is as right as that one.
 *
 * @param answers - Hits by query, each `{ key, distance }`, nearest first.
 * @param truth - The hits of an exact search for the same queries.
 * @throws {WrongAnswer} For fewer hits than the truth has, a key twice, or one that is nearer than the nearest.
 */
export function recallWithTies(answers, truth) {
  let [found, wanted] = [0, 0]
  for (const [query, hits] of answers.entries()) {
    const right = truth[query]
    if (hits.length !== right.length) {
      throw new WrongAnswer(`query ${query} has ${hits.length} answers in place of ${right.length}`)
    }
    if (new Set(hits.map(({ key }) => key)).size !== hits.length) {
      throw new WrongAnswer(`query ${query} has an answer twice`)
    }
    if (hits.some(({ distance }, at) => distance < right[at].distance)) {
      throw new WrongAnswer(`query ${query} has an answer that an exact search has not`)
    }
    const last = right.at(-1)?.distance
    found += hits.filter(({ distance }) => distance <= last).length
    wanted += right.length
  }
  return found / wanted
}

function checkIds(ids, query, { k, rows, full }) {
  if (ids.length > k || (full && ids.length < k)) {
    throw new WrongAnswer(`query ${query} has ${ids.length} answers in place of ${k}`)
  }
  if (new Set(ids).size !== ids.length) {
    throw new WrongAnswer(`query ${query} has an answer twice: ${ids.join(' ')}`)
  }
  const odd = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= rows)
  if (odd !== undefined) throw new WrongAnswer(`query ${query} has the answer ${odd} of ${rows}`)
}

/** Fails when the point with the largest `ef` recalls too little. */
export function checkSweep(name, points) {
  const widest = points.reduce((best, point) => (point.ef > best.ef ? point : best))
  if (widest.recall < recallFloor) {
    throw new WrongAnswer(`${name} recalls only ${widest.recall.toFixed(3)} at ef ${widest.ef}`)
  }
}
