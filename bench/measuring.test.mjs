import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSweep, recallOf, recallWithTies, WrongAnswer } from './lib/answers.mjs'
import { scan } from './lib/data.mjs'
import { quickened } from './lib/definitions.mjs'
import { figure, worst } from './lib/figure.mjs'
import { bytesPerRecord, memtablesMost } from './lib/formula.mjs'
import { cpuName, slug } from './lib/machine.mjs'
import { median, quantile } from './lib/numbers.mjs'
import { ratioOf, speedTable, spreadOf } from './lib/report.mjs'
import { sweep, turns, withAgain } from './lib/sweep.mjs'
import { syncsIn } from './ingest/batches.mjs'
import { parseSweepLine } from './native/cairn.mjs'

const truth = { ids: Int32Array.of(1, 2, 3, 4, 5, 6), depth: 3 }

test('medians and quantiles', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(quantile([5, 1, 4, 2, 3], 0.99), 5)
  assert.equal(quantile([5, 1, 4, 2, 3], 0.5), 3)
  assert.ok(Number.isNaN(median([])))
})

test('among rows with the same vector any is as right as the other', () => {
  const hits = (...pairs) => pairs.map(([key, distance]) => ({ key, distance }))
  const truth = [hits(['a', 1], ['b', 2], ['c', 2]), hits(['d', 0], ['e', 1], ['f', 5])]
  const other = [hits(['a', 1], ['c', 2], ['x', 2]), hits(['d', 0], ['f', 5], ['y', 6])]
  assert.equal(recallWithTies(truth, truth), 1)
  assert.equal(recallWithTies(other, truth), 5 / 6)
  const wrong = [
    [hits(['a', 1], ['b', 2])],
    [hits(['a', 1], ['b', 2], ['b', 2])],
    [hits(['a', 1], ['z', 1.5], ['b', 2])],
  ]
  for (const one of wrong) assert.throws(() => recallWithTies(one, truth), WrongAnswer)
})

test('recall counts true neighbours among the first k', () => {
  const rules = { k: 2, rows: 10 }
  assert.equal(
    recallOf(
      [
        [1, 2],
        [4, 6],
      ],
      truth,
      rules,
    ),
    0.75,
  )
  assert.equal(recallOf([[1], []], truth, rules), 0.25)
})

for (const { name, answer, full } of [
  { name: 'a row beyond the base', answer: [1, 10], full: false },
  { name: 'a negative row', answer: [-1, 2], full: false },
  { name: 'no number', answer: [1, Number.NaN], full: false },
  { name: 'a row twice', answer: [1, 1], full: false },
  { name: 'more than k', answer: [1, 2, 3], full: false },
  { name: 'fewer than k where that is wrong', answer: [1], full: true },
]) {
  test(`an answer with ${name} fails the run`, () => {
    assert.throws(() => recallOf([answer], truth, { k: 2, rows: 10, full }), WrongAnswer)
  })
}

test('too little recall at the largest ef fails the run', () => {
  const points = [
    { ef: 100, recall: 0.49 },
    { ef: 10, recall: 0.9 },
  ]
  assert.throws(() => checkSweep('x', points), /x recalls only 0.490 at ef 100/)
  checkSweep('x', [{ ef: 10, recall: 0.5 }])
})

test('a scan finds the nearest rows, ties by row', () => {
  const base = { rows: 5, dim: 1, matrix: Float32Array.of(4, 2, 2, 9, 1) }
  const queries = { rows: 2, matrix: Float32Array.of(2, 10) }
  assert.deepEqual([...scan(base, queries, 3)], [1, 2, 4, 3, 0, 1])
})

test('engines take turns, and every other round goes backwards', () => {
  const names = (round) =>
    turns(
      [
        { name: 'a', ef: [1, 2] },
        { name: 'b', ef: [1] },
        { name: 'c', ef: [1, 2], whole: true },
      ],
      round,
    )
      .map(({ engine, at }) => `${engine.name}${at}`)
      .join(' ')
  assert.equal(names(0), 'a0 b0 c0 a1')
  assert.equal(names(1), 'a1 c0 b0 a0')
})

test('our second run stands in the middle', () => {
  const engines = ['cairn', 'a', 'b', 'c'].map((name) => ({ name }))
  const order = withAgain(engines, 'again').map(({ name }) => name)
  assert.deepEqual(order, ['cairn', 'a', 'again', 'b', 'c'])
})

test('the first round checks answers and only the others are timed', async () => {
  const calls = []
  const engine = {
    name: 'a',
    ef: [10, 20],
    truth,
    rules: { k: 3, rows: 10 },
    pass(ef, verify) {
      calls.push([ef, verify])
      return {
        seconds: 0.5,
        queries: 2,
        latency: { p50: 1, p95: 1.5, p99: 2, p999: 3 },
        answers: [
          [1, 2, 3],
          [4, 5, 7],
        ],
      }
    },
  }
  const points = (await sweep([engine], 2)).get('a')
  assert.deepEqual(
    calls.map(([, verify]) => verify),
    [true, true, false, false, false, false],
  )
  assert.deepEqual(points[0].qps, [4, 4])
  assert.deepEqual(points[0].latency.p999, [3, 3])
  assert.ok(Math.abs(points[0].recall - 5 / 6) < 1e-12)
})

