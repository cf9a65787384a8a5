// Reads a directory that it may not write, and prints what came of it. Argument: directory.
import process from 'node:process'
import { isCairnError, open } from '#ts/index.js'

const [directory = ''] = process.argv.slice(2)
const codeOf = async (call: () => Promise<unknown>): Promise<string> => {
  try {
    await call()
    return 'no error'
  } catch (error) {
    return isCairnError(error) ? error.code : String(error)
  }
}

const reader = await open(directory, { mode: 'ro' })
await reader.refresh()
const docs = await reader.openCollection('docs')
console.log(await docs.count())
console.log(await codeOf(() => docs.delete('k1')))
console.log(await codeOf(() => open(directory)))
await reader.close()
