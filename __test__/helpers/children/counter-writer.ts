// Writes one counter to twenty keys at a time, without end, and prints each acknowledgement:
// `<counter> <time in ms>`. Argument: directory.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = ''] = process.argv.slice(2)
const db = await open(directory, { memtableBytes: 64 * 1024, lockTimeoutMs: 10_000 })
const docs = await db.collection('docs', {
  key: 'u64',
  vectors: { dim: 8, metric: 'l2' },
  fields: { n: 'int', text: 'text' },
})
const first = await docs.get(0n)
let counter = Number(first?.fields.n ?? 0)
writeSync(1, 'ready\n')
for (;;) {
  counter += 1
  const n = counter
  const text = 'x'.repeat(n % 400)
  const row = (key: number) => ({
    key: BigInt(key),
    vector: Array.from({ length: 8 }, () => n),
    fields: { n, text },
  })
  const rows = Array.from({ length: 20 }, (_, key) => row(key))
  // Keys that come and go, so that there are rows to be merged away.
  await docs.upsert(n % 3 === 0 ? [...rows, row(20 + (n % 500))] : rows)
  // By hand, so that a line is in the pipe before anything else happens.
  writeSync(1, `${n} ${Number(process.hrtime.bigint()) / 1e6}\n`)
  if (n % 200 === 0) await docs.compact()
}
