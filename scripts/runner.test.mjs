// The runner counts what the test programs print and hides nothing.
import assert from 'node:assert/strict'
import test from 'node:test'
import { addonIn } from './build.mjs'
import { cargo, none, settle, tap } from './counts.mjs'
import { leftOut, suites } from './suites.mjs'
import { summary } from './test.mjs'

function count(read, text) {
  const counts = none()
  for (const line of text.split('\n')) read(counts, line)
  delete counts.open
  return counts
}

test("cargo's results are summed over all test binaries, coloured or not", () => {
  const text = [
    'running 3 tests',
    'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s',
    'test result: \u001b[31mFAILED\u001b[0m. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out',
  ].join('\n')
  assert.deepEqual(count(cargo, text), { passed: 7, failed: 2, ignored: 1, failures: [] })
})

test('what failed tests of cargo printed is kept, test by test', () => {
  const text = [
    'test a::b ... FAILED',
    'failures:',
    '',
    '---- a::b stdout ----',
    '',
    "thread 'a::b' panicked at src/a.rs:3:5:",
    'seed 7',
    '---- c stdout ----',
    'no luck',
    'failures:',
    '    a::b',
    '    c',
    'test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out',
  ].join('\n')
  const failures = [
    ['a::b', "thread 'a::b' panicked at src/a.rs:3:5:", 'seed 7'],
    ['c', 'no luck'],
  ]
  assert.deepEqual(count(cargo, text), { passed: 1, failed: 2, ignored: 0, failures })
})

test('TAP lines are counted once each; parts, skips and todos are not passes', () => {
  const text = [
    'TAP version 13',
    'ok 1 - opens',
    '    not ok 1 - a part of a test',
    'not ok 2 - closes',
    '  ---',
    "  message: 'it was open'",
    '# seed 7',
    '    ok 1 - a part of the next',
    'ok 3 - later # SKIP no disk',
    'not ok 4 - some day # TODO',
    'ok 5 - a \\# in the title',
    'ok 6',
    '1..6',
  ].join('\n')
  assert.deepEqual(count(tap, text), {
    passed: 3,
    failed: 1,
    ignored: 2,
    failures: [['closes', '  ---', "  message: 'it was open'"]],
  })
})

test('a suite that fails without a failed test, or that runs none, is a failure', () => {
  const some = { passed: 2, failed: 0, ignored: 0 }
  assert.equal(settle(some, 0).failed, 0)
  assert.deepEqual(settle(some, 101), { ...some, failed: 1, note: 'ended with code 101' })
  assert.deepEqual(settle(none(), 0), { ...none(), failed: 1, note: 'ran no test' })
  assert.equal(settle({ ...some, failed: 3 }, 1).failed, 3)
})

test('the summary names what was left out and ends with the sum', () => {
  const lines = summary([
    { suite: { name: 'rust' }, passed: 5, failed: 0, ignored: 1, seconds: 2 },
    { suite: { name: 'types' }, passed: 0, failed: 1, ignored: 0, seconds: 1, note: 'ran no test' },
    { suite: { name: 'neon' }, reason: 'qemu-aarch64 is absent (apt-get install qemu-user)' },
  ]).split('\n')
  assert.deepEqual(lines.slice(1), [
    'Suites, 0.1 minutes',
    '  rust   5 passed, 1 ignored in 2.0 s',
    '  types  0 passed, 1 FAILED (ran no test) in 1.0 s',
    '  neon   left out: qemu-aarch64 is absent (apt-get install qemu-user)',
    '',
    '5 passed, 1 failed',
  ])
})

test('the summary repeats what failed, so that the end of a long log is enough', () => {
  const failures = [['it holds', ...Array.from({ length: 50 }, (_, at) => `line ${at}`)]]
  const result = { passed: 5, failed: 1, ignored: 0, seconds: 2, failures }
  const lines = summary([{ suite: { name: 'rust' }, ...result }]).split('\n')
  assert.deepEqual(lines.slice(1, 4), ['Failed', '  rust: it holds', '    line 0'])
  assert.equal(lines[22], '    line 19')
  assert.deepEqual(lines.slice(24, 26), [
    'Suites, 0.0 minutes',
    '  rust  5 passed, 1 FAILED in 2.0 s',
  ])
})

test('an optional suite runs when all are asked for or when it is named, and only with what it needs', () => {
  const there = { name: 'a thing', how: 'get it', there: () => true }
  const absent = { ...there, there: () => false }
  const suite = { name: 'extra', optional: true, needs: [there] }
  assert.match(leftOut(suite), /not asked for/)
  assert.equal(leftOut(suite, { all: true }), null)
  assert.equal(leftOut(suite, { named: ['extra'] }), null)
  assert.equal(leftOut({ ...suite, needs: [absent] }, { all: true }), 'a thing is absent (get it)')
  assert.equal(leftOut(suite, { named: ['rust'], all: true }), 'not named')
})

test('the table of suites is complete: distinct names, a purpose, a command and a reader each', () => {
  assert.equal(new Set(suites.map((suite) => suite.name)).size, suites.length)
  for (const { name, about, command, counts } of suites) {
    assert.ok(about && command.length > 0 && (counts === cargo || counts === tap), name)
  }
})

test("the addon's path is taken from cargo's messages", () => {
  const artifact = (name, ...filenames) =>
    JSON.stringify({ reason: 'compiler-artifact', target: { name }, filenames })
  assert.equal(
    addonIn(artifact('cairn_napi', '/t/fast/libcairn_napi.so')),
    '/t/fast/libcairn_napi.so',
  )
  assert.equal(
    addonIn(artifact('cairn_napi', 'C:\\t\\cairn_napi.dll.lib', 'C:\\t\\cairn_napi.dll')),
    'C:\\t\\cairn_napi.dll',
  )
  assert.equal(addonIn(artifact('cairn_engine', '/t/fast/libcairn_engine.rlib')), undefined)
  assert.equal(addonIn('   Compiling cairn-napi v0.1.0'), undefined)
})
