// What a synchronous search takes it gives back: the block that answers share stays small.
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import test from 'ava'

const entry = new URL('../index.js', import.meta.url).href

const program = `
  const { open } = await import(process.argv[1])
  const db = await open(':memory:')
  const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' }, fields: { text: 'text' } })
  for (let at = 0; at < 16; at += 1) {
    await docs.upsert({ key: 'k' + at, vector: [at, 1], fields: { text: String(at).repeat(500_000) } })
  }
  const memory = () => {
    globalThis.gc()
    return process.memoryUsage().arrayBuffers
  }
  const query = { vector: [0, 1], k: 16 }
  const small = () => docs.searchSync({ ...query, select: false }).map((hit) => hit.key).join()
  const keys = small()
  const before = memory()
  const large = () => docs.searchSync(query).reduce((sum, hit) => sum + hit.fields.text.length, 0)
  const bytes = [large(), large()]
  for (let round = 0; round < 50 && memory() - before > 1e6; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const after = memory()
  console.log(JSON.stringify({ grown: after - before, bytes, same: keys === small() }))
  await db.close()`

test('a large answer of searchSync is not kept', (t) => {
  const args = ['--expose-gc', '--input-type=module', '-e', program, entry]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  t.is(status, 0, stderr)
  const { grown, bytes, same } = JSON.parse(stdout) as {
    grown: number
    bytes: number[]
    same: boolean
  }
  t.true(same)
  t.deepEqual(bytes, [11_000_000, 11_000_000])
  t.true(grown < 4 * 1024 * 1024, `${grown} bytes`)
})
