// A benchmark that is a list of parts, each of which gives figures.
import { dataFolder } from './data.mjs'
import { definitionsOf, sectionOf } from './definitions.mjs'
import { log } from './log.mjs'
import { figures, save } from './record.mjs'
import { figureTable } from './report.mjs'

/**
 * Runs every part of a benchmark, or the named ones, and saves the figures of each once it is done.
 *
 * @param parts - By name: `({ settings(section), data, only }) => figures`.
 */
export async function runParts(bench, title, parts, { quick, sections, only }) {
  const [definition] = definitionsOf(bench)
  const rows = []
  for (const [name, measure] of Object.entries(parts)) {
    if (sections !== undefined && !sections.includes(name)) continue
    log(`${bench}, ${name}`)
    const settings = (section) => sectionOf(definition, section, quick)
    const found = await measure({ settings, data: dataFolder(), only })
    const tagged = found.map((figure) => ({ bench, section: name, ...figure }))
    save(tagged, figures, quick)
    rows.push(...tagged)
  }
  console.log(`\n## ${title}\n\n${figureTable(rows)}\n`)
}
