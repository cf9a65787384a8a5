// Scores of full-text search over the 117,791 glosses of WordNet against bm25s, a BM25 of others. Both get the same
// words of each gloss, from us; what is compared is what they make of them. One TAP line.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeGlosses } from './glosses.mjs'
import { root } from './process.mjs'
import { python } from './python.mjs'

/** How far a score may be from theirs, which is in double precision; ours has 24 bits. */
const allowed = 1e-5
const queries = 240

const directory = mkdtempSync(join(tmpdir(), 'cairn-text-'))
const path = (name) => join(directory, name)
const run = (program, ...args) =>
  execFileSync(program, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const example = (...args) =>
  run('cargo', 'run', '--locked', '-q', '-p', 'cairn-text', '--example', 'bm25', '--', ...args)

/** One to five different words that are in the texts, common ones and rare ones, always the same. */
function* typed(lines) {
  let seed = 7
  const below = (bound) => {
    seed = (seed * 48271) % 2147483647
    return seed % bound
  }
  for (let query = 0; query < queries; query += 1) {
    const words = new Set()
    while (words.size <= query % 5) {
      const text = lines[below(lines.length)].split(' ')
      words.add(text[below(text.length)])
    }
    yield [...words].join(' ')
  }
}

console.log('TAP version 13')
try {
  writeGlosses(path('texts'))
  example('tokens', path('texts'), path('tokens'))
  const lines = readFileSync(path('tokens'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
  writeFileSync(path('queries'), `${[...typed(lines)].join('\n')}\n`)
  example('scores', path('texts'), path('queries'), path('scores'))
  const script = join(root, 'scripts/text-scores.py')
  const said = run(python, script, path('tokens'), path('scores'), String(allowed)).trim()
  console.log(`ok 1 - scores equal those of bm25s: ${said}`)
} catch (error) {
  console.log('not ok 1 - scores equal those of bm25s')
  for (const line of String(error.stack ?? error).split('\n')) console.log(`  ${line}`)
  process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
console.log('1..1')
