// Exports many records to a file and imports them again, and prints by how many MiB the memory of JavaScript
// grew meanwhile.
// Arguments: directory, name of the file, rows, components of a vector.
import { join } from 'node:path'
import process from 'node:process'
import { open } from '#ts/index.js'
import { exportTo, importFrom } from '#ts/io/index.js'

const [directory = '', file = '', rowsText = '', dimText = ''] = process.argv.slice(2)
const rows = Number(rowsText)
const dim = Number(dimText)
const path = join(directory, file)
const db = await open(join(directory, 'data'), {
  durability: 'memory',
  memtableBytes: 4 * 1024 * 1024,
})
const docs = await db.collection('docs', {
  vectors: { dim, metric: 'l2', index: 'flat' },
  fields: { n: 'int', text: 'text' },
})

const chunkRows = 1000
function* batches(): Generator<object> {
  for (let first = 0; first < rows; first += chunkRows) {
    const keys = Array.from({ length: chunkRows }, (_, at) => `k${first + at}`)
    const vectors = Float32Array.from({ length: chunkRows * dim }, (_, at) => Math.sin(first + at))
    const n = Array.from({ length: chunkRows }, (_, at) => first + at)
    yield { keys, vectors, fields: { n, text: n.map((at) => `text ${at}`) } }
  }
}
await docs.ingest(batches() as never)
await docs.compact()

/** Bytes that JavaScript has: what the database itself takes for merges is not the files' doing. */
function memory(): number {
  const { heapTotal, external } = process.memoryUsage()
  return heapTotal + external
}

const least = memory()
let most = least
const look = (): void => {
  most = Math.max(most, memory())
}
const { rows: written } = await exportTo(docs, path, { onProgress: look })
const exportGrowth = most - least
// Back over the same records: the database has what it had.
const { rows: read } = await importFrom(docs, path, { onProgress: look })
const mebibytes = (bytes: number): number => Math.round(bytes / 1024 / 1024)
process.stdout.write(
  `${JSON.stringify({ written, read, exportGrowth: mebibytes(exportGrowth), growth: mebibytes(most - least) })}\n`,
)
await db.close()
