// `npm run bench -- node`: the engines that npm has, one query at a time, each in its own process on one core.
import { definitionsOf, quickened } from './lib/definitions.mjs'
import { dataFolder, readTruth, readVectors } from './lib/data.mjs'
import { log } from './lib/log.mjs'
import { grouped, megabytes } from './lib/numbers.mjs'
import { installNpmPeers } from './lib/peers.mjs'
import { pin } from './lib/pin.mjs'
import { newFolder, removeFolder } from './lib/places.mjs'
import { again, curves, figures, save, saveCurves } from './lib/record.mjs'
import { figureTable, ratioFigure, speedTable, spreadFigure } from './lib/report.mjs'
import { pointColumns, sweep, withAgain } from './lib/sweep.mjs'
import { startWorker } from './lib/worker.mjs'

const processModule = new URL('engine-process.mjs', import.meta.url)

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
      const engine = await startEngine(entry, { definition, truth, rows })
      if (engine) engines.push(engine)
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

/** Builds one engine; one of the peers that fails is left out, and says why. */
async function startEngine(entry, { definition, truth, rows }) {
  const { k, dataset, buildThreads } = definition
  const folder = newFolder(entry.engine)
  const worker = startWorker(processModule, { name: entry.name })
  const stop = async () => {
    await worker.call('close').catch(() => {})
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
  try {
    const params = { ...definition.params, ...entry.params }
    const built = await worker.call('build', {
      name: entry.engine,
      folder,
      data: dataFolder(),
      dataset,
      rows: definition.rows,
      queryCount: entry.queries ?? definition.queries,
      params,
      threads: buildThreads,
    })
    const isPinned = pin(worker.pid)
    log(
      `${entry.name} ${built.version}: built in ${built.seconds.toFixed(1)} s on ${built.threads} threads, ` +
        `${megabytes(built.bytes)}, ${isPinned ? 'pinned' : 'not pinned'} ${built.note ?? ''}`,
    )
    return {
      name: entry.name,
      ef: entry.ef ?? definition.ef,
      truth,
      rules: { k, rows, full: entry.engine === 'cairn' },
      pass: (ef, verify) => worker.call('pass', { k, ef, verify }),
      about: { ...built, params, rows, isPinned },
      stop,
    }
  } catch (error) {
    await stop()
    if (entry.engine === 'cairn') throw error
    log(`${entry.name} is LEFT OUT: ${error.message}`)
    return null
  }
}

function report(definition, engines, points, quick) {
  const { bench, dataset, title, k, targets, reach } = definition
  const abouts = new Map(engines.map(({ name, about }) => [name, about]))
  const rows = [...points].flatMap(([name, found]) => {
    const {
      version,
      params,
      rows: count,
      seconds,
      threads,
      bytes,
      rss,
      isPinned,
    } = abouts.get(name === again ? 'cairn' : name)
    return found.map((point) => ({
      bench,
      dataset,
      engine: name,
      version,
      params: Object.entries(params)
        .map((pair) => pair.join('='))
        .join(' '),
      rows: count,
      k,
      build_s: seconds.toFixed(2),
      build_threads: threads,
      bytes,
      rss_bytes: rss,
      pinned: isPinned ? 1 : 0,
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
