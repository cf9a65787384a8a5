// Handles of the process: few of them are an error like any other, and none are left over.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import test from 'ava'
import { temporaryDirectory } from './helpers/home.js'

// Handles are counted in /proc, which is Linux's.
const linux = process.platform === 'linux' ? test : test.skip
const entry = new URL('../index.js', import.meta.url).href

linux('where there are too few handles, calls fail by name, and work when there are some', (t) => {
  const program = `
    const { closeSync, openSync } = await import('node:fs')
    const { open } = await import(process.argv[1])
    const schema = { vectors: { dim: 2, metric: 'l2' } }
    const db = await open(process.argv[2])
    const docs = await db.collection('docs', schema)
    await docs.upsert({ key: 'a', vector: [1, 2] })
    const taken = []
    const answers = []
    try { for (;;) taken.push(openSync('/dev/null')) } catch (error) { answers.push(error.code) }
    const tried = async (call) => { try { await call(); answers.push('worked') } catch (error) { answers.push(error.code) } }
    await tried(() => open(process.argv[2] + '-other'))
    await tried(() => open(process.argv[2], { mode: 'ro' }))
    await tried(() => db.createCollection('more', schema))
    answers.push((await docs.get('a')).key)
    for (const handle of taken) closeSync(handle)
    await docs.upsert({ key: 'b', vector: [1, 2] })
    await docs.compact()
    answers.push(await docs.count())
    await db.close()
    console.log(JSON.stringify(answers))`
  const script = 'ulimit -n 64 && exec "$0" --input-type=module -e "$@"'
  const target = join(temporaryDirectory(t), 'data')
  const args = ['-c', script, process.execPath, program, entry, target]
  const { status, stdout, stderr } = spawnSync('sh', args, { encoding: 'utf8' })
  t.is(status, 0, stderr)
  t.deepEqual(JSON.parse(stdout), ['EMFILE', 'ERR_IO', 'ERR_IO', 'ERR_IO', 'a', 2])
})

linux('a thousand opens, failed ones among them, leave no handle behind', (t) => {
  const program = `
    const { readdirSync, writeFileSync } = await import('node:fs')
    const { open } = await import(process.argv[1])
    const count = () => readdirSync('/proc/self/fd').length
    const directory = process.argv[2]
    writeFileSync(directory + '-file', 'text')
    const round = async (n) => {
      const db = await open(directory)
      const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
      if (n % 20 === 0) await docs.upsert({ key: 'k' + n, vector: [n, 1] })
      const reader = await open(directory, { mode: 'ro', refreshMs: 0 })
      await open(directory).catch(() => undefined)
      await open(directory + '-file').catch(() => undefined)
      await reader.close()
      await db.close()
    }
    for (let n = 0; n < 50; n += 1) await round(n)
    const before = count()
    for (let n = 50; n < 300; n += 1) await round(n)
    console.log(JSON.stringify([before, count()]))`
  const target = join(temporaryDirectory(t), 'data')
  const args = ['--input-type=module', '-e', program, entry, target]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  t.is(status, 0, stderr)
  const [before, after] = JSON.parse(stdout) as [number, number]
  t.true(after <= before, `${after} handles, ${before} before`)
})
