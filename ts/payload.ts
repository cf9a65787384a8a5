// Fields of a record: checked against the schema and encoded as one MessagePack map.
import { types } from 'node:util'
import { isDetached, isPlainObject } from './check.js'
import { CairnError, toCairnError, type ErrorCode, type ErrorDetails } from './errors.js'
import type { ByteWriter } from './internal/byte-writer.js'
import { describe } from './internal/describe.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'
import {
  beginMap,
  endMap,
  fitsInt64,
  writeArrayHeader,
  writeBigInt,
  writeBoolean,
  writeBytes,
  writeDate,
  writeFloat,
  writeInteger,
  writeNil,
  writeText,
} from './msgpack/encode.js'
import type { BaseType, FieldKind, SchemaShape } from './schema.js'

interface DeclaredType {
  readonly kind: FieldKind
  readonly base: BaseType
  readonly array: boolean
}

/** Encodes the fields of records of one collection. */
export class PayloadEncoder {
  readonly #declared = new Map<string, DeclaredType>()
  readonly #rejectExtra: boolean

  constructor({ fields, rejectExtra }: Pick<SchemaShape, 'fields' | 'rejectExtra'>) {
    for (const { name, kind } of fields) {
      const array = kind.endsWith('[]')
      const base = (array ? kind.slice(0, -2) : kind) as BaseType
      this.#declared.set(name, { kind, base, array })
    }
    this.#rejectExtra = rejectExtra
  }

  /**
   * Appends `fields` as a map; nothing at all for `undefined`.
   *
   * @throws {CairnError} with `field`, and `path` where the fault lies deeper.
   */
  encode(out: ByteWriter, fields: unknown): void {
    if (fields === undefined) return
    if (!isPlainObject(fields)) {
      throw refused('fields must be a plain object', [], {
        expected: 'object',
        got: describe(fields),
      })
    }
    const start = out.at
    const names = Object.keys(fields)
    const map = beginMap(out, names.length)
    let entries = 0
    let field = ''
    try {
      for (const name of names) {
        field = name
        if (this.entry(out, name, fields[name])) entries += 1
      }
    } catch (error) {
      // A getter or a proxy of the caller's.
      throw toCairnError(error, { field })
    }
    endMap(out, map, names.length, entries)
    checkSize(out.at - start)
  }

  /**
   * Appends the map of one row of a column batch.
   *
   * @param columns - Values by field name; `undefined` is missing.
   */
  encodeRow(
    out: ByteWriter,
    columns: readonly (readonly [string, ArrayLike<unknown>])[],
    row: number,
  ): void {
    const start = out.at
    const map = beginMap(out, columns.length)
    let entries = 0
    for (const [name, column] of columns) {
      if (this.entry(out, name, column[row])) entries += 1
    }
    endMap(out, map, columns.length, entries)
    checkSize(out.at - start)
  }

  /** Appends a field, or nothing when it is missing. Tells which. */
  private entry(out: ByteWriter, name: string, value: unknown): boolean {
    if (value === undefined) return false
    const declared = this.#declared.get(name)
    const path: Path = [name]
    if (declared === undefined && this.#rejectExtra) {
      throw refused('the schema refuses fields that are not declared', path, {})
    }
    writeString(out, name, path)
    if (value === null) writeNil(out)
    else if (declared === undefined) writeAny(out, value, path)
    else writeDeclared(out, value, declared, path)
    return true
  }
}

type Path = (string | number)[]

function writeDeclared(out: ByteWriter, value: unknown, type: DeclaredType, path: Path): void {
  if (!type.array) {
    writeTyped(out, value, type, path)
    return
  }
  if (!Array.isArray(value)) throw wrongType(type.kind, value, path)
  writeArrayHeader(out, value.length)
  for (let index = 0; index < value.length; index += 1) {
    path.push(index)
    writeTyped(out, value[index], type, path)
    path.pop()
  }
}

function writeTyped(
  out: ByteWriter,
  value: unknown,
  { kind, base }: DeclaredType,
  path: Path,
): void {
  switch (base) {
    case 'keyword':
    case 'text':
      if (typeof value !== 'string') break
      writeString(out, value, path)
      return
    case 'int':
      if (typeof value !== 'bigint' && typeof value !== 'number') break
      writeWhole(out, value, path)
      return
    case 'float':
      if (typeof value !== 'number') break
      writeFloat(out, finite(value, path))
      return
    case 'bool':
      if (typeof value !== 'boolean') break
      writeBoolean(out, value)
      return
    case 'date':
      if (!types.isDate(value)) break
      writeDate(out, instant(value, path))
      return
    case 'geo':
      writeGeo(out, value, path)
      return
    case 'bytes':
      if (!(value instanceof Uint8Array)) break
      writeBlob(out, value, path)
      return
    case 'json':
      writeAny(out, value, path)
      return
  }
  throw wrongType(kind, value, path)
}

function writeAny(out: ByteWriter, value: unknown, path: Path): void {
  switch (typeof value) {
    case 'string':
      writeString(out, value, path)
      return
    case 'number':
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) writeInteger(out, value)
      else writeFloat(out, finite(value, path))
      return
    case 'boolean':
      writeBoolean(out, value)
      return
    case 'bigint':
      writeWhole(out, value, path)
      return
    case 'object':
      writeObject(out, value, path)
      return
    default:
      throw notStorable(value, path)
  }
}

