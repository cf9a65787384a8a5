import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asSql, columnsOf, filterOf, nearestQueries, truths } from './filtered/workloads.mjs'

const rows = 200
const dim = 3
let state = 7
const random = () => (state = (state * 48_271) % 2_147_483_647) % 256
const matrix = Float32Array.from({ length: rows * dim }, random)
const base = { rows, dim, matrix }
const queries = { rows: 20, dim, matrix: Float32Array.from({ length: 20 * dim }, random) }
const vectorOf = ({ matrix }, row) => matrix.subarray(row * dim, (row + 1) * dim)
const squared = (a, b) => a.reduce((sum, x, at) => sum + (x - b[at]) ** 2, 0)

test('each column holds every number once, and a share of it is as many rows', () => {
  for (const values of Object.values(columnsOf(base))) {
    assert.deepEqual(
      [...values].sort((a, b) => a - b),
      Array.from({ length: rows }, (_, at) => at),
    )
  }
  for (const workload of ['random', 'correlated', 'anti-correlated']) {
    const { from, to } = filterOf(workload, 0.05, rows)
    assert.equal(to - from, 10)
  }
  assert.throws(() => filterOf('other', 0.5, rows), /no workload/)
})

test('correlated filters have the rows around the queries, the others those far away', () => {
  const { near } = columnsOf(base)
  const pivot = vectorOf(base, 0)
  const mean = ({ from, to }) => {
    const found = [...near.keys()].filter((row) => near[row] >= from && near[row] < to)
    return found.reduce((sum, row) => sum + squared(pivot, vectorOf(base, row)), 0) / found.length
  }
  assert.ok(
    mean(filterOf('correlated', 0.3, rows)) < mean(filterOf('anti-correlated', 0.3, rows)) / 2,
  )
  const [first, second] = nearestQueries(base, queries, 2)
  const far = Array.from({ length: queries.rows }, (_, at) => squared(pivot, vectorOf(queries, at)))
  const sorted = far.toSorted((a, b) => a - b)
  assert.deepEqual([far[first], far[second]], sorted.slice(0, 2))
})

test('the truth of a filter is what a scan of its rows finds', () => {
  const columns = columnsOf(base)
  const filters = [filterOf('random', 0.1, rows), filterOf('anti-correlated', 0.01, rows)]
  const asked = Array.from({ length: queries.rows }, (_, at) => vectorOf(queries, at))
  const found = truths(base, asked, filters, columns, 5)
  for (const [at, { column, from, to }] of filters.entries()) {
    for (const [number, vector] of asked.entries()) {
      const wanted = Array.from({ length: rows }, (_, row) => row)
        .filter((row) => columns[column][row] >= from && columns[column][row] < to)
        .sort(
          (a, b) =>
            squared(vector, vectorOf(base, a)) - squared(vector, vectorOf(base, b)) || a - b,
        )
        .slice(0, 5)
      const ids = [...found[at].ids.subarray(number * 5, number * 5 + 5)]
      assert.deepEqual(ids, [...wanted, -1, -1, -1, -1, -1].slice(0, 5))
    }
  }
})

test('a filter as a condition of SQL', () => {
  assert.equal(asSql({ column: 'anywhere', from: 0, to: 3 }), 'anywhere < 3')
  assert.equal(asSql({ column: 'near', from: 5, to: 9 }), 'near >= 5')
})
