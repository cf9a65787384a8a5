// Writes that nobody awaits one by one.
import test from 'ava'
import { directoryHome, openFor } from './helpers/home.js'

const schema = { key: 'u64', vectors: { dim: 8, metric: 'l2' } } as const

test('writes of one turn that are not awaited one by one share syncs', async (t) => {
  const [turns, writes] = [20, 64]
  const db = await openFor(t, directoryHome.target(t))
  const docs = await db.collection('docs', schema)
  const syncs = async (): Promise<number> => (await docs.stats()).walSyncs
  let written = 0
  const round = async (): Promise<number> => {
    const before = await syncs()
    for (let turn = 0; turn < turns; turn += 1) {
      const answers = Array.from({ length: writes }, (_, at) =>
        docs.upsert({ key: BigInt(written + at), vector: new Float32Array(8).fill(at) }),
      )
      const results = await Promise.all(answers)
      t.true(results.every(({ inserted }) => inserted === 1))
      written += writes
    }
    const shared = (await syncs()) - before
    t.true(shared >= turns, 'each turn was synced before it was acknowledged')
    return shared
  }
  // Beside other work the disk may be done before the caller has written on: 195 syncs were seen once.
  const rounds: number[] = []
  while (rounds.length < 10 && !rounds.some((shared) => shared * 8 <= turns * writes)) {
    rounds.push(await round())
  }
  t.true(
    Math.min(...rounds) * 8 <= turns * writes,
    `${turns * writes} writes took ${rounds.join(', ')} syncs`,
  )
  t.is(await docs.count(), written)
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
