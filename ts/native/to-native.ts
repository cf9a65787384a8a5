// Vectors and keys as the addon takes them: one block of memory for many rows.
import { types } from 'node:util'
import { refuseUnsafeMemory } from '../check.js'
import { CairnError, toCairnError, withDetails } from '../errors.js'
import { ByteWriter } from '../internal/byte-writer.js'
import { describe } from '../internal/describe.js'
import { isWellFormed } from '../internal/text.js'
import { limits } from '../limits.js'
import { varies, widthOf, type VectorShape } from '../schema.js'
import { checkLength, copyVector, isOwnArray, notVector, vectorNames } from './components.js'
import { multiFloats } from './multi.js'
import { sparseFloats } from './sparse.js'

const u64Max = 2n ** 64n - 1n

/**
 * A vector as 32-bit floats, not copied when it is that already; of bits a number for each byte.
 *
 * Whether the components of a `Float32Array` can be stored is for the engine to see, which looks at
 * each anyway.
 */
export function toFloats(value: unknown, field: VectorShape): Float32Array {
  if (varies(field.type)) return varyingFloats(value, field)
  if (field.type !== 'binary' && field.type !== 'i8' && types.isFloat32Array(value)) {
    checkLength(value, field)
    return value
  }
  const floats = new Float32Array(widthOf(field))
  copyVector(value, floats, 0, field)
  return floats
}

/** A vector that says itself how long it is. */
export function varyingFloats(value: unknown, field: VectorShape): Float32Array {
  return field.type === 'sparse' ? sparseFloats(value, field) : multiFloats(value, field)
}

/** Vectors of one field, and how many there are; `rows` of them unless that is undefined. */
export function toColumn(
  value: unknown,
  rows: number | undefined,
  field: VectorShape,
): { readonly floats: Float32Array; readonly count: number } {
  if (!varies(field.type)) {
    const floats = toMatrix(value, rows, field)
    return { floats, count: floats.length / widthOf(field) }
  }
  const details = { field: field.name }
  if (!Array.isArray(value)) throw notVector(value, `array of ${vectorNames[field.type]}`, details)
  const count = value.length
  if (rows !== undefined && count !== rows) {
    throw new CairnError('ERR_DIM_MISMATCH', 'the column has the wrong length', {
      ...details,
      expected: rows,
      got: count,
    })
  }
  if (count > limits.batchRowsMax) {
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'too many vectors', {
      ...details,
      limit: limits.batchRowsMax,
      got: count,
    })
  }
  const vectors = Array.from({ length: count }, (_, index) => varyingAt(value[index], index, field))
  return { floats: endToEnd(vectors), count }
}

/** Vectors in one block of memory. */
export function endToEnd(vectors: readonly Float32Array[]): Float32Array {
  const floats = new Float32Array(vectors.reduce((sum, one) => sum + one.length, 0))
  let at = 0
  for (const one of vectors) {
    floats.set(one, at)
    at += one.length
  }
  return floats
}

function varyingAt(value: unknown, index: number, field: VectorShape): Float32Array {
  try {
    return varyingFloats(value, field)
  } catch (error) {
    throw withDetails(toCairnError(error), { index })
  }
}

/** A matrix of `rows` vectors; any number of them when `rows` is undefined. */
export function toMatrix(
  value: unknown,
  rows: number | undefined,
  field: VectorShape,
): Float32Array {
  const details = { field: field.name }
  if (!isOwnArray(value, field.type)) throw notVector(value, vectorNames[field.type], details)
  refuseUnsafeMemory(value, details)
  const width = widthOf(field)
  const expected = rows === undefined ? `a multiple of ${width}` : rows * width
  if (rows === undefined ? value.length % width !== 0 : value.length !== expected) {
    throw new CairnError('ERR_DIM_MISMATCH', 'the matrix has the wrong length', {
      ...details,
      expected,
      got: value.length,
    })
  }
  return types.isFloat32Array(value) ? value : Float32Array.from(value)
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

/** One key of a collection, checked. */
export function toKey(key: unknown, keyType: 'string' | 'u64'): string | bigint {
  if (keyType === 'u64') return toKeyNumber(key)
  writeKey(new ByteWriter(limits.keyBytesMax), key)
  return key as string
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
