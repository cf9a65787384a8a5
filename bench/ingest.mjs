// `npm run bench -- ingest`: durable writes, the event loop meanwhile, recovery, reopening, call overhead.
import { definitionsOf, sectionOf } from './lib/definitions.mjs'
import { dataFolder } from './lib/data.mjs'
import { log } from './lib/log.mjs'
import { figures, save } from './lib/record.mjs'
import { figureTable } from './lib/report.mjs'
import { measureBatches } from './ingest/batches.mjs'
import { measureConcurrent } from './ingest/concurrent.mjs'
import { measureOverhead } from './ingest/overhead.mjs'
import { measureRecovery } from './ingest/recovery.mjs'
import { measureScaling } from './ingest/scaling.mjs'
import { measureStallAndReopen } from './ingest/stall-and-reopen.mjs'

/** By name: what is measured, and the sections of the definition that it needs. */
const parts = {
  batches: measureBatches,
  concurrent: measureConcurrent,
  recovery: measureRecovery,
  stall: measureStallAndReopen,
  overhead: measureOverhead,
  scaling: measureScaling,
}

/** Runs every part, or the named ones. */
export async function benchIngest({ quick, sections, only }) {
  const [definition] = definitionsOf('ingest')
  const rows = []
  for (const [name, measure] of Object.entries(parts)) {
    if (sections !== undefined && !sections.includes(name)) continue
    log(`ingest, ${name}`)
    const found = await measure({
      settings: (section) => sectionOf(definition, section, quick),
      data: dataFolder(),
      only,
    })
    const tagged = found.map((figure) => ({ bench: 'ingest', section: name, ...figure }))
    save(tagged, figures, quick)
    rows.push(...tagged)
  }
  console.log(`\n## Writing and opening\n\n${figureTable(rows)}\n`)
}
