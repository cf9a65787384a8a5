// Several vectors of one record, or of one query, as the addon takes them: how many there are, and all of them end to
// end. The first is an integer in the memory of a `Float32Array`; crates/engine/src/vectors/varying.rs is the
// counterpart.
import { types } from 'node:util'
import { refuseUnsafeMemory } from '../check.js'
import { CairnError, toCairnError, withDetails } from '../errors.js'
import { limits } from '../limits.js'
import type { VectorShape } from '../schema.js'
import { copyVector, notVector, vectorNames } from './components.js'

/** Several vectors in memory of their own. Whether components of a `Float32Array` are finite is for the engine to see. */
export function multiFloats(value: unknown, field: VectorShape): Float32Array {
  const { dim, name } = field
  if (types.isFloat32Array(value)) {
    refuseUnsafeMemory(value, { field: name })
    if (value.length % dim !== 0) {
      throw new CairnError('ERR_DIM_MISMATCH', 'not a whole number of vectors', {
        field: name,
        expected: `a multiple of ${dim}`,
        got: value.length,
      })
    }
    const floats = roomFor(value.length / dim, field)
    floats.set(value, 1)
    return floats
  }
  if (!Array.isArray(value)) throw notVector(value, vectorNames.multi, { field: name })
  const count = value.length
  const floats = roomFor(count, field)
  for (let position = 0; position < count; position += 1) {
    try {
      copyVector(value[position], floats, 1 + position * dim, field)
    } catch (error) {
      throw withDetails(toCairnError(error), { position })
    }
  }
  return floats
}

/** Reads several vectors out of a block: views of one copy. */
export function readMulti(
  words: Uint32Array,
  floats: Float32Array,
  start: number,
  end: number,
): Float32Array[] {
  const all = floats.slice(start + 1, end)
  const count = words[start] as number
  const dim = all.length / count
  return Array.from({ length: count }, (_, at) => all.subarray(at * dim, (at + 1) * dim))
}

/** Memory for so many vectors, their number in its place. */
function roomFor(count: number, { dim, name }: VectorShape): Float32Array {
  if (count === 0) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a record and a query have at least one vector', {
      field: name,
      expected: 'at least one vector',
      got: 'none',
    })
  }
  if (count > limits.vectorsMax) {
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'too many vectors', {
      field: name,
      limit: limits.vectorsMax,
      got: count,
    })
  }
  const floats = new Float32Array(1 + count * dim)
  new Uint32Array(floats.buffer, 0, 1)[0] = count
  return floats
}
