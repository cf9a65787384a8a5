// What the suite of the demo makes of what the demo does.
import assert from 'node:assert/strict'
import test from 'node:test'
import { judge } from './demo.mjs'

const good = {
  code: 0,
  seconds: 12,
  lines: [
    '   recall@10                            99.4 %  default settings, against exact: true',
    'Done in 10.9 s: everything held',
    'Everything that was written is removed again.',
  ],
}

const broken = (run) =>
  judge({ ...good, ...run })
    .filter(({ why }) => why !== '')
    .map(({ why }) => why)

test('a demo that holds keeps every promise', () => {
  assert.deepEqual(broken({}), [])
})

test('a demo that fails, dawdles or says nothing breaks the promise that it should', () => {
  assert.deepEqual(broken({ code: 1 }), ['it ended with 1'])
  assert.deepEqual(broken({ code: 'SIGTERM' }), ['it ended with SIGTERM'])
  assert.deepEqual(broken({ seconds: 30 }), ['it took 30.0 s'])
  assert.deepEqual(broken({ lines: good.lines.slice(1) }), ['there is no such line'])
  assert.deepEqual(broken({ lines: good.lines.slice(0, 1) }), ['it has no last line'])
  const failed = [good.lines[0], 'Done in 10.9 s: 2 checks FAILED']
  assert.deepEqual(broken({ lines: failed }), ['Done in 10.9 s: 2 checks FAILED'])
})
