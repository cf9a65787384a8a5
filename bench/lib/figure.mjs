// One line of the file of figures.
import { summary } from './numbers.mjs'

/**
 * A figure out of repeated measurements, judged by its median.
 *
 * @param wanted - `{ least }` or `{ most }`, or nothing where nothing is wanted.
 */
export function figure(name, unit, values, wanted = {}, note = '') {
  const { median, min, max } = summary(values)
  return {
    name,
    unit,
    median: rounded(median),
    min: values.length > 1 ? rounded(min) : '',
    max: values.length > 1 ? rounded(max) : '',
    runs: values.length,
    ...judged(median, wanted),
    note,
  }
}

/** The same figure judged by its worst value. */
export function worst(name, unit, values, wanted, note = '') {
  const value = wanted.most === undefined ? Math.min(...values) : Math.max(...values)
  return { ...figure(name, unit, values, {}, note), ...judged(value, wanted) }
}

function judged(value, { least, most }) {
  if (least !== undefined) return { reach: `>= ${least}`, reached: value >= least ? 'yes' : 'no' }
  if (most !== undefined) return { reach: `<= ${most}`, reached: value <= most ? 'yes' : 'no' }
  return {}
}

function rounded(value) {
  return Number(value.toPrecision(6))
}