function writeObject(out: ByteWriter, value: object | null, path: Path): void {
  if (value === null) {
    writeNil(out)
  } else if (Array.isArray(value)) {
    refuseTooDeep(path)
    writeArrayHeader(out, value.length)
    for (let index = 0; index < value.length; index += 1) {
      path.push(index)
      writeAny(out, value[index], path)
      path.pop()
    }
  } else if (types.isDate(value)) {
    writeDate(out, instant(value, path))
  } else if (value instanceof Uint8Array) {
    writeBlob(out, value, path)
  } else if (isPlainObject(value)) {
    refuseTooDeep(path)
    const names = Object.keys(value)
    const map = beginMap(out, names.length)
    let entries = 0
    for (const name of names) {
      const member = value[name]
      if (member === undefined) continue
      path.push(name)
      writeString(out, name, path)
      writeAny(out, member, path)
      path.pop()
      entries += 1
    }
    endMap(out, map, names.length, entries)
  } else {
    throw notStorable(value, path)
  }
}

function writeString(out: ByteWriter, value: string, path: Path): void {
  const byteLength = Buffer.byteLength(value)
  if (byteLength !== value.length && !isWellFormed(value)) {
    throw refused('text with half a character (a lone surrogate)', path, { got: describe(value) })
  }
  writeText(out, value, byteLength)
}

function writeWhole(out: ByteWriter, value: number | bigint, path: Path): void {
  if (typeof value === 'bigint') {
    if (!fitsInt64(value)) throw outOfRange(value, path)
    writeBigInt(out, value)
    return
  }
  if (!Number.isInteger(value)) throw wrongType('int', value, path)
  // A number beyond 2^53 may already be rounded: the caller has to say exactly what is meant.
  if (!Number.isSafeInteger(value)) throw outOfRange(value, path)
  writeInteger(out, value)
}

function writeBlob(out: ByteWriter, value: Uint8Array, path: Path): void {
  if (types.isSharedArrayBuffer(value.buffer))
    throw refused('shared memory is not accepted', path, {})
  if (isDetached(value)) throw refused('the buffer is detached', path, {})
  writeBytes(out, value)
}

function writeGeo(out: ByteWriter, value: unknown, path: Path): void {
  if (!isPlainObject(value)) throw wrongType('geo', value, path)
  const { lat, lon } = value
  const known = Object.keys(value).every((name) => name === 'lat' || name === 'lon')
  if (!known || !within(lat, 90) || !within(lon, 180)) {
    throw refused('a place is { lat, lon } in degrees', path, {
      expected: '{ lat: -90 to 90, lon: -180 to 180 }',
      got: `{ lat: ${describe(lat)}, lon: ${describe(lon)} }`,
    })
  }
  const map = beginMap(out, 2)
  writeText(out, 'lat', 3)
  writeFloat(out, lat)
  writeText(out, 'lon', 3)
  writeFloat(out, lon)
  endMap(out, map, 2, 2)
}

function within(value: unknown, bound: number): value is number {
  return typeof value === 'number' && Math.abs(value) <= bound
}

function finite(value: number, path: Path): number {
  if (Number.isFinite(value)) return value
  throw refused(
    'a field cannot hold it; null can stand for it',
    path,
    { got: String(value) },
    'ERR_NOT_FINITE',
  )
}

function instant(value: Date, path: Path): number {
  const milliseconds = value.getTime()
  if (Number.isNaN(milliseconds)) throw refused('the date is invalid', path, {})
  return milliseconds
}

/** The record's own map is the first level, so a container may have at most 31 containers around it. */
function refuseTooDeep(path: Path): void {
  if (path.length < limits.fieldsDepthMax) return
  const details = { limit: limits.fieldsDepthMax }
  throw refused(
    'fields are nested too deeply, or in a circle',
    path.slice(0, 4),
    details,
    'ERR_LIMIT_EXCEEDED',
  )
}

function checkSize(bytes: number): void {
  if (bytes <= limits.fieldsBytesMax) return
  throw new CairnError('ERR_LIMIT_EXCEEDED', 'fields of a record are too large', {
    limit: limits.fieldsBytesMax,
    got: bytes,
  })
}

function outOfRange(value: number | bigint, path: Path): CairnError {
  const expected =
    typeof value === 'bigint' ? 'bigint from -2^63 to 2^63 - 1' : 'number within 2^53, or a bigint'
  return refused('the integer is out of range', path, { expected, got: describe(value) })
}

function notStorable(value: unknown, path: Path): CairnError {
  return refused('a field cannot hold this', path, {
    expected: 'string, number, boolean, null, bigint, Date, Uint8Array, array or plain object',
    got: describe(value),
  })
}

function wrongType(kind: string, value: unknown, path: Path): CairnError {
  return refused('a field has the wrong type', path, { expected: kind, got: describe(value) })
}

function refused(
  message: string,
  path: Path,
  details: ErrorDetails,
  code: ErrorCode = 'ERR_INVALID_ARGUMENT',
): CairnError {
  const [field] = path
  const where = {
    ...(field === undefined ? {} : { field: String(field) }),
    ...(path.length > 1 ? { path: pathText(path) } : {}),
  }
  return new CairnError(code, message, { ...where, ...details })
}

function pathText(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}
