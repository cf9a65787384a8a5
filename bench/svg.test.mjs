import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawCurves, nines, speedTicks } from './lib/svg.mjs'

const text = { title: 'a < b & "c"', subtitle: 'some machine' }
const series = [
  {
    name: 'one',
    points: [
      { recall: 0.9, qps: 1000, min: 900, max: 1100 },
      { recall: 1, qps: 100 },
    ],
  },
  { name: 'two', points: [{ recall: 0.95, qps: 500 }] },
  { name: 'none', points: [] },
]

test('the axis of recall has equal steps for 0.9, 0.99, 0.999 and ends at 0.9999', () => {
  assert.ok(Math.abs(nines(0.99) - 2 * nines(0.9)) < 1e-9)
  assert.equal(nines(1), nines(0.9999))
})

test('ticks of speed are 1, 2 and 5 times powers of ten within the axis', () => {
  assert.deepEqual(speedTicks({ from: 2, to: 3.1 }), [100, 200, 500, 1000])
})

test('every engine with points has a curve and a line of the legend', () => {
  const picture = drawCurves(series, text)
  assert.match(picture, />one<\/text>/)
  assert.match(picture, />two<\/text>/)
  assert.doesNotMatch(picture, />none</)
  assert.equal(picture.match(/<path class="curve"/g).length, 2)
})

test('both axes are labelled and both schemes of colour are there', () => {
  const picture = drawCurves(series, text)
  assert.match(picture, /queries per second \(log scale\)/)
  assert.match(picture, /recall@10/)
  assert.match(picture, /prefers-color-scheme:dark/)
})

test('titles are escaped and every place is a number within the picture', () => {
  const picture = drawCurves(series, text)
  assert.match(picture, /<title>a &lt; b &amp; &quot;c&quot;<\/title>/)
  assert.doesNotMatch(picture, /NaN|Infinity|undefined/)
  for (const [, x] of picture.matchAll(/\bc?x1?="([^"]+)"/g)) assert.ok(x >= 0 && x <= 860, x)
  for (const [, y] of picture.matchAll(/\bc?y1?="([^"]+)"/g)) assert.ok(y >= 0 && y <= 480, y)
})

test('elements are closed', () => {
  const picture = drawCurves(series, text)
  for (const tag of ['svg', 'g', 'text', 'style', 'title']) {
    const opened = picture.match(new RegExp(`<${tag}[ >]`, 'g')).length
    assert.equal(picture.match(new RegExp(`</${tag}>`, 'g')).length, opened, tag)
  }
})
