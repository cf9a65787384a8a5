// Imports a file into a database and can be killed in the middle; run again it goes on.
// Arguments: directory of the database, path of the file.
import process from 'node:process'
import { open } from '#ts/index.js'
import { importFrom } from '#ts/io/index.js'

const [directory = '', source = ''] = process.argv.slice(2)
const db = await open(directory, { lockTimeoutMs: 10_000, durability: 'memory' })
const { rows } = await importFrom({ db, name: 'docs' }, source, { resume: true, chunkRows: 50 })
process.stdout.write(`${rows}\n`)
await db.close()
