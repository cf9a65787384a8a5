// Sparse vectors as the addon takes them: the number of values, the indexes, and the values, all in 32 bits each.
// The first two are integers in the memory of a `Float32Array`; crates/engine/src/vectors/varying.rs is the counterpart.
import { types } from 'node:util'
import { isPlainObject, refuseUnknown, refuseUnsafeMemory } from '../check.js'
import { CairnError, toCairnError, withDetails, type ErrorDetails } from '../errors.js'
import { describe } from '../internal/describe.js'
import type { SparseVector } from '../infer.js'
import type { VectorShape } from '../schema.js'

const names = new Set(['indices', 'values'])

/**
 * A sparse vector in memory of its own. Whether indexes rise and stay below `dim`, and values are finite, is for the
 * engine to see.
 */
export function sparseFloats(value: unknown, field: VectorShape): Float32Array {
  const details = { field: field.name }
  if (!isPlainObject(value)) throw wrongPart(value, '{ indices, values }', details)
  try {
    refuseUnknown(value, names, 'a sparse vector')
  } catch (error) {
    throw withDetails(toCairnError(error), details)
  }
  // Each member is read once: a getter may give something else the second time.
  const indices = toIndices(value['indices'], field)
  const values = toValues(value['values'], field)
  const count = indices.length
  if (values.length !== count) {
    throw new CairnError('ERR_DIM_MISMATCH', 'a sparse vector has a value for each index', {
      ...details,
      expected: count,
      got: values.length,
    })
  }
  const floats = new Float32Array(1 + 2 * count)
  const words = new Uint32Array(floats.buffer)
  words[0] = count
  words.set(indices, 1)
  floats.set(values, 1 + count)
  return floats
}

/** Reads a sparse vector out of a block, copied. */
export function readSparse(words: Uint32Array, floats: Float32Array, at: number): SparseVector {
  const first = at + 1
  const behind = first + (words[at] as number)
  return {
    indices: words.slice(first, behind),
    values: floats.slice(behind, behind + behind - first),
  }
}

function toIndices(given: unknown, field: VectorShape): Uint32Array {
  const details = { field: field.name, path: 'indices' }
  if (types.isUint32Array(given)) {
    refuseUnsafeMemory(given, details)
    refuseMore(given.length, field)
    return given
  }
  if (!Array.isArray(given)) throw wrongPart(given, 'Uint32Array or number[]', details)
  refuseMore(given.length, field)
  const indices = new Uint32Array(given.length)
  for (let position = 0; position < indices.length; position += 1) {
    const index: unknown = given[position]
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0) {
      throw wrongPart(index, 'whole number of at least 0', { ...details, position })
    }
    if (index >= field.dim) {
      throw new CairnError('ERR_DIM_MISMATCH', 'an index is not below dim', {
        ...details,
        position,
        dim: field.dim,
        got: index,
      })
    }
    indices[position] = index
  }
  return indices
}

function toValues(given: unknown, field: VectorShape): Float32Array {
  const details = { field: field.name, path: 'values' }
  if (types.isFloat32Array(given)) {
    refuseUnsafeMemory(given, details)
    refuseMore(given.length, field)
    return given
  }
  if (!Array.isArray(given)) throw wrongPart(given, 'Float32Array or number[]', details)
  refuseMore(given.length, field)
  const values = new Float32Array(given.length)
  for (let position = 0; position < values.length; position += 1) {
    const value: unknown = given[position]
    if (typeof value !== 'number') throw wrongPart(value, 'number', { ...details, position })
    values[position] = value
    if (Number.isFinite(values[position])) continue
    const what = 'a value is NaN, infinite, or too large for 32 bits'
    throw new CairnError('ERR_NOT_FINITE', what, { ...details, position, got: String(value) })
  }
  return values
}

/** More indexes than there are cannot rise. */
function refuseMore(length: number, { name, dim }: VectorShape): void {
  if (length <= dim) return
  throw new CairnError('ERR_DIM_MISMATCH', 'a sparse vector has more values than dim', {
    field: name,
    expected: `at most ${dim}`,
    got: length,
  })
}

function wrongPart(value: unknown, expected: string, details: ErrorDetails): CairnError {
  return new CairnError('ERR_INVALID_ARGUMENT', 'not a sparse vector', {
    ...details,
    expected,
    got: describe(value),
  })
}
