// Starts workers and terminates them in the middle of their work; ends with `done`.
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import process from 'node:process'
import { Worker } from 'node:worker_threads'

const [directory = '', workers = '20', pending = '100', together = '1'] = process.argv.slice(2)

async function life(number: number): Promise<void> {
  const worker = new Worker(new URL('worker.js', import.meta.url), {
    workerData: { directory: `${directory}/${number}`, pending: Number(pending) },
  })
  await once(worker, 'message')
  await worker.terminate()
}

if (together === '1') {
  for (let number = 0; number < Number(workers); number += 1) await life(number)
} else {
  await Promise.all(Array.from({ length: Number(workers) }, (_, number) => life(number)))
}
writeSync(1, 'done')
