// Where the benchmark keeps its things.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of this benchmark. */
export const benchFolder = fileURLToPath(new URL('..', import.meta.url))

/** The top of the repository. */
export const root = resolve(benchFolder, '..')

/** What git does not see: peers, unpacked data, databases under test, results of quick runs. */
export const outFolder = join(benchFolder, 'out')

/** Results that are kept, by machine and date. */
export const recordFolder = join(benchFolder, 'record')

const temporary = resolve(process.env.CAIRN_BENCH_TMP ?? join(outFolder, 'tmp'))

/** A new empty folder on the disk under test (`CAIRN_BENCH_TMP` moves it to another). */
export function newFolder(name) {
  mkdirSync(temporary, { recursive: true })
  return mkdtempSync(join(temporary, `${name}-`))
}

/** Removes a folder that `newFolder` made, and refuses any other. */
export function removeFolder(folder) {
  if (!resolve(folder).startsWith(temporary + sep)) throw new Error(`${folder} is not ours`)
  rmSync(folder, { recursive: true, force: true })
}

/** Bytes of all files below a folder. */
export function folderBytes(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
