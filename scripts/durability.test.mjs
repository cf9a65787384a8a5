// Every test that docs/durability.md names exists, and every row names one.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { root } from './process.mjs'

const text = readFileSync(join(root, 'docs', 'durability.md'), 'utf8')
const crates = ['env', 'storage', 'engine', 'index', 'distance', 'testkit']

/** What stands before the name of a test. */
const named = new RegExp(`\\b(${[...crates, 'js'].join('|')})::([\\w/-]+)::`, 'g')

function* references(line) {
  const starts = [...line.matchAll(named)]
  for (const [index, found] of starts.entries()) {
    const end = starts[index + 1]?.index ?? line.length
    const rest = line.slice(found.index + found[0].length, end)
    // Titles in JavaScript may have commas of their own: what follows one is another reference, or nothing.
    const title =
      found[1] === 'js'
        ? rest.replace(/ \|\s*$/, '').replace(/[,.:;\s]+$/, '')
        : /^\w*/.exec(rest)[0]
    yield { where: found[1], file: found[2], title }
  }
}

function source({ where, file }) {
  const paths =
    where === 'js'
      ? [`__test__/${file}.spec.ts`]
      : [`crates/${where}/tests/suite/${file}.rs`, `crates/${where}/tests/${file}.rs`]
  const path = paths.find((path) => existsSync(join(root, path)))
  assert.ok(path, `${where}::${file} is not there`)
  return readFileSync(join(root, path), 'utf8')
}

const all = text
  .split('\n')
  .filter((line) => !/`engine::reopen::name`/.test(line) && !line.startsWith('`__test__/'))
  .flatMap((line) => [...references(line)])

test('every test that the page names is there', () => {
  assert.ok(all.length > 60, `${all.length} tests`)
  for (const reference of all) {
    const { where, file, title } = reference
    const wanted = where === 'js' ? title : `fn ${title}(`
    assert.ok(source(reference).includes(wanted), `${where}::${file}::${title}`)
  }
})

test('every promise and every fault names a test', () => {
  let section = ''
  const counted = { promises: 0, faults: 0 }
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) section = line.slice(3)
    const isRow = line.startsWith('|') && !/^\|[-| ]+\|$/.test(line) && !line.includes('Shown by')
    const kind = { Promises: 'promises', 'Faults, one by one': 'faults' }[section]
    if (!isRow || kind === undefined) continue
    counted[kind] += 1
    assert.ok([...references(line)].length > 0, line)
  }
  assert.ok(counted.promises >= 15 && counted.faults >= 32, JSON.stringify(counted))
})

test('no fault of the list is left out', () => {
  for (let number = 1; number <= 33; number += 1) {
    assert.match(text, new RegExp(`^\\| (A\\d+, )?A${number}\\b`, 'm'), `A${number}`)
  }
})
