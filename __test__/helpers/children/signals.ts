// Makes many calls at a time under one signal, and prints `done`.
import { writeSync } from 'node:fs'
import { open } from '#ts/index.js'

const calls = 50

const db = await open(':memory:')
const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
const { signal } = new AbortController()
const together = (call: (at: number) => Promise<unknown>): Promise<unknown> =>
  Promise.all(Array.from({ length: calls }, (_, at) => call(at)))

await together((at) => docs.upsert({ key: `k${at}`, vector: [at, 0] }, { signal }))
await together(() => docs.search({ vector: [1, 2], signal }))
await together(() => docs.compact({ signal }))
await together((at) => docs.ingest([{ key: `i${at}`, vector: [at, 0] }], { signal }))
await db.close()
writeSync(1, 'done')
