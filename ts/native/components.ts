// The components of one vector, copied and checked.
import { types } from 'node:util'
import { refuseUnsafeMemory } from '../check.js'
import { CairnError, type ErrorDetails } from '../errors.js'
import { describe } from '../internal/describe.js'
import { widthOf, type VectorShape, type VectorType } from '../schema.js'

/** An array of numbers in memory of its own. */
type NumberArray = Float32Array | Int8Array | Uint8Array

/** Copies a vector of a length that its field says into a matrix. */
export function copyVector(
  value: unknown,
  into: Float32Array,
  at: number,
  field: VectorShape,
): void {
  if (isOwnArray(value, field.type)) {
    checkLength(value, field)
    into.set(value, at)
  } else {
    copyNumbers(value, into, at, field)
  }
}

/** What vectors are given as. */
export const vectorNames: Readonly<Record<VectorType, string>> = {
  sparse: '{ indices, values }',
  multi: 'vectors, or a Float32Array of all of them',
  f32: 'Float32Array',
  f16: 'Float32Array',
  i8: 'Int8Array',
  binary: 'Uint8Array',
}

/** Whether a value is the array that vectors of this type are given as. */
export function isOwnArray(value: unknown, type: VectorType): value is NumberArray {
  if (type === 'i8') return types.isInt8Array(value)
  if (type === 'binary') return types.isUint8Array(value)
  return types.isFloat32Array(value)
}

/** Refuses an array of another length than its field says. */
export function checkLength(value: NumberArray, field: VectorShape): void {
  const width = widthOf(field)
  if (types.isSharedArrayBuffer(value.buffer)) refuseUnsafeMemory(value, { field: field.name })
  if (value.length === width) return
  refuseUnsafeMemory(value, { field: field.name })
  throw wrongLength(value.length, width, { field: field.name })
}

function copyNumbers(value: unknown, into: Float32Array, at: number, field: VectorShape): void {
  const width = widthOf(field)
  const details = { field: field.name }
  if (!Array.isArray(value)) {
    const expected = field.type === 'multi' ? 'Float32Array' : vectorNames[field.type]
    throw notVector(value, `${expected} or number[]`, details)
  }
  if (value.length !== width) throw wrongLength(value.length, width, details)
  for (let index = 0; index < width; index += 1) {
    const component: unknown = value[index]
    if (typeof component !== 'number') {
      throw notVector(component, 'number', { ...details, component: index })
    }
    const float = Math.fround(component)
    if (!Number.isFinite(float)) {
      throw new CairnError(
        'ERR_NOT_FINITE',
        'a component is NaN, infinite, or too large for 32 bits',
        {
          ...details,
          component: index,
          got: String(component),
        },
      )
    }
    // Rounding could make a whole number of one that is none.
    if (float !== component && (field.type === 'i8' || field.type === 'binary')) {
      throw new CairnError('ERR_INVALID_ARGUMENT', 'a component is no whole number', {
        ...details,
        component: index,
        got: String(component),
      })
    }
    into[at + index] = float
  }
}

function wrongLength(got: number, expected: number, details: ErrorDetails): CairnError {
  return new CairnError('ERR_DIM_MISMATCH', 'the vector has the wrong length', {
    ...details,
    expected,
    got,
  })
}

/** What is no vector, or no component of one. */
export function notVector(value: unknown, expected: string, details: ErrorDetails): CairnError {
  return new CairnError('ERR_INVALID_ARGUMENT', 'not a vector', {
    ...details,
    expected,
    got: describe(value),
  })
}
