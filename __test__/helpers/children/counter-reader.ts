// Reads the twenty counters of `counter-writer` again and again and prints what it sees:
// `<counter> <time before refresh> <time behind it>`, or `<what is wrong>`. Argument: directory.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = ''] = process.argv.slice(2)
const db = await open(directory, { mode: 'ro', refreshMs: 0 })
const docs = await db.openCollection<{
  key: 'u64'
  vectors: { dim: 8; metric: 'l2' }
  fields: { n: 'int' }
}>('docs')
const keys = BigUint64Array.from({ length: 20 }, (_, key) => BigInt(key))
// One clock for all processes; the wall clock at their starts is not exact enough.
const now = (): number => Number(process.hrtime.bigint()) / 1e6
const print = (line: string): void => void writeSync(1, `${line}\n`)
print('ready')
for (let round = 0; ; round += 1) {
  const before = now()
  await db.refresh()
  const behind = now()
  const records = await docs.get(keys, { vectors: true })
  const counters = new Set(records.map((record) => Number(record?.fields.n ?? 0)))
  for (const record of records) {
    if (record?.vector.some((component) => component !== Number(record.fields.n)))
      print('a torn record')
  }
  if (counters.size === 1) print(`${[...counters].join('')} ${before} ${behind}`)
  else print(`mixed ${[...counters].join('-')}`)
  if (round % 10 === 0) {
    // Slow, so that segments are merged away below it.
    const seen = new Set<number>()
    for await (const { key, fields } of docs.scan()) if (key < 20n) seen.add(Number(fields.n ?? 0))
    const [hit] = await docs.search({ vector: Array.from({ length: 8 }, () => 1e9), k: 1 })
    if (seen.size !== 1) print(`mixed in a scan ${[...seen].join('-')}`)
    if (Number(hit?.fields.n ?? 0) < Math.max(...seen)) print('a search went back')
  }
  await new Promise((resolve) => setTimeout(resolve, 2))
}
