// The child process of the demo: writes batches, several at a time, until somebody kills it.
//
// Usage: node demo/writer.mjs <directory>. Prints `begin <batch>` before a batch is handed over, and
// `ack <key>` for each of its records once the batch is acknowledged, that is, synced.
import { writeSync } from 'node:fs'
import { open } from 'cairndb'
import { batchRows, stream, streamKey } from './database.mjs'
import { dim, readImages, streamRecord } from './images.mjs'

/** Batches under way at the same time, so that a kill always meets some. */
const underWay = 4

const standardOutput = 1
const images = readImages()
const db = await open(process.argv[2], { durability: 'sync' })
const records = await db.collection(stream.name, stream.schema)

// Should the demo go away, so does its writer.
process.stdin.on('end', () => process.exit(1)).resume()

let next = 0
await Promise.all(Array.from({ length: underWay }, writeForEver))

async function writeForEver() {
  for (;;) {
    const batch = next
    next += 1
    const columns = columnsOf(batch)
    say(`begin ${batch}\n`)
    await records.add(columns)
    say(columns.keys.map((key) => `ack ${key}\n`).join(''))
  }
}

/** Written at once, so that nothing acknowledged stays behind in a buffer when the kill comes. */
function say(text) {
  try {
    writeSync(standardOutput, text)
  } catch {
    process.exit(1) // Nobody listens any more.
  }
}

function columnsOf(batch) {
  const keys = []
  const label = []
  const vectors = new Float32Array(batchRows * dim)
  for (let row = 0; row < batchRows; row += 1) {
    const record = streamRecord(images, batch * batchRows + row)
    keys.push(streamKey(batch, row))
    label.push(record.label)
    vectors.set(record.vector, row * dim)
  }
  return { keys, vectors, fields: { label } }
}
