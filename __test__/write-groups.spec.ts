// Writes that nobody awaits one by one.
import test from 'ava'
import { directoryHome, openFor } from './helpers/home.js'

const schema = { key: 'u64', vectors: { dim: 8, metric: 'l2' } } as const

test('writes of one turn that are not awaited one by one share syncs', async (t) => {
  const [turns, writes] = [20, 64]
  const db = await openFor(t, directoryHome.target(t))
  const docs = await db.collection('docs', schema)
  const syncs = async (): Promise<number> => (await docs.stats()).walSyncs
  const before = await syncs()
  for (let turn = 0; turn < turns; turn += 1) {
    const written = Array.from({ length: writes }, (_, at) =>
      docs.upsert({ key: BigInt(turn * writes + at), vector: new Float32Array(8).fill(at) }),
    )
    const results = await Promise.all(written)
    t.true(results.every(({ inserted }) => inserted === 1))
  }
  const shared = (await syncs()) - before
  t.true(shared >= turns, 'each turn was synced before it was acknowledged')
  // How many share one depends on how fast the disk is beside whoever writes: 20 to 200 syncs were seen.
  t.true(shared * 2 <= turns * writes, `${turns * writes} writes took ${shared} syncs`)
  t.is(await docs.count(), turns * writes)
})

test('writes that are awaited one by one are synced one by one', async (t) => {
  const db = await openFor(t, directoryHome.target(t))
  const docs = await db.collection('docs', schema)
  const { walSyncs } = await docs.stats()
  for (let at = 0; at < 20; at += 1) {
    await docs.upsert({ key: BigInt(at), vector: new Float32Array(8) })
  }
  t.is((await docs.stats()).walSyncs - walSyncs, 20)
})
