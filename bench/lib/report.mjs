// The tables that people read, out of the rows of the record.
import { depthsOf } from './definitions.mjs'
import { pointsOf, speedAt } from './interpolate.mjs'
import { table } from './markdown.mjs'
import { grouped, megabytes, quantiles } from './numbers.mjs'
import { again } from './record.mjs'

/** Above this, two runs of the same engine differ too much for the figures to be used. */
export const spreadMax = 0.05

/** Speed at fixed recall, by engine, with build time and size. */
export function speedTable(rows, targets) {
  const columns = [
    { title: 'engine' },
    ...targets.map((target) => ({ title: `QPS at ${target}`, right: true })),
    { title: 'build', right: true },
    { title: 'index', right: true },
  ]
  return table(
    columns,
    byEngine(rows)
      .filter(([name]) => name !== again)
      .map(([name, [first], points]) => [
        `${name} ${first.version}`,
        ...targets.map((target) => speed(speedAt(points, target))),
        first.build_s === '' ? '-' : `${grouped(Number(first.build_s))} s`,
        first.bytes === '' ? '-' : megabytes(Number(first.bytes)),
      ]),
  )
}

/** Quantiles of the time of one search, by engine, at its fastest point of at least `target` recall. */
export function latencyTable(rows, target) {
  const names = ['qps_median', ...Object.keys(quantiles).map((name) => `${name}_us`)]
  const titles = ['recall', 'QPS', 'p50', 'p95', 'p99', 'p99.9']
  const columns = [{ title: 'engine' }, ...titles.map((title) => ({ title, right: true }))]
  const reaching = byEngine(rows.filter(({ recall }) => Number(recall) >= target))
  return table(
    columns,
    reaching
      .filter(([name]) => name !== again)
      .map(([name, points]) => {
        const fastest = points.reduce((best, point) =>
          Number(point.qps_median) > Number(best.qps_median) ? point : best,
        )
        const cell = (column) => (fastest[column] ? grouped(Number(fastest[column])) : '-')
        return [name, Number(fastest.recall).toFixed(3), ...names.map(cell)]
      }),
  )
}

function speed(range) {
  if (range === null) return 'not reached'
  const { median, min, max, bound } = range
  return `${bound ? '>= ' : ''}${grouped(median)} (${grouped(min)} to ${grouped(max)})`
}

/**
 * How far apart two runs of our own engine are.
 *
 * @returns `{ spread, discard }`, the largest difference of the medians at the targets both reach.
 */
export function spreadOf(rows, targets) {
  const engines = curvesOf(rows)
  const [one, two] = [engines.get('cairn'), engines.get(again)]
  if (one === undefined || two === undefined) return { spread: Number.NaN, discard: false }
  const gaps = targets.flatMap((target) => {
    const [a, b] = [speedAt(one, target), speedAt(two, target)]
    return a === null || b === null ? [] : [Math.abs(a.median / b.median - 1)]
  })
  const spread = gaps.length === 0 ? Number.NaN : Math.max(...gaps)
  return { spread, discard: spread > spreadMax }
}

/** The speed of one engine of ours over the best of some peers at one recall. */
export function ratioOf(rows, { target, ratio, over, of = 'cairn' }) {
  const engines = curvesOf(rows)
  const ours = speedAt(engines.get(of) ?? [], target)
  const theirs = over
    .map((name) => ({ name, range: speedAt(engines.get(name) ?? [], target) }))
    .filter(({ range }) => range !== null)
    .sort((a, b) => b.range.median - a.range.median)
  if (ours === null || theirs.length === 0) return null
  const [best] = theirs
  const value = ours.median / best.range.median
  return {
    value,
    low: ours.min / best.range.max,
    high: ours.max / best.range.min,
    peer: best.name,
    overlap: ours.min <= best.range.max && best.range.min <= ours.max,
    reached: value >= ratio,
  }
}

/** The single figures of curves: ratios over peers, and how far our engine is from itself, at the first `k`. */
export function singleFigures(rows, definition) {
  const first = rows.filter(({ k }) => Number(k) === definition.k)
  return [
    ...definition.reach.map((wanted) => ratioFigure(first, wanted, definition)),
    spreadFigure(first, definition.targets, definition),
  ]
}

/** What a run prints about one data set: a table of each `k`, and the single figures. */
export function summaryOf(rows, definition) {
  const tables = depthsOf(definition).map(({ k, targets }) => {
    const found = rows.filter((row) => Number(row.k) === k)
    return `top ${k}\n\n${speedTable(found, targets)}`
  })
  const single = figureTable(singleFigures(rows, definition))
  const title = `## ${definition.title}, ${grouped(Number(rows[0].rows))} rows`
  return `\n${[title, ...tables, single].join('\n\n')}\n`
}

/** One row of the file of figures about a ratio. */
export function ratioFigure(rows, reach, { bench, dataset }) {
  const found = ratioOf(rows, reach)
  const of = reach.of === undefined ? '' : `${reach.of}, `
  const name = `${dataset}: ${of}times the best of ${reach.over.join(', ')} at ${reach.target}`
  if (found === null) return { bench, section: dataset, name, note: 'recall not reached' }
  return {
    bench,
    section: dataset,
    name,
    unit: 'x',
    median: found.value.toFixed(2),
    min: found.low.toFixed(2),
    max: found.high.toFixed(2),
    reach: `>= ${reach.ratio}`,
    reached: yesNo(found.reached),
    note: `over ${found.peer}; ranges ${found.overlap ? 'overlap' : 'do not overlap'}`,
  }
}

/** One row of the file of figures about the spread of our own engine. */
export function spreadFigure(rows, targets, { bench, dataset }) {
  const { spread, discard } = spreadOf(rows, targets)
  return {
    bench,
    section: dataset,
    name: `${dataset}: spread of cairn against itself`,
    unit: '%',
    median: (spread * 100).toFixed(1),
    reach: '<= 5',
    reached: yesNo(!discard),
    note: discard ? 'DISCARD this run: the machine was not quiet' : '',
  }
}

/** Figures as a table. */
export function figureTable(rows) {
  const columns = [
    { title: 'what' },
    { title: 'median (extremes)', right: true },
    { title: 'wanted', right: true },
    { title: 'reached' },
    { title: 'note' },
  ]
  return table(
    columns,
    rows.map(({ name, unit, median, min, max, reach, reached, note }) => [
      name,
      value({ unit, median, min, max }),
      reach ?? '',
      reached ?? '',
      note ?? '',
    ]),
  )
}

function value({ unit, median, min, max }) {
  if (median === undefined || median === '') return '-'
  const shown = (number) => {
    if (unit === 'x') return Number(number).toFixed(2)
    // A share, or a count of a few.
    if (unit === '') return String(Number(Number(number).toFixed(4)))
    return grouped(Number(number))
  }
  const known = min !== undefined && min !== '' && max !== undefined && max !== ''
  return `${shown(median)} ${unit}${known ? ` (${shown(min)} to ${shown(max)})` : ''}`
}

/** How a yes or no is written in the record. */
export function yesNo(answer) {
  return answer ? 'yes' : 'no'
}

function byEngine(rows) {
  const groups = new Map()
  for (const row of rows) groups.set(row.engine, [...(groups.get(row.engine) ?? []), row])
  return [...groups].map(([name, group]) => [name, group, pointsOf(group)])
}

function curvesOf(rows) {
  return new Map(byEngine(rows).map(([name, , points]) => [name, points]))
}
