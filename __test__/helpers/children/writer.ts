// Writes batches without end and prints each acknowledgement: `<first row> <rows> <version>`.
// Arguments: directory, seed, rows of a batch, concurrent batches.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = '', seedText = '1', rowsText = '50', lanesText = '4'] = process.argv.slice(2)
const rows = Number(rowsText)
const seed = Number(seedText)
let next = 0

const db = await open(directory, { memtableBytes: 256 * 1024 })
const docs = await db.collection('docs', {
  vectors: { dim: 8, metric: 'l2' },
  fields: { n: 'int', text: 'text' },
})

// By hand, so that a line is in the pipe before anything else happens.
const print = (line: string): void => void writeSync(1, `${line}\n`)

async function lane(): Promise<void> {
  for (;;) {
    const first = next
    next += rows
    const batch = Array.from({ length: rows }, (_, offset) => rowAt(first + offset))
    const { version } = await docs.upsert(batch)
    print(`${first} ${rows} ${version}`)
  }
}

function rowAt(at: number): { key: string; vector: number[]; fields: { n: number; text: string } } {
  const vector = Array.from(
    { length: 8 },
    (_, component) => ((at * 31 + component + seed) % 101) / 7,
  )
  return { key: `k${at}`, vector, fields: { n: at, text: `text ${at} `.repeat(1 + (at % 7)) } }
}

print('ready')
await Promise.all(Array.from({ length: Number(lanesText) }, lane))
