// Reads on behind a cursor of an ordered scan of another process, and prints the keys. Arguments: directory, cursor.
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = '', after = ''] = process.argv.slice(2)
const reader = await open(directory, { mode: 'ro' })
const docs = await reader.openCollection('docs')
const keys: unknown[] = []
for await (const { key } of docs.scan({ orderBy: { field: 'n', order: 'desc' }, after })) {
  keys.push(key)
}
console.log(JSON.stringify(keys))
await reader.close()
