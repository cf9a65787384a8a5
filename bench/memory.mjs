// `npm run bench -- memory`: bytes per vector against the formula, the caps of log and memtables, the addon.
import { definitionsOf, sectionOf } from './lib/definitions.mjs'
import { dataFolder } from './lib/data.mjs'
import { log } from './lib/log.mjs'
import { figures, save } from './lib/record.mjs'
import { figureTable } from './lib/report.mjs'
import { measureAddon } from './memory/addon.mjs'
import { measureBytes } from './memory/bytes.mjs'
import { measureCaps } from './memory/caps.mjs'

const parts = { bytes: measureBytes, caps: measureCaps, addon: measureAddon }

/** Runs every part, or the named ones. */
export async function benchMemory({ quick, sections }) {
  const [definition] = definitionsOf('memory')
  const rows = []
  for (const [name, measure] of Object.entries(parts)) {
    if (sections !== undefined && !sections.includes(name)) continue
    log(`memory, ${name}`)
    const found = await measure({ ...sectionOf(definition, name, quick), data: dataFolder() })
    const tagged = found.map((figure) => ({ bench: 'memory', section: name, ...figure }))
    save(tagged, figures, quick)
    rows.push(...tagged)
  }
  console.log(`\n## Memory and size\n\n${figureTable(rows)}\n`)
}
