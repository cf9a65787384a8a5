// `npm run bench -- native`: our index against C++ hnswlib and faiss, without Node in between.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { definitionsOf, depthsOf, quickened } from './lib/definitions.mjs'
import { dataFolder, readTruth, readVectors, stage } from './lib/data.mjs'
import { log } from './lib/log.mjs'
import { median, summary } from './lib/numbers.mjs'
import { installPythonPeers } from './lib/peers.mjs'
import { measuredCore } from './lib/pin.mjs'
import { newFolder, outFolder, removeFolder } from './lib/places.mjs'
import { startPython } from './lib/python-process.mjs'
import { again, curves, figures, save, saveCurves } from './lib/record.mjs'
import { singleFigures, summaryOf, yesNo } from './lib/report.mjs'
import { pointColumns, sweep, withAgain } from './lib/sweep.mjs'
import { version } from './lib/version.mjs'
import { buildExample, buildGraph, sweepGraph } from './native/cairn.mjs'

const program = fileURLToPath(new URL('native/peers.py', import.meta.url))

/** Asks the allocator of the GNU C library for huge pages, which our index asks for by itself. */
const hugePages = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' }

/** Runs every definition of this kind. */
export async function benchNative({ quick, only, datasets }) {
  await installPythonPeers()
  log('building the example of the index')
  const example = await buildExample()
  for (const definition of definitionsOf('native')) {
    if (datasets && !datasets.includes(definition.dataset)) continue
    await compare(quickened(definition, quick), { example, quick, only })
  }
}

async function compare(definition, { example, quick, only }) {
  log(`native, ${definition.title}`)
  const folder = newFolder('native')
  const context = contextOf(definition, { example, folder, quick })
  const chosen = definition.engines.filter(
    ({ engine, name }) =>
      only === undefined || engine === 'cairn' || only.includes(engine) || only.includes(name),
  )
  const engines = chosen.map((entry) => start(entry, context))
  try {
    await build(engines, definition.builds)
    for (const engine of engines) await engine.settle()
    const found = []
    for (const depth of depthsOf(definition)) {
      log(`the nearest ${depth.k}`)
      const turns = engines.map((engine) => engine.at(depth))
      const points = await sweep(withAgain(turns, again), definition.repetitions)
      found.push(...rowsOf(definition, engines, points, { k: depth.k, rows: context.rows }))
    }
    report(definition, engines, found, quick)
  } finally {
    for (const { stop } of engines) stop()
    removeFolder(folder)
  }
}

function contextOf(definition, { example, folder, quick }) {
  const { dataset, rows, queries, params, buildThreads } = definition
  const k = Math.max(...depthsOf(definition).map((depth) => depth.k))
  const source = dataFolder()
  const limits = quick ? { rows, queries } : {}
  const data = stage(source, dataset, join(outFolder, 'data'), limits)
  const base = readVectors(source, dataset, 'base', rows)
  const truth = readTruth(source, dataset, base, readVectors(source, dataset, 'query', queries), k)
  const settings = { dataset, data, queries, threads: buildThreads, ...params }
  return { definition, example, folder, settings, truth, rows: base.rows }
}

function start(entry, context) {
  return entry.engine === 'cairn' ? startOurs(entry, context) : startPeer(entry, context)
}

function startOurs({ name }, { definition, example, folder, settings }) {
  let graph
  const about = { version, bytes: Number.NaN }
  return {
    name,
    params: paramsOf(settings),
    about,
    seconds: [],
    builds: definition.builds,
    async build(round) {
      graph = join(folder, `graph-${round}`)
      const { seconds, bytes } = await buildGraph(example, settings, graph)
      about.bytes = bytes
      return seconds
    },
    settle: async () => {},
    at: ({ k, ef }) => ({
      name,
      ef,
      whole: true,
      pass: (efs) => sweepGraph(example, { ...settings, k }, graph, efs),
    }),
    stop() {},
  }
}

function startPeer(entry, { definition, folder, settings: common, truth, rows }) {
  const { engine, name } = entry
  const settings = { ...common, ...entry.params }
  const { dataset, data, queries, m, efConstruction, threads } = settings
  const process = startPython(program, [engine, data, dataset, queries], {
    name,
    env: entry.hugePages ? hugePages : {},
  })
  const file = join(folder, `${engine}-${m}-${efConstruction}.index`)
  const about = { bytes: Number.NaN }
  return {
    name,
    params: paramsOf(settings),
    about,
    seconds: [],
    // The one with huge pages searches the very graph of the one without.
    builds: entry.hugePages ? 0 : engine === 'hnswlib' ? definition.builds : 1,
    build: async () => (await process.call('build', m, efConstruction, threads)).seconds,
    async settle() {
      about.version = await process.call('version')
      if (entry.hugePages) await process.call('load', file)
      else about.bytes = await process.call('save', file)
      about.pinned = await process.call('pin', measuredCore)
    },
    at: ({ k, ef }) => ({
      name,
      ef,
      whole: true,
      truth,
      rules: { k, rows },
      pass: (efs, verify) => process.call('sweep', k, efs, verify),
    }),
    stop: () => process.stop(),
  }
}

/** Builds in turns, as searches are measured in turns. */
async function build(engines, rounds) {
  for (let round = 0; round < rounds; round += 1) {
    for (const engine of engines) {
      if (round >= engine.builds) continue
      const seconds = await engine.build(round)
      engine.seconds.push(seconds)
      log(`${engine.name}: built in ${seconds.toFixed(1)} s`)
    }
  }
}

function paramsOf({ m, efConstruction }) {
  return `m=${m} efConstruction=${efConstruction}`
}

function rowsOf({ bench, dataset, buildThreads }, engines, points, { k, rows }) {
  const known = new Map(engines.map((engine) => [engine.name, engine]))
  return [...points].flatMap(([name, found]) => {
    const { about, params, seconds } = known.get(name === again ? 'cairn' : name)
    return found.map((point) => ({
      bench,
      dataset,
      engine: name,
      version: about.version,
      params,
      rows,
      k,
      build_s: seconds.length === 0 ? '' : median(seconds).toFixed(2),
      build_threads: buildThreads,
      bytes: Number.isFinite(about.bytes) ? Math.round(about.bytes) : '',
      pinned: process.platform === 'linux' ? 1 : 0,
      ...pointColumns(point),
    }))
  })
}

function report(definition, engines, rows, quick) {
  const single = [...singleFigures(rows, definition), ...buildFigure(definition, engines)]
  save(rows, curves, quick)
  save(single, figures, quick)
  saveCurves(rows, definition, quick)
  console.log(summaryOf(rows, definition))
}

function buildFigure({ bench, dataset, buildReach, buildThreads }, engines) {
  const named = (name) => engines.find((engine) => engine.name === name)
  const [ours, theirs] = [named('cairn'), named(buildReach.over)]
  if (theirs === undefined) return []
  const [mine, other] = [summary(ours.seconds), summary(theirs.seconds)]
  const value = mine.median / other.median
  return [
    {
      bench,
      section: dataset,
      name: `${dataset}: build time over that of ${buildReach.over}, ${buildThreads} threads`,
      unit: 'x',
      median: value.toFixed(2),
      min: (mine.min / other.max).toFixed(2),
      max: (mine.max / other.min).toFixed(2),
      runs: ours.seconds.length,
      reach: `<= ${buildReach.ratio}`,
      reached: yesNo(value <= buildReach.ratio),
      note: `${mine.median.toFixed(1)} s against ${other.median.toFixed(1)} s`,
    },
  ]
}
