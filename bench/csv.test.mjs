import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { merge, parse, stringify, update } from './lib/csv.mjs'

const columns = ['a', 'b', 'c']

test('what is written is read back', () => {
  const rows = [
    { a: '1', b: 'x, "y"', c: '' },
    { a: '', b: 'two\nlines', c: '3' },
  ]
  assert.deepEqual(parse(stringify(rows, columns)), rows)
})

test('numbers become text and what is absent becomes nothing', () => {
  assert.equal(stringify([{ a: 1.5, c: null }], columns), 'a,b,c\n1.5,,\n')
})

test('a last empty cell is a cell', () => {
  assert.deepEqual(parse('a,b\n1,\n'), [{ a: '1', b: '' }])
})

test('text that is no CSV is refused', () => {
  assert.throws(() => parse('a,b\n"1,2\n'), /not CSV/)
})

test('newer rows take the place of older ones with the same keys', () => {
  const older = [
    { a: 'x', b: '1' },
    { a: 'y', b: '2' },
  ]
  const newer = [
    { a: 'x', b: 3 },
    { a: 'x', b: 4 },
  ]
  assert.deepEqual(merge(older, newer, ['a']), [{ a: 'y', b: '2' }, ...newer])
})

test('a file keeps the parts that were not measured again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-csv-'))
  try {
    const file = join(folder, 'deep', 'record.csv')
    const how = { columns: ['a', 'b'], keys: ['a'] }
    update(file, [{ a: 'x', b: 1 }], how)
    update(file, [{ a: 'y', b: 2 }], how)
    update(file, [{ a: 'x', b: 3 }], how)
    assert.equal(readFileSync(file, 'utf8'), 'a,b\ny,2\nx,3\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
