import test from 'ava'
import { isCairnError } from '#ts/index.js'
import { Lifetime } from '#ts/internal/lifetime.js'
import { Writes } from '#ts/native/writes.js'
import { withDetails } from '#ts/errors.js'

const same = <T>(value: T): T => value

function counted(inserted: number, updated: number): Float64Array {
  return Float64Array.of(inserted, updated, 0, 0)
}

function begin(writes: Writes, ids: number[]) {
  return writes.begin((id) => ids.push(id), same)
}

test('answers find their writes by number, in whatever order they come', async (t) => {
  const writes = new Writes(new Lifetime())
  const ids: number[] = []
  const [first, second] = [begin(writes, ids), begin(writes, ids)]
  t.is(new Set(ids).size, 2)
  writes.settle(Uint32Array.of(ids[1] as number), BigUint64Array.of(8n), counted(0, 3), [])
  writes.settle(Uint32Array.of(ids[0] as number), BigUint64Array.of(7n), counted(2, 0), [])
  t.deepEqual(await first, { version: 7n, inserted: 2, updated: 0, deleted: 0, skipped: 0 })
  t.deepEqual(await second, { version: 8n, inserted: 0, updated: 3, deleted: 0, skipped: 0 })
})

test('one call answers those that succeeded and those that failed', async (t) => {
  const writes = new Writes(new Lifetime())
  const ids: number[] = []
  const good = begin(writes, ids)
  const bad = writes.begin(
    (id) => ids.push(id),
    (error) => withDetails(error, {}, { explained: true }),
  )
  const error = { code: 'ERR_CLOSED', message: 'closed', retryable: false, details: [] } as const
  writes.settle(Uint32Array.of(ids[0] as number), BigUint64Array.of(1n), counted(1, 0), [
    { id: ids[1] as number, error },
  ])
  t.is((await good).inserted, 1)
  const thrown = await t.throwsAsync(bad)
  t.true(isCairnError(thrown, 'ERR_CLOSED') && thrown.details['explained'] === true)
})

test('closing waits for writes that are not answered', async (t) => {
  const lifetime = new Lifetime()
  const writes = new Writes(lifetime)
  const ids: number[] = []
  const written = begin(writes, ids)
  let closed = false
  const closing = lifetime.close(async () => {
    closed = true
  })
  await new Promise(setImmediate)
  t.false(closed)
  writes.settle(Uint32Array.of(ids[0] as number), BigUint64Array.of(1n), counted(1, 0), [])
  await Promise.all([written, closing])
  t.true(closed)
})

test('what cannot be submitted is not waited for', async (t) => {
  const lifetime = new Lifetime()
  const writes = new Writes(lifetime)
  const refuse = (): never => {
    throw new TypeError('refused')
  }
  t.throws(() => writes.begin(refuse, same), { instanceOf: TypeError })
  await t.notThrowsAsync(lifetime.close(async () => {}))
})

test('an answer to nobody is passed over', (t) => {
  const writes = new Writes(new Lifetime())
  t.notThrows(() => {
    writes.settle(Uint32Array.of(99), BigUint64Array.of(1n), counted(1, 0), [])
  })
})
