// How many rows the tables of bad input have. Each is a test of its own, in the file that has the table.
import { readdirSync } from 'node:fs'
import test from 'ava'
import { onlyCount, rowsUntilNow } from '../helpers/bad-input.js'

test('the tables of bad input have rows enough', async (t) => {
  onlyCount()
  const here = new URL('.', import.meta.url)
  const files = readdirSync(here).filter((name) => /(?<!^count)\.spec\.js$/.test(name))
  for (const file of files.sort()) {
    const before = rowsUntilNow()
    await import(new URL(file, here).href)
    const rows = rowsUntilNow() - before
    t.true(rows > 0, file)
    t.log(`${file.replace('.spec.js', '')}: ${rows}`)
  }
  t.log(`${rowsUntilNow()} rows of bad input`)
  t.true(rowsUntilNow() >= 5000, `${rowsUntilNow()} rows`)
})
