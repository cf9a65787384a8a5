// Vectors and keys as the addon takes them: one block of memory for many rows.
import { types } from 'node:util'
import { refuseUnsafeMemory } from '../check.js'
import { CairnError, type ErrorDetails } from '../errors.js'
import type { ByteWriter } from '../internal/byte-writer.js'
import { describe } from '../internal/describe.js'
import { isWellFormed } from '../internal/text.js'
import { limits } from '../limits.js'

const u64Max = 2n ** 64n - 1n

/**
 * A vector as 32-bit floats, not copied when it is that already.
 *
 * Whether the components of a `Float32Array` are finite is for the engine to see, which looks at
 * each anyway.
 */
export function toFloats(value: unknown, dim: number, details: ErrorDetails): Float32Array {
  if (types.isFloat32Array(value)) {
    checkFloats(value, dim, details)
    return value
  }
  const floats = new Float32Array(dim)
  copyNumbers(value, floats, 0, dim, details)
  return floats
}

/** Copies a vector into a matrix. */
export function copyVector(
  value: unknown,
  into: Float32Array,
  at: number,
  dim: number,
  details: ErrorDetails,
): void {
  if (types.isFloat32Array(value)) {
    checkFloats(value, dim, details)
    into.set(value, at)
  } else {
    copyNumbers(value, into, at, dim, details)
  }
}

/** A matrix of `rows` vectors; any number of them when `rows` is undefined. */
export function toMatrix(
  value: unknown,
  rows: number | undefined,
  dim: number,
  details: ErrorDetails,
): Float32Array {
  if (!types.isFloat32Array(value)) throw wrongVector(value, 'Float32Array', details)
  refuseUnsafeMemory(value, details)
  const expected = rows === undefined ? `a multiple of ${dim}` : rows * dim
  if (rows === undefined ? value.length % dim !== 0 : value.length !== expected) {
    throw new CairnError('ERR_DIM_MISMATCH', 'the matrix has the wrong length', {
      ...details,
      expected,
      got: value.length,
    })
  }
  return value
}

function checkFloats(value: Float32Array, dim: number, details: ErrorDetails): void {
  if (types.isSharedArrayBuffer(value.buffer)) refuseUnsafeMemory(value, details)
  if (value.length === dim) return
  refuseUnsafeMemory(value, details)
  throw wrongLength(value.length, dim, details)
}

function copyNumbers(
  value: unknown,
  into: Float32Array,
  at: number,
  dim: number,
  details: ErrorDetails,
): void {
  if (!Array.isArray(value)) throw wrongVector(value, 'Float32Array or number[]', details)
  if (value.length !== dim) throw wrongLength(value.length, dim, details)
  for (let index = 0; index < dim; index += 1) {
    const component: unknown = value[index]
    if (typeof component !== 'number') {
      throw wrongVector(component, 'number', { ...details, component: index })
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

function wrongVector(value: unknown, expected: string, details: ErrorDetails): CairnError {
  return new CairnError('ERR_INVALID_ARGUMENT', 'not a vector', {
    ...details,
    expected,
    got: describe(value),
  })
}

/** Appends a string key in UTF-8 and gives where it ends. */
export function writeKey(out: ByteWriter, key: unknown): number {
  if (typeof key !== 'string') {
    throw new CairnError('ERR_INVALID_KEY', 'keys of this collection are strings', {
      expected: 'string',
      got: describe(key),
    })
  }
  const { length } = key
  if (length === 0) throw new CairnError('ERR_INVALID_KEY', 'a key is empty')
  if (length > limits.keyBytesMax) throw tooLong(key, Buffer.byteLength(key))
  out.room(length * 3)
  const start = out.at
  if (length <= 32 && writeAscii(out, key)) return out.at
  const bytes = out.bytes.write(key, start, 'utf8')
  if (bytes > limits.keyBytesMax) throw tooLong(key, bytes)
  if (bytes !== length && !isWellFormed(key)) {
    throw new CairnError('ERR_INVALID_KEY', 'a key has half a character (a lone surrogate)', {
      key,
    })
  }
  out.at = start + bytes
  return out.at
}

function tooLong(key: string, bytes: number): CairnError {
  return new CairnError('ERR_INVALID_KEY', 'a key is too long', {
    key,
    limit: limits.keyBytesMax,
    got: bytes,
  })
}

/** A key of a collection keyed by numbers. */
export function toKeyNumber(key: unknown): bigint {
  if (typeof key === 'bigint' && key >= 0n && key <= u64Max) return key
  throw new CairnError('ERR_INVALID_KEY', 'keys of this collection are unsigned 64-bit bigints', {
    expected: 'bigint from 0 to 2^64 - 1',
    got: describe(key),
    ...(typeof key === 'number' ? { suggestion: 'BigInt(key)' } : {}),
  })
}

function writeAscii(out: ByteWriter, key: string): boolean {
  const { bytes } = out
  let { at } = out
  for (let index = 0; index < key.length; index += 1) {
    const unit = key.charCodeAt(index)
    if (unit >= 0x80) return false
    bytes[at] = unit
    at += 1
  }
  out.at = at
  return true
}
