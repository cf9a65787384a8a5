import { readFileSync } from 'node:fs'
import test from 'ava'
import { limits } from '#ts/limits.js'

/** `FIELDS_BYTES_MAX` as this side spells it. */
const spelt = (name: string): string =>
  name.toLowerCase().replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

/** `64 * 1_024` as a number. */
const product = (text: string): number =>
  text.split('*').reduce((value, factor) => value * Number(factor.replaceAll('_', '')), 1)

test('every limit of the engine is in the table, with its value', (t) => {
  const files = ['crates/engine/src/limits.rs', 'crates/filter/src/parse.rs']
  const engine = files.map((file) => readFileSync(file, 'utf8')).join('\n')
  const entries = [...engine.matchAll(/^pub const (\w+): usize = ([\d_ *]+);/gm)].map(
    ([, name = '', value = '']) => [spelt(name), product(value)] as const,
  )
  t.true(entries.length >= 17)
  for (const [name, value] of entries) {
    t.is((limits as Readonly<Record<string, unknown>>)[name], value, name)
  }
})
