// Takes gigabytes that are megabytes as long as they are compressed, and tells how that ended and what it took.
import { createReadStream } from 'node:fs'
import process from 'node:process'
import { importFrom } from '#ts/io/index.js'
import { isCairnError, open, restore } from '#ts/index.js'

const [what = '', bomb = '', target = ''] = process.argv.slice(2)

async function take(): Promise<unknown> {
  if (what === 'restore') return restore(bomb, target)
  if (what === 'restore-stream') return restore(createReadStream(bomb), target)
  const db = await open(target)
  const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  try {
    return await importFrom(docs, bomb, { format: 'jsonl' })
  } finally {
    await db.close()
  }
}

const before = process.memoryUsage.rss()
const since = performance.now()
const error: unknown = await take().catch((reason: unknown) => reason)
const { maxRSS } = process.resourceUsage()
const code = isCairnError(error) ? error.code : String(error)
const growth = (maxRSS * 1024 - before) / 1024 / 1024
console.log(JSON.stringify({ code, growth, seconds: (performance.now() - since) / 1000 }))
