// What the soak calls drift.
import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, checkRecord, recordOf } from './soak/records.mjs'
import { drift, slope } from './soak/drift.mjs'

const samples = (count, value) =>
  Array.from({ length: count }, (_, index) => ({ at: 5 * index, value: value(index) }))

test('a figure that stays has no slope, whatever single samples say', () => {
  assert.equal(slope(samples(50, () => 7)), 0)
  const noisy = samples(51, (index) => 100 + (index % 10 === 3 ? 900 : index % 3))
  assert.ok(Math.abs(slope(noisy)) < 0.01)
})

test('a leak is seen under noise, and is what it was over the whole time', () => {
  const leaking = samples(600, (index) => 1000 + 2 * index + ((index * 37) % 50))
  const { gained } = drift(leaking, 60)
  assert.ok(Math.abs(gained - 2 * 588) < 40, String(gained))
})

test('what is gained while it warms up does not count', () => {
  const warming = samples(100, (index) => Math.min(index, 10) * 1000)
  assert.equal(drift(warming, 60).gained, 0)
  // Of a short run a third at most is left out.
  assert.ok(
    drift(
      samples(12, (index) => index * 10),
      1000,
    ).gained > 50,
  )
})

test('few samples are no drift', () => {
  assert.equal(drift([], 5).gained, 0)
  assert.equal(
    drift(
      samples(1, () => 3),
      5,
    ).gained,
    0,
  )
})

test('records are what their stamps say, and nothing else', () => {
  const state = { v: 5, f: 9 }
  const { key, vector, fields } = recordOf(3, 2, state)
  const stored = { key, vector: Float32Array.from(vector), fields, version: 1n }
  assert.deepEqual(checkRecord(stored), { group: 3, member: 2, ...state })
  const other = Float32Array.from(vector)
  other[1] += 1
  assert.throws(() => checkRecord({ ...stored, vector: other }), /vector/)
  assert.throws(() => checkRecord({ ...stored, fields: { ...fields, text: 'x' } }), /fields/)
})

test('a seed gives one sequence', () => {
  const [one, two] = [new Random(5), new Random(5)]
  for (let n = 0; n < 100; n += 1) assert.equal(one.below(1000), two.below(1000))
})
