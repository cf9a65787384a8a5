// A process that reads what another one writes: every look shows whole batches of one version, which never goes back.
import { deepStrictEqual, ok, rejects } from 'node:assert/strict'
import { writeSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { open } from '../../dist/index.js'
import { groupsOf, members, vectorOf } from './records.mjs'

const { directory, keyed, looks } = JSON.parse(process.argv[2])
process.on('SIGINT', () => {})

const keys = { one: new Uint8Array(32).fill(11), two: new Uint8Array(32).fill(12) }
const encryption = { current: () => ({ id: 'one', key: keys.one }), get: (id) => keys[id] }
const db = await open(directory, {
  mode: 'ro',
  refreshMs: 200,
  onWarning: () => undefined,
  ...(keyed ? { encryption } : {}),
})
const docs = await db.openCollection('docs')
let last = 0n

async function look() {
  const version = await db.refresh()
  ok(version >= last, `version ${version} behind ${last}`)
  last = version
  const found = await groupsOf(docs.scan({ vectors: true }))
  const [some] = found
  if (some !== undefined) {
    const [group, { v }] = some
    const hits = await docs.search({ vector: vectorOf(group, 0, v), k: 5, exact: true })
    ok(hits.length > 0)
  }
  deepStrictEqual((await docs.count()) % members, 0)
  await rejects(docs.delete('nobody'), { code: 'ERR_READ_ONLY' })
}

try {
  for (let n = 0; n < looks; n += 1) {
    await look()
    await delay(50)
  }
} catch (error) {
  // The key was rotated since: whoever reads on opens it again.
  if (error.code !== 'ERR_INVALID_ARGUMENT' || error.details.keyId === undefined) throw error
}
await db.close()
writeSync(1, `${JSON.stringify({ looks, version: String(last) })}\n`)
