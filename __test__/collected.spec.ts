// A database that nobody holds any more is closed: its directory is free again, whatever it had planned.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import test from 'ava'
import { temporaryDirectory } from './helpers/home.js'

const entry = new URL('../index.js', import.meta.url).href

const program = `
  const { open } = await import(process.argv[1])
  const [, , directory, mode] = process.argv
  const schema = { vectors: { dim: 2, metric: 'l2' } }
  const first = await open(directory)
  const docs = await first.collection('docs', schema)
  await docs.upsert({ key: 'a', vector: [1, 2] })
  await first.close()
  let there = true
  const watch = new FinalizationRegistry(() => (there = false))
  const forget = async () => {
    const db = await open(directory, mode === 'ro' ? { mode, refreshMs: 50 } : { retainVersions: 3 })
    watch.register(db)
    const docs = await db.openCollection('docs')
    await docs.get('a')
  }
  await forget()
  for (let round = 0; there && round < 200; round += 1) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const again = await open(directory, { lockTimeoutMs: 5000 })
  await again.close()
  console.log(there ? 'kept' : 'collected')`

for (const mode of ['rw', 'ro']) {
  test(`a forgotten database is collected, opened '${mode}'`, (t) => {
    const target = join(temporaryDirectory(t), 'data')
    const args = ['--expose-gc', '--input-type=module', '-e', program, entry, target, mode]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    t.is(status, 0, stderr)
    t.is(stdout.trim(), 'collected')
  })
}
