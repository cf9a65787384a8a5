// `npm run bench -- filtered`: searches for the rows of a filter alone, few to nearly all, anywhere, near the queries
// and far from them; beside searches without a filter, and beside peers with the same filter.
import { readVectors, dataFolder } from './lib/data.mjs'
import { definitionsOf, quickened } from './lib/definitions.mjs'
import { columnsOf, filterOf, nearestQueries, truths } from './filtered/workloads.mjs'
import { startEngine } from './lib/engine.mjs'
import { speedAt, pointsOf } from './lib/interpolate.mjs'
import { log } from './lib/log.mjs'
import { grouped } from './lib/numbers.mjs'
import { table } from './lib/markdown.mjs'
import { installNpmPeers } from './lib/peers.mjs'
import { again, curves, figures, save } from './lib/record.mjs'
import { figureTable, ratioFigure, spreadFigure, yesNo } from './lib/report.mjs'
import { pointColumns, sweep, withAgain } from './lib/sweep.mjs'

const unfiltered = 'no filter'

/** Runs every definition of this kind. */
export async function benchFiltered({ quick, only, datasets }) {
  await installNpmPeers()
  for (const definition of definitionsOf('filtered')) {
    if (datasets && !datasets.includes(definition.dataset)) continue
    await compare(quickened(definition, quick), { quick, only })
  }
}

async function compare(definition, { quick, only }) {
  log(definition.title)
  const chosen = definition.engines.filter(({ name, engine }) => {
    return only === undefined || engine === 'cairn' || only.includes(engine) || only.includes(name)
  })
  const cells = cellsOf(definition)
  const engines = []
  try {
    for (const entry of chosen) {
      const engine = await startEngine(entry, { definition, filtered: true })
      if (engine) engines.push({ ...engine, shares: entry.shares })
    }
    const rows = []
    for (const cell of cells) rows.push(...(await measure(cell, engines, definition)))
    report(definition, rows, quick)
  } finally {
    for (const { stop } of engines) await stop()
  }
}

/** What is asked: every share of every workload, and everything, each with the queries and the truth. */
function cellsOf({ dataset, rows, queries, k, workloads, shares }) {
  const folder = dataFolder()
  const base = readVectors(folder, dataset, 'base', rows)
  const given = readVectors(folder, dataset, 'query')
  const values = columnsOf(base)
  const first = Uint32Array.from({ length: queries }, (_, at) => at)
  const near = nearestQueries(base, given, queries)
  const everything = { workload: unfiltered, share: 1 }
  const cells = [
    everything,
    ...workloads.flatMap((workload) => shares.map((share) => ({ workload, share }))),
  ]
  for (const cell of cells) {
    cell.chosen = cell.workload === 'random' || cell === everything ? first : near
    cell.filter = cell === everything ? undefined : filterOf(cell.workload, cell.share, base.rows)
    cell.rows = base.rows
  }
  for (const chosen of [first, near]) {
    const same = cells.filter((cell) => cell.chosen === chosen)
    const vectors = Array.from(chosen, (at) =>
      given.matrix.subarray(at * given.dim, (at + 1) * given.dim),
    )
    const all = { column: 'near', from: 0, to: base.rows }
    const found = truths(
      base,
      vectors,
      same.map(({ filter = all }) => filter),
      values,
      k,
    )
    for (const [at, cell] of same.entries()) cell.truth = found[at]
  }
  return cells
}

async function measure(cell, engines, definition) {
  const { workload, share, filter, chosen, truth } = cell
  log(`${workload}, ${share * 100} % of the rows`)
  const taking = engines
    .filter(
      ({ shares }) => workload === unfiltered || shares === undefined || shares.includes(share),
    )
    .map((engine) => ({
      ...engine,
      ef: engine.ef ?? definition.ef,
      truth,
      rules: { k: definition.k, rows: cell.rows, full: engine.full },
      pass: (ef, verify) => engine.call('pass', { k: definition.k, ef, verify, filter, chosen }),
    }))
  const points = await sweep(withAgain(taking, again), definition.repetitions)
  const abouts = new Map(engines.map((engine) => [engine.name, engine.about]))
  return [...points].flatMap(([name, found]) => {
    const about = abouts.get(name === again ? 'cairn' : name)
    return found.map((point) => ({
      ...about,
      engine: name,
      k: definition.k,
      workload,
      share,
      ...pointColumns(point),
    }))
  })
}

