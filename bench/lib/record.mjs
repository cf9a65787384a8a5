// Results on disk: CSV by machine and date, and the curves as SVG.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { merge, parse, update } from './csv.mjs'
import { pointsOf } from './interpolate.mjs'
import { log } from './log.mjs'
import { machine, slug, today } from './machine.mjs'
import { outFolder, recordFolder, root } from './places.mjs'
import { drawCurves } from './svg.mjs'

const machineColumns = ['date', 'machine', 'cpu', 'cores', 'memory_gb', 'os', 'node']

/** The file of operating points: one row by engine and `ef`. */
export const curves = {
  suffix: '',
  columns: [
    ...machineColumns,
    'bench',
    'dataset',
    'engine',
    'version',
    'params',
    'rows',
    'queries',
    'k',
    'ef',
    'recall',
    'qps_median',
    'qps_min',
    'qps_max',
    'repetitions',
    'p50_us',
    'p95_us',
    'p99_us',
    'p999_us',
    'build_s',
    'build_threads',
    'bytes',
    'rss_bytes',
    'peak_rss_bytes',
    'pinned',
  ],
  keys: ['bench', 'dataset'],
}

/** The file of single figures: one row by name. */
export const figures = {
  suffix: '-figures',
  columns: [
    ...machineColumns,
    'bench',
    'section',
    'name',
    'unit',
    'median',
    'min',
    'max',
    'runs',
    'reach',
    'reached',
    'note',
  ],
  keys: ['bench', 'section'],
}

/** Where results of this run go; those of a quick run are no results. */
export function resultFolder(quick) {
  return quick ? join(outFolder, 'quick') : join(recordFolder, slug(machine()))
}

/** Adds rows to today's file in place of the older ones of the same benchmark. */
export function save(rows, file, quick) {
  if (rows.length === 0) return
  const place = join(resultFolder(quick), `${today()}${file.suffix}.csv`)
  const about = { date: today(), ...machine() }
  update(
    place,
    rows.map((row) => ({ ...about, ...row })),
    file,
  )
  log(`wrote ${relative(root, place)}`)
}

/** Draws the curves of one benchmark on one data set, for its first `k`. */
export function saveCurves(every, { bench, dataset, title, k }, quick) {
  const rows = every.filter((row) => Number(row.k) === k)
  const folder = resultFolder(quick)
  mkdirSync(folder, { recursive: true })
  const place = join(folder, `${today()}-${bench}-${dataset}.svg`)
  const { cpu, cores } = machine()
  const subtitle = `${cpu}, ${cores} cores, ${today()}; median with extremes of the repetitions`
  const series = seriesOf(rows.filter(({ engine }) => engine !== again))
  writeFileSync(place, drawCurves(series, { title, subtitle }))
  log(`wrote ${relative(root, place)}`)
}

/** The name under which our engine runs a second time, to see what the machine's noise is. */
export const again = 'cairn again'

function seriesOf(rows) {
  const names = [...new Set(rows.map(({ engine }) => engine))]
  return names.map((name) => ({
    name,
    points: pointsOf(rows.filter(({ engine }) => engine === name)),
  }))
}

/** The rows of a file of the record, of the machine whose folder that is: of each benchmark those of its newest day. */
export function newest(file, folder) {
  const name = new RegExp(`^\\d{4}-\\d\\d-\\d\\d${file.suffix}\\.csv$`)
  const files = existsSync(folder) ? readdirSync(folder).filter((entry) => name.test(entry)) : []
  const days = files.sort().map((day) => parse(readFileSync(join(folder, day), 'utf8')))
  return days.reduce((older, newer) => merge(older, newer, file.keys), [])
}
