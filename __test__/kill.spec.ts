// A process that writes is killed without warning: everything acknowledged is there again, every
// batch is whole or absent.
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import test from 'ava'
import { open } from '#ts/index.js'
import { ended, start } from './helpers/child.js'
import { temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const batchRows = 50
const next = seeded(20_260)

for (let round = 1; round <= 5; round += 1) {
  const wait = 200 + Math.floor(next() * 600)
  test.serial(
    `round ${round}: killed after ${wait} ms, nothing acknowledged is lost`,
    async (t) => {
      const directory = join(temporaryDirectory(t), 'data')
      // Twice on the same directory: the second writer recovers what the first left, and is killed too.
      const acknowledged = new Map<number, bigint>()
      for (let life = 0; life < 2; life += 1) {
        const child = start('writer', directory, String(round), String(batchRows), '4')
        const end = ended(child)
        // From the moment it writes, however long it took to start.
        child.stdout?.once('data', () => setTimeout(() => child.kill('SIGKILL'), wait))
        const { stdout, stderr, signal } = await end
        t.is(signal, 'SIGKILL', stderr)
        const [ready, ...lines] = stdout.split('\n').slice(0, -1)
        t.is(ready, 'ready')
        for (const line of lines) {
          const [first = '', , version = ''] = line.split(' ')
          acknowledged.set(Number(first), BigInt(version))
        }
      }
      t.true(acknowledged.size > 0)

      const db = await open(directory, { lockTimeoutMs: 5000 })
      t.teardown(() => db.close())
      const docs = await db.openCollection<{
        vectors: { dim: 8; metric: 'l2' }
        fields: { n: 'int'; text: 'text' }
      }>('docs')
      const present = new Map<number, Set<number>>()
      for await (const { key, fields } of docs.scan()) {
        const at = Number(key.slice(1))
        t.is(fields.n, at)
        t.is(fields.text, `text ${at} `.repeat(1 + (at % 7)))
        const batch = Math.floor(at / batchRows) * batchRows
        present.set(batch, (present.get(batch) ?? new Set()).add(at))
      }
      for (const first of acknowledged.keys())
        t.is(present.get(first)?.size, batchRows, `batch ${first}`)
      for (const [first, rows] of present) t.is(rows.size, batchRows, `batch ${first} is torn`)
      t.is(await docs.count(), present.size * batchRows)
      const sample = [...acknowledged.keys()].slice(-20)
      for (const first of sample) {
        const record = await docs.get(`k${first}`, { vectors: true })
        t.deepEqual(
          [...(record?.vector ?? [])],
          Array.from({ length: 8 }, (_, component) =>
            Math.fround(((first * 31 + component + round) % 101) / 7),
          ),
        )
        const [hit] = await docs.search({ vector: record?.vector ?? [], k: 1, exact: true })
        t.is(hit?.distance, 0)
      }
      await delay(0)
    },
  )
}
