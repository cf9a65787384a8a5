// Worker threads come and go in the middle of work. The addon is loaded by the workers alone, so
// that it would be unloaded under its own threads if it could be.
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { open } from '#ts/index.js'
import { ended, start } from './helpers/child.js'
import { temporaryDirectory } from './helpers/home.js'

test.serial('20 workers are terminated one after another with 200 calls under way', async (t) => {
  const directory = temporaryDirectory(t)
  const end = await ended(start('workers', directory, '20', '100'))
  t.deepEqual([end.code, end.signal, end.stdout], [0, null, 'done'], end.stderr)
  for (let number = 0; number < 20; number += 1) {
    const db = await open(join(directory, String(number)))
    const docs = await db.openCollection('docs')
    t.true((await docs.count()) >= 1000)
    await db.close()
  }
})

test.serial('8 workers are terminated together', async (t) => {
  const end = await ended(start('workers', temporaryDirectory(t), '8', '100', 'all'))
  t.deepEqual([end.code, end.signal, end.stdout], [0, null, 'done'], end.stderr)
})

test.serial('a directory that a terminated worker had open can be opened again', async (t) => {
  const directory = temporaryDirectory(t)
  for (let round = 0; round < 3; round += 1) {
    const worker = new Worker(new URL('helpers/children/worker.js', import.meta.url), {
      workerData: { directory, pending: 20 },
    })
    await once(worker, 'message')
    await worker.terminate()
    const db = await open(directory, { lockTimeoutMs: 10_000 })
    t.true((await (await db.openCollection('docs')).count()) >= 1000)
    await db.close()
  }
})