const row = (engine, recall, qps) => ({
  engine,
  version: '1',
  recall,
  qps_median: qps,
  qps_min: qps * 0.9,
  qps_max: qps * 1.1,
  build_s: 1,
  bytes: 2e6,
})

test('a ratio is taken over the best peer, and says whether ranges overlap', () => {
  const rows = [row('cairn', 0.99, 300), row('a', 0.99, 100), row('b', 0.99, 150)]
  const found = ratioOf(rows, { target: 0.99, ratio: 2, over: ['a', 'b', 'absent'] })
  assert.equal(found.peer, 'b')
  assert.equal(found.value, 2)
  assert.equal(found.reached, true)
  assert.equal(found.overlap, false)
  assert.equal(ratioOf(rows, { target: 0.999, ratio: 2, over: ['a'] }), null)
})

test('a run in which we differ from ourselves by more than 5 % is to be discarded', () => {
  const noisy = [row('cairn', 0.99, 100), row('cairn again', 0.99, 110)]
  assert.equal(spreadOf(noisy, [0.99]).discard, true)
  const quiet = [row('cairn', 0.99, 100), row('cairn again', 0.99, 101)]
  assert.equal(spreadOf(quiet, [0.99]).discard, false)
})

test('the table has one line an engine and none for our second run', () => {
  const text = speedTable(
    [row('cairn', 0.99, 100), row('cairn again', 0.99, 100)],
    [0.9, 0.99, 0.999],
  )
  assert.match(
    text,
    /\| cairn 1 \| >= 100 \(90 to 110\) \| 100 \(90 to 110\) \| not reached \| 1 s \| 2 MB \|/,
  )
  assert.doesNotMatch(text, /again/)
})

test('figures are judged by their median, or by their worst', () => {
  assert.equal(figure('x', 'ms', [1, 2, 30], { most: 10 }).reached, 'yes')
  assert.equal(worst('x', 'ms', [1, 2, 30], { most: 10 }).reached, 'no')
  assert.equal(worst('x', 'ms', [1, 20, 30], { least: 10 }).reached, 'no')
  assert.equal(figure('x', 'ms', [1]).reach, undefined)
})

test('the formula of memory', () => {
  assert.equal(bytesPerRecord({ dim: 128, m: 16 }), 512 + 132 + 68 / 15 + 24)
  assert.equal(bytesPerRecord({ dim: 1, m: 2, m0: 4 }), 64 + 20 + 12 + 24)
  const most = memtablesMost({ dim: 128, memtableBytes: 1_000_000, batchRows: 1000 })
  assert.equal(most, 3_000_000 + 1000 * (512 + 8 + 40))
})

test('processors have short names, with numbers where the name says little', () => {
  assert.equal(
    cpuName('Intel(R) Xeon(R) Platinum 8480+ CPU @ 2.00GHz'),
    'Intel Xeon Platinum 8480+',
  )
  const info = 'cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n'
  assert.equal(cpuName('AMD EPYC', info), 'AMD EPYC (family 26 model 2)')
  assert.equal(
    slug({ cpu: 'AMD EPYC (family 26 model 2)', cores: 2 }),
    'amd-epyc-family-26-model-2-2-cores',
  )
})

test('a quick definition is smaller in every engine', () => {
  const definition = {
    queries: 2000,
    ef: [1, 2, 3],
    engines: [{ name: 'a' }, { name: 'b', ef: [5, 6], queries: 300 }],
    quick: { queries: 200, ef: [2], engineQueries: 40 },
  }
  assert.equal(quickened(definition, false), definition)
  const { engines, queries, ef } = quickened(definition, true)
  assert.deepEqual({ queries, ef }, { queries: 200, ef: [2] })
  assert.deepEqual(engines, [{ name: 'a' }, { name: 'b', ef: [2], queries: 40 }])
})

test('lines of the native example', () => {
  const line = 'hnsw ef=  40 recall=0.9876 qps=   12345 (12000-12500) hops=1.0 distances=2'
  assert.deepEqual(parseSweepLine(line), { ef: 40, recall: 0.9876, qps: 12_345 })
  assert.equal(parseSweepLine('order=0.1 s'), null)
  assert.equal(parseSweepLine(line.replace('hnsw', 'qg  ')), null)
})

test('syncs in a trace are counted once, also when interrupted', () => {
  const trace = '1 fdatasync(3 <unfinished ...>\n2 fsync(4) = 0\n1 <... fdatasync resumed>) = 0\n'
  assert.equal(syncsIn(trace), 2)
})
