// How the program `cairn` writes answers.
import test from 'ava'
import { format } from '#ts/cli/output.js'

test('a table is written whatever the number of its rows', (t) => {
  // Well above what one call of a function takes as arguments.
  const count = 300_000
  const rows = Array.from({ length: count }, (_, row) => [row, `k${row}`])
  const lines = format({ value: rows, table: { columns: ['n', 'key'], rows } }, 'table').split('\n')
  t.is(lines.length, count + 2)
  t.is(lines[0], '     n  key')
  t.is(lines[1], '     0  k0')
  t.is(lines[count], '299999  k299999')
})

test('a column is as wide as its widest cell, in characters', (t) => {
  const rows = [
    ['\u{e4}', 1],
    ['\u{1F30A}\u{1F30A}', 22],
    [null, undefined],
  ]
  const table = { columns: ['a', 'number'], rows }
  t.is(
    format({ value: rows, table }, 'table'),
    'a   number\n\u{e4}   1\n\u{1F30A}\u{1F30A}  22\n\n',
  )
})
