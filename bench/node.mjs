// `npm run bench -- node`: the engines that npm has, one query at a time, each in its own process on one core.
import { definitionsOf, depthsOf, quickened } from './lib/definitions.mjs'
import { dataFolder, readTruth, readVectors } from './lib/data.mjs'
import { startEngine } from './lib/engine.mjs'
import { log } from './lib/log.mjs'
import { installNpmPeers } from './lib/peers.mjs'
import { again, curves, figures, save, saveCurves } from './lib/record.mjs'
import { singleFigures, summaryOf } from './lib/report.mjs'
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
      if (engine) engines.push(engine)
    }
    const found = []
    for (const depth of depthsOf(definition)) {
      log(`the nearest ${depth.k}`)
      const turns = engines.map((engine) => asked(engine, { truth, rows, depth }))
      const points = await sweep(withAgain(turns, again), definition.repetitions)
      found.push(...rowsOf(definition, engines, points, depth.k))
    }
    report(definition, found, quick)
  } finally {
    for (const { stop } of engines) await stop()
  }
}

function truthOf({ dataset, rows, queries, ...definition }) {
  const k = Math.max(...depthsOf(definition).map((depth) => depth.k))
  const folder = dataFolder()
  const base = readVectors(folder, dataset, 'base', rows)
  const asked = readVectors(folder, dataset, 'query', queries)
  return { truth: readTruth(folder, dataset, base, asked, k), rows: base.rows }
}

/** Its own widths from `k` on, which LanceDB asks for; those of the sweep where it has none. */
function widthsOf(own, ef, k) {
  const wide = own.filter((width) => width >= k)
  return wide.length > 0 ? wide : ef
}

/** The engine as the sweep takes it. */
function asked(engine, { truth, rows, depth: { k, ef } }) {
  return {
    ...engine,
    ef: widthsOf(engine.ef ?? ef, ef, k),
    truth,
    rules: { k, rows, full: engine.full },
    pass: (width, verify) => engine.call('pass', { k, ef: width, verify }),
  }
}

function rowsOf({ bench, dataset }, engines, points, k) {
  const abouts = new Map(engines.map(({ name, about }) => [name, about]))
  return [...points].flatMap(([name, found]) => {
    const about = abouts.get(name === again ? 'cairn' : name)
    return found.map((point) => ({
      ...about,
      bench,
      dataset,
      engine: name,
      k,
      ...pointColumns(point),
    }))
  })
}

function report(definition, rows, quick) {
  const single = singleFigures(rows, definition)
  save(rows, curves, quick)
  save(single, figures, quick)
  saveCurves(rows, definition, quick)
  console.log(summaryOf(rows, definition))
}
