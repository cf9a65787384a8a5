// `npm run bench -- node`: the engines that npm has, one query at a time, each in its own process on one core.
import { definitionsOf, quickened } from './lib/definitions.mjs'
import { dataFolder, readTruth, readVectors } from './lib/data.mjs'
import { startEngine } from './lib/engine.mjs'
import { log } from './lib/log.mjs'
import { grouped } from './lib/numbers.mjs'
import { installNpmPeers } from './lib/peers.mjs'
import { again, curves, figures, save, saveCurves } from './lib/record.mjs'
import { figureTable, ratioFigure, speedTable, spreadFigure } from './lib/report.mjs'
import { pointColumns, sweep, withAgain } from './lib/sweep.mjs'

/** Runs every definition of this kind. */
export async function benchNode({ quick, only, datasets }) {
  await installNpmPeers()
  for (const definition of definitionsOf('node')) {
    if (datasets && !datasets.includes(definition.dataset)) continue
    await compare(quickened(definition, quick), { quick, only })
  }
}

async function compare(definition, { quick, only }) {
  log(`node, ${definition.title}`)
  const chosen = definition.engines.filter(({ name, engine }) => {
    return only === undefined || engine === 'cairn' || only.includes(engine) || only.includes(name)
  })
  const { truth, rows } = truthOf(definition)
  const engines = []
  try {
    for (const entry of chosen) {
      const engine = await startEngine(entry, { definition })
      if (engine) engines.push(asked(engine, { truth, rows, k: definition.k }))
    }
    const points = await sweep(withAgain(engines, again), definition.repetitions)
    report(definition, engines, points, quick)
  } finally {
    for (const { stop } of engines) await stop()
  }
}

function truthOf({ dataset, rows, queries, k }) {
  const folder = dataFolder()
  const base = readVectors(folder, dataset, 'base', rows)
  const asked = readVectors(folder, dataset, 'query', queries)
  return { truth: readTruth(folder, dataset, base, asked, k), rows: base.rows }
}

/** The engine as the sweep takes it. */
function asked(engine, { truth, rows, k }) {
  return {
    ...engine,
    truth,
    rules: { k, rows, full: engine.full },
    pass: (ef, verify) => engine.call('pass', { k, ef, verify }),
  }
}

function report(definition, engines, points, quick) {
  const { bench, dataset, title, targets, reach } = definition
  const abouts = new Map(engines.map(({ name, about }) => [name, about]))
  const rows = [...points].flatMap(([name, found]) => {
    const about = abouts.get(name === again ? 'cairn' : name)
    return found.map((point) => ({
      ...about,
      bench,
      dataset,
      engine: name,
      ...pointColumns(point),
    }))
  })
  const single = [
    ...reach.map((wanted) => ratioFigure(rows, wanted, definition)),
    spreadFigure(rows, targets, definition),
  ]
  save(rows, curves, quick)
  save(single, figures, quick)
  saveCurves(rows, definition, quick)
  console.log(
    `\n## ${title}, ${grouped(rows[0].rows)} rows\n\n${speedTable(rows, targets)}\n\n${figureTable(single)}\n`,
  )
}
