// Slow searches are told with what they did; quick ones are not.
import { once, EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { open, type SlowQuery } from '#ts/index.js'
import { fails } from './helpers/expect.js'

const schema = { vectors: { dim: 4, metric: 'l2' } } as const

test('a search at the threshold is told with its plan, of both ways to ask', async (t) => {
  const told = new EventEmitter()
  const db = await open(':memory:', {
    slowQueryMs: 0,
    onSlowQuery: (slow) => told.emit('slow', slow),
  })
  const docs = await db.collection('docs', schema)
  await docs.upsert([1, 2, 3].map((n) => ({ key: `k${n}`, vector: [n, 0, 0, 0] })))
  const vector = new Float32Array([1, 0, 0, 0])
  for (const search of [
    () => docs.search({ vector, k: 2 }),
    () => docs.searchSync({ vector, k: 2 }),
  ]) {
    const heard = once(told, 'slow') as Promise<[SlowQuery]>
    const answer = search()
    vector.fill(0)
    const [hits, [slow]] = await Promise.all([answer, heard])
    t.is(hits[0]?.key, 'k1')
    t.is(slow.collection, 'docs')
    t.true(slow.elapsedMs >= 0)
    t.deepEqual(slow.plan?.keys, ['k1', 'k2'])
    t.is(slow.plan?.stages.length, 1)
    vector[0] = 1
  }
  await db.close()
})

test('quick searches are not told, and what the listener throws fails nothing', async (t) => {
  const slow: SlowQuery[] = []
  const quick = await open(':memory:', {
    slowQueryMs: 60_000,
    onSlowQuery: (each) => slow.push(each),
  })
  const docs = await quick.collection('docs', schema)
  await docs.search({ vector: [1, 0, 0, 0] })
  await delay(20)
  t.deepEqual(slow, [])
  await quick.close()
  const angry = await open(':memory:', {
    slowQueryMs: 0,
    onSlowQuery: () => {
      throw new Error('on purpose')
    },
  })
  const more = await angry.collection('docs', schema)
  t.deepEqual(await more.search({ vector: [1, 0, 0, 0] }), [])
  await delay(20)
  await angry.close()
})

test('the threshold is checked, and needs nobody to listen', async (t) => {
  await fails(t, () => open(':memory:', { slowQueryMs: -1 }), 'ERR_INVALID_ARGUMENT')
  await fails(t, () => open(':memory:', { onSlowQuery: 7 } as object), 'ERR_INVALID_ARGUMENT')
})