function report({ bench, dataset, title, target, reach, workloads, shares }, rows, quick) {
  const cell = (workload, share) =>
    rows.filter((row) => row.workload === workload && row.share === share)
  const ours = (workload, share) =>
    speedAt(pointsOf(cell(workload, share).filter(({ engine }) => engine === 'cairn')), target)
  const whole = ours(unfiltered, 1)
  const named = (share) => ({ bench, dataset: `${dataset}, random ${share * 100} %` })
  const single = [
    scanFigure({ bench, dataset }, rows, target, reach),
    shareFigure({ bench, dataset }, ours('random', reach.share), whole, { ...reach, target }),
    ...shares
      .filter((share) => cell('random', share).some(({ engine }) => reach.over.includes(engine)))
      .map((share) => ratioFigure(cell('random', share), { ...reach, target }, named(share))),
    spreadFigure(cell(unfiltered, 1), [target], { bench, dataset }),
  ].map((row) => ({ ...row, section: dataset }))
  save(
    rows.map(({ workload, share, params, ...row }) => ({
      ...row,
      bench,
      dataset,
      params: `${params} filter=${workload === unfiltered ? 'none' : `${workload}:${share}`}`,
    })),
    curves,
    quick,
  )
  save(single, figures, quick)
  console.log(`\n## ${title}, ${grouped(rows[0].rows)} rows, QPS at recall ${target}\n`)
  console.log(`${grid(ours, whole, workloads, shares)}\n\n${figureTable(single)}\n`)
}

/** Our speed by workload and share, as a share of that without a filter. */
function grid(ours, whole, workloads, shares) {
  const columns = [
    { title: 'rows of the filter' },
    ...workloads.map((title) => ({ title, right: true })),
  ]
  const speed = (found) =>
    found === null
      ? 'not reached'
      : `${grouped(found.median)} (${(found.median / whole.median).toFixed(2)}x)`
  const lines = shares.map((share) => [
    `${share * 100} %`,
    ...workloads.map((workload) => speed(ours(workload, share))),
  ])
  return table(columns, [
    ...lines,
    ['all, no filter', speed(whole), ...workloads.slice(1).map(() => '')],
  ])
}

/** Our speed against that of comparing with every match, where the two differ most to our disadvantage. */
function scanFigure({ bench, dataset }, rows, target, { scan, timesScan }) {
  const name = `${dataset}: with the worst filter, times the seconds of comparing with every match, at ${target}`
  const names = new Set(rows.map(({ workload, share }) => `${workload} ${share}`))
  const cells = Array.from(names, (name) =>
    rows.filter(({ workload, share }) => `${workload} ${share}` === name),
  )
  const speed = (cell, engine) =>
    speedAt(pointsOf(cell.filter((row) => row.engine === engine)), target)
  const gaps = cells.flatMap((cell) => {
    const [found, plain] = [speed(cell, 'cairn'), speed(cell, scan)]
    if (cell[0].workload === unfiltered || found === null || plain === null) return []
    return [{ gap: plain.median / found.median, where: `${cell[0].workload} ${cell[0].share}` }]
  })
  const worst = gaps.reduce((most, one) => (one.gap > most.gap ? one : most), { gap: 0, where: '' })
  return {
    bench,
    name,
    unit: 'x',
    median: worst.gap.toFixed(2),
    reach: `<= ${timesScan}`,
    reached: yesNo(gaps.length > 0 && worst.gap <= timesScan),
    note: `of ${gaps.length} filters: ${worst.where}`,
  }
}

function shareFigure({ bench, dataset }, found, whole, { share, ofUnfiltered, target }) {
  const name = `${dataset}: a random filter of ${share * 100} % in times of no filter at ${target}`
  if (found === null || whole === null) return { bench, name, note: 'recall not reached' }
  const value = found.median / whole.median
  return {
    bench,
    name,
    unit: 'x',
    median: value.toFixed(2),
    min: (found.min / whole.max).toFixed(2),
    max: (found.max / whole.min).toFixed(2),
    reach: `>= ${ofUnfiltered}`,
    reached: yesNo(value >= ofUnfiltered),
  }
}
