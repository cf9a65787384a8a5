// A worker thread with many calls under way when it is terminated.
import { parentPort, workerData } from 'node:worker_threads'
import { open } from '#ts/index.js'

const { directory, pending } = workerData as { directory: string; pending: number }
const db = await open(directory)
const docs = await db.collection('docs', { vectors: { dim: 32, metric: 'l2' } })
const vectors = new Float32Array(1000 * 32).fill(1)
await docs.upsert({ keys: Array.from({ length: 1000 }, (_, at) => `k${at}`), vectors })
for (let at = 0; at < pending; at += 1) {
  void docs.upsert({ key: `p${at}`, vector: vectors.subarray(0, 32) })
  void docs.search({ vector: vectors.subarray(0, 32), k: 100, exact: true })
}
parentPort?.postMessage('busy')
setInterval(() => undefined, 1000)
