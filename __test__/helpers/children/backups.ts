// Writes batches of a hundred and backs up again and again, saying the id of each backup, until killed.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = '', target = ''] = process.argv.slice(2)
const db = await open(directory, { memtableBytes: 64 * 1024 })
const docs = await db.collection('docs', { vectors: { dim: 4, metric: 'cosine' } })
let batch = 0
void (async () => {
  for (;;) {
    const rows = Array.from({ length: 100 }, (_, n) => ({
      key: `k${batch * 100 + n}`,
      vector: [n + 1, 2, 3, 4],
    }))
    await docs.upsert(rows)
    batch += 1
  }
})()
for (;;) {
  const { id } = await db.backup(target)
  writeSync(1, `${id}\n`)
}
