// What filters select: a share of the rows, anywhere or in one part of the space, and for which queries.
import { fillDistances, Missing } from '../lib/data.mjs'

/**
 * The columns: `anywhere` in no relation to the vectors, `near` the place in the order of distances from one row. Each
 * holds every number below `rows` once, so a range of it is a count of rows.
 *
 * @returns `Int32Array` by column.
 */
export function columnsOf({ rows, dim, matrix }) {
  const pivot = matrix.subarray(0, dim)
  const byDistance = distancesFrom(pivot, { rows, dim, matrix })
  return { anywhere: shuffled(rows), near: ranks(byDistance) }
}

/** Which of some queries lie nearest to the row that `near` is measured from. */
export function nearestQueries(base, queries, most) {
  const byDistance = distancesFrom(base.matrix.subarray(0, base.dim), queries)
  return order(byDistance).slice(0, most)
}

/**
 * One filter of a workload: `{ column, from, to }`, for the rows whose number is at least `from` and below `to`.
 *
 * @param workload - `random`; `correlated`, rows around the queries; `anti-correlated`, those farthest away.
 * @param share - Of the rows, above 0; all of them at 1.
 */
export function filterOf(workload, share, rows) {
  const count = Math.max(1, Math.round(rows * share))
  if (workload === 'random') return { column: 'anywhere', from: 0, to: count }
  if (workload === 'correlated') return { column: 'near', from: 0, to: count }
  if (workload === 'anti-correlated') return { column: 'near', from: rows - count, to: rows }
  throw new Missing(`there is no workload "${workload}"`)
}

/** The filter as a condition of SQL, as two of the peers take it. */
export function asSql({ column, from, to }) {
  return from === 0 ? `${column} < ${to}` : `${column} >= ${from}`
}

/**
 * The `k` nearest rows of each query among those of each filter, nearest first, ties by lower row. Distances are
 * computed once for all filters.
 *
 * @returns Per filter `{ ids, depth }`; ids of rows that are not there are -1.
 */
export function truths(base, queries, filters, columnValues, k) {
  const found = filters.map(() => new Int32Array(queries.length * k).fill(-1))
  for (const [number, vector] of queries.entries()) {
    const nearest = order(distancesFrom(vector, base))
    for (const [at, { column, from, to }] of filters.entries()) {
      const values = columnValues[column]
      let taken = 0
      for (const row of nearest) {
        if (values[row] < from || values[row] >= to) continue
        found[at][number * k + taken] = row
        taken += 1
        if (taken === k) break
      }
    }
  }
  return found.map((ids) => ({ ids, depth: k }))
}

function distancesFrom(vector, base) {
  const distances = new Float64Array(base.rows)
  fillDistances(distances, base, vector)
  return distances
}

/** Places of values by rising value, ties by lower place. Values are whole numbers: they are sorted with their places. */
function order(values) {
  const places = values.length
  const keyed = Float64Array.from(values, (value, place) => value * places + place).sort()
  return Uint32Array.from(keyed, (key) => key % places)
}

function ranks(values) {
  const found = new Int32Array(values.length)
  for (const [rank, place] of order(values).entries()) found[place] = rank
  return found
}

/** The numbers below `count` in an order of no meaning, the same in every run. */
function shuffled(count) {
  const numbers = Int32Array.from({ length: count }, (_, at) => at)
  let state = 1
  for (let at = count - 1; at > 0; at -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const other = Math.floor((state / 2 ** 32) * (at + 1))
    ;[numbers[at], numbers[other]] = [numbers[other], numbers[at]]
  }
  return numbers
}
