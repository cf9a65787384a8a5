import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frontier, pointsOf, speedAt } from './lib/interpolate.mjs'

const points = [
  { recall: 0.9, qps: 10_000, min: 9000, max: 11_000 },
  { recall: 0.98, qps: 2500, min: 2000, max: 3000 },
  { recall: 0.99, qps: 1000, min: 900, max: 1100 },
]

test('between two points the logarithm of the speed is linear', () => {
  const { median, bound } = speedAt(points, 0.94)
  assert.equal(bound, false)
  assert.ok(Math.abs(median - Math.sqrt(10_000 * 2500)) < 1e-6)
})

test('the extremes are interpolated between the same two points', () => {
  const { min, max } = speedAt(points, 0.94)
  assert.ok(Math.abs(min - Math.sqrt(9000 * 2000)) < 1e-6)
  assert.ok(Math.abs(max - Math.sqrt(11_000 * 3000)) < 1e-6)
})

test('a point that has the very recall is taken as it is', () => {
  assert.deepEqual(speedAt(points, 0.98), { median: 2500, min: 2000, max: 3000, bound: false })
})

test('below the lowest recall the fastest point is a bound', () => {
  assert.deepEqual(speedAt(points, 0.5), { median: 10_000, min: 9000, max: 11_000, bound: true })
})

test('a recall that nobody reaches gives nothing', () => {
  assert.equal(speedAt(points, 0.995), null)
  assert.equal(speedAt([], 0.5), null)
})

test('points that others beat in both ways are left out', () => {
  const slow = { recall: 0.95, qps: 2000 }
  assert.deepEqual(
    frontier([...points, slow]).map(({ qps }) => qps),
    [10_000, 2500, 1000],
  )
})

test('of two points with one recall the faster stays', () => {
  assert.deepEqual(
    frontier([
      { recall: 1, qps: 1 },
      { recall: 1, qps: 2 },
    ]),
    [{ recall: 1, qps: 2 }],
  )
})

test('columns of text become points', () => {
  const row = { recall: '0.5', qps_median: '2', qps_min: '1', qps_max: '3', ef: '10' }
  assert.deepEqual(pointsOf([row]), [{ recall: 0.5, qps: 2, min: 1, max: 3 }])
})
