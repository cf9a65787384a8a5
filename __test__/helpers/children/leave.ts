// Leaves in the middle of its work, in the way its second argument says.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = '', way = 'exit'] = process.argv.slice(2)
const db = await open(directory, { memtableBytes: 64 * 1024 })
const docs = await db.collection('docs', { vectors: { dim: 16, metric: 'l2' } })
await docs.upsert({ key: 'acknowledged', vector: new Float32Array(16) })
writeSync(1, 'acknowledged\n')

const keys = Array.from({ length: 500 }, (_, at) => `k${at}`)
const vectors = new Float32Array(500 * 16).fill(1)
for (let at = 0; at < 100; at += 1) {
  void docs.upsert({ keys: keys.map((key) => `${key}-${at}`), vectors })
  void docs.search({ vector: vectors.subarray(0, 16), exact: true })
}
void db.compact().catch(() => undefined)

if (way === 'exit') process.exit(7)
if (way === 'abort') process.abort()
if (way === 'throw') throw new Error('left')
if (way === 'late') setTimeout(() => process.exit(7), 30)
if (way === 'end') void db.close()
// 'drain': the process ends by itself when everything is done, without a close.
