// A Python of our own with the packages that read what we write and do what we do, in .cache/python.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './process.mjs'

const packages = [
  'numpy==2.1.3',
  'pyarrow==18.1.0',
  'duckdb==1.1.3',
  'pytz==2024.2',
  'bm25s==0.3.16',
]
const home = join(root, '.cache/python')
const stamp = join(home, 'cairn-stamp')
const windows = process.platform === 'win32'

/** Its interpreter. */
export const python = join(home, windows ? 'Scripts/python.exe' : 'bin/python')

/** Makes it where it is not there yet; false where that cannot be done. */
export function hasPython() {
  const wanted = packages.join(' ')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return true
  console.error(`installing ${wanted} into ${home}`)
  rmSync(home, { recursive: true, force: true })
  const made =
    succeeds(windows ? 'python' : 'python3', '-m', 'venv', home) &&
    succeeds(python, '-m', 'pip', 'install', '--quiet', '--only-binary=:all:', ...packages)
  if (made) writeFileSync(stamp, wanted)
  return made
}

function succeeds(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 300_000 }).status === 0
}
