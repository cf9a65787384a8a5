// A process may end in the middle of its work, in any way, without a crash of ours.
import { join } from 'node:path'
import test from 'ava'
import { open } from '#ts/index.js'
import { ended, start } from './helpers/child.js'
import { temporaryDirectory } from './helpers/home.js'

const ways: readonly (readonly [
  way: string,
  code: number | null,
  signal: NodeJS.Signals | null,
])[] = [
  ['exit', 7, null],
  ['late', 7, null],
  ['throw', 1, null],
  ['abort', null, 'SIGABRT'],
  ['end', 0, null],
  ['drain', 0, null],
]

for (const [way, code, signal] of ways) {
  test.serial(`a process that ends by ${way} keeps what was acknowledged`, async (t) => {
    for (let round = 0; round < 3; round += 1) {
      const directory = join(temporaryDirectory(t), 'data')
      const end = await ended(start('leave', directory, way))
      t.is(end.code, code, end.stderr)
      t.is(end.signal, signal, end.stderr)
      t.true(end.stdout.startsWith('acknowledged'))
      const db = await open(directory, { lockTimeoutMs: 5000 })
      const docs = await db.openCollection('docs')
      t.true(await docs.has('acknowledged'))
      const count = await docs.count()
      t.is((count - 1) % 500, 0, 'a batch is torn')
      if (way === 'end' || way === 'drain') t.is(count, 50_001)
      await db.close()
    }
  })
}
