// Rows of any length become rows of length 1.
import { types } from 'node:util'
import { refuseUnsafeMemory, wrong } from '../check.js'
import { CairnError, type ErrorDetails } from '../errors.js'

/** Rows of a matrix that is being filled. */
export interface Place {
  readonly matrix: Float32Array
  readonly dim: number
  /** Its first row. */
  readonly first: number
  /** How many. */
  readonly rows: number
}

type Row = ArrayLike<unknown>

/** Puts what a function answered into its place, each row with the length 1. */
export function putUnitRows(answer: unknown, place: Place): void {
  const { rows, dim, first } = place
  // The components of a row, read once.
  const row = new Float64Array(dim)
  if (isFloats(answer)) {
    refuseUnsafeMemory(answer, { index: first })
    if (answer.length !== rows * dim) {
      throw mismatch('the matrix has the wrong length', rows * dim, answer.length, { index: first })
    }
    for (let at = 0; at < rows; at += 1) {
      read(answer, at * dim, row, first + at)
      putUnit(row, place, first + at)
    }
    return
  }
  if (!Array.isArray(answer)) {
    throw wrong('embed must answer vectors', 'array of rows | Float32Array', answer, 'embed')
  }
  if (answer.length !== rows) {
    throw mismatch('not one row for each text', rows, answer.length, { index: first })
  }
  for (let at = 0; at < rows; at += 1) {
    const index = first + at
    const given = rowOf(answer[at], index)
    if (given.length !== dim) {
      throw mismatch('the vector has the wrong length', dim, given.length, { index })
    }
    read(given, 0, row, index)
    putUnit(row, place, index)
  }
}

function rowOf(value: unknown, index: number): Row {
  if (isFloats(value)) {
    refuseUnsafeMemory(value, { index })
    return value
  }
  if (Array.isArray(value)) return value
  throw wrongRow(value, 'number[] | Float32Array', { index })
}

function isFloats(value: unknown): value is Float32Array | Float64Array {
  return types.isFloat32Array(value) || types.isFloat64Array(value)
}

function read(given: Row, from: number, row: Float64Array, index: number): void {
  for (let component = 0; component < row.length; component += 1) {
    const value = given[from + component]
    if (typeof value !== 'number') throw wrongRow(value, 'number', { index, component })
    if (!Number.isFinite(value)) {
      const details = { index, component, got: String(value) }
      throw new CairnError('ERR_NOT_FINITE', 'a component is NaN or infinite', details)
    }
    row[component] = value
  }
}

// Squares of 1e-200 are zero and those of 1e200 infinite, so components are divided by the largest first: their
// length is between 1 and the root of `dim` then. Division, not multiplication: one over the least number is infinite.
function putUnit(row: Float64Array, { matrix, dim }: Place, index: number): void {
  let largest = 0
  for (const value of row) largest = Math.max(largest, Math.abs(value))
  if (largest === 0) {
    throw new CairnError('ERR_ZERO_VECTOR', 'the vector of a text has no direction', { index })
  }
  let squares = 0
  for (const value of row) {
    const part = value / largest
    // No power: what `**` rounds to is for each engine to say.
    squares += part * part
  }
  const length = Math.sqrt(squares)
  for (let at = 0; at < dim; at += 1) matrix[index * dim + at] = (row[at] ?? 0) / largest / length
}

function mismatch(what: string, expected: number, got: number, details: ErrorDetails): CairnError {
  return new CairnError('ERR_DIM_MISMATCH', what, { ...details, expected, got })
}

function wrongRow(value: unknown, expected: string, details: ErrorDetails): CairnError {
  const { details: facts } = wrong('', expected, value, 'embed')
  return new CairnError('ERR_INVALID_ARGUMENT', 'embed answered no vector', {
    ...details,
    ...facts,
  })
}
