// Writes a record to memory alone, prints `acknowledged`, and rests until it is killed. With `drain` it
// has nothing more to do, and prints how many milliseconds later it ended.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { open, type OpenOptions, type WriteOptions } from '#ts/index.js'

const [directory = '', scope = 'database', way = 'stay'] = process.argv.slice(2)
const memory = { durability: 'memory' } as const
const schema = { vectors: { dim: 2, metric: 'l2' } } as const
const [ofDatabase, ofWrite]: [OpenOptions, WriteOptions<typeof schema>] =
  scope === 'database' ? [memory, {}] : [{}, memory]

const db = await open(directory, ofDatabase)
const docs = await db.collection('docs', schema)
await docs.upsert({ key: 'a', vector: [1, 2] }, ofWrite)
const acknowledged = performance.now()
writeSync(1, 'acknowledged\n')

if (way === 'stay') setInterval(() => undefined, 1000)
else process.on('exit', () => void writeSync(1, String(performance.now() - acknowledged)))
