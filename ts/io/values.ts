// Values as JSON, with nothing lost.
//
// JSON has no dates, bytes or exact 64-bit integers. These are objects of one member: {"$date": "2024-05-01T00:00:00.000Z"},
// {"$bytes": "<base64>"}, {"$int": "9007199254740993"}. An object of the user's that looks like one of these is
// {"$object": { ... }}. Numbers are written so that they are read back bit for bit, -0 included.
import { types } from 'node:util'
import { isObject, isPlainObject, wrong } from '../check.js'
import { CairnError } from '../errors.js'
import type { Vector } from '../infer.js'
import { setOwn } from '../msgpack/decode.js'
import type { TransferVector } from './types.js'

const tags = new Set(['$date', '$bytes', '$int', '$object'])

/** Nesting beyond what any record may have. */
const depthMax = 64

/** A value as JSON. */
export function encodeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'number':
      return encodeNumber(value)
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? String(value) : `{"$int":"${value}"}`
    case 'object':
      return encodeObject(value)
    default:
      throw wrong('this cannot be written', 'value of a field', value)
  }
}

function encodeObject(value: object | null): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return `[${value.map(encodeValue).join(',')}]`
  if (types.isDate(value)) return `{"$date":"${value.toISOString()}"}`
  if (value instanceof Uint8Array) return `{"$bytes":"${base64(value)}"}`
  if (!isPlainObject(value)) throw wrong('this cannot be written', 'value of a field', value)
  const members = encodeMembers(value)
  return isTagged(value) ? `{"$object":${members}}` : members
}

/** Members of an object as JSON, whatever their names are. */
export function encodeMembers(object: Readonly<Record<string, unknown>>): string {
  const members: string[] = []
  for (const name of Object.keys(object)) {
    const value = object[name]
    if (value !== undefined) members.push(`${JSON.stringify(name)}:${encodeValue(value)}`)
  }
  return `{${members.join(',')}}`
}

function encodeNumber(value: number): string {
  if (!Number.isFinite(value)) {
    throw new CairnError('ERR_NOT_FINITE', 'JSON has no such number', { got: String(value) })
  }
  if (Object.is(value, -0)) return '-0'
  // With an exponent it is read as the float that it is, not as an exact integer.
  return Number.isInteger(value) && !Number.isSafeInteger(value)
    ? value.toExponential()
    : String(value)
}

/** 2^-126: below it a 32-bit float has fewer than 24 bits. */
const smallestNormal = 2 ** -126

/** The shortest decimal that is read back as the same 32-bit float. */
export function encodeFloat(value: number): string {
  if (Object.is(value, -0)) return '-0'
  if (Number.isSafeInteger(value)) return String(value)
  // 7 digits are enough for many and 9 for all; what needs fewer ends in zeros, but where floats are sparse.
  const least = Math.abs(value) < smallestNormal ? 1 : 7
  for (let digits = least; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return encodeNumber(short)
  }
  return encodeNumber(Number(value.toPrecision(9)))
}

/** The numbers of a vector that has a place for each. */
export function numbersOf(
  vector: TransferVector | undefined,
  field: string,
): ArrayLike<number> | undefined {
  if (vector === undefined) return undefined
  const path = `vectors.${field}`
  if ('indices' in vector)
    throw wrong('sparse vectors are written as JSON lines alone', 'jsonl', vector, path)
  if (isSeveral(vector)) throw wrong('a row of a matrix is one vector', 'numbers', vector, path)
  return vector
}

/** Whether each element is a vector itself. */
export function isSeveral(vector: TransferVector): vector is readonly Vector[] {
  return Array.isArray(vector) && isVector(vector[0])
}

/** Whether a value may be a vector, and is no number. */
export function isVector(value: unknown): boolean {
  return Array.isArray(value) || types.isTypedArray(value)
}

/** A vector as JSON. */
export function encodeVector(vector: TransferVector): string {
  if (isSeveral(vector)) return `[${Array.from(vector, encodeNumbers).join(',')}]`
  if (!('indices' in vector)) return encodeNumbers(vector)
  const { indices, values } = vector
  return `{"indices":${encodeNumbers(indices)},"values":${encodeNumbers(values)}}`
}

function encodeNumbers(vector: ArrayLike<number>): string {
  const parts: string[] = []
  for (let index = 0; index < vector.length; index += 1) {
    const value = vector[index] as number
    if (!Number.isFinite(value)) {
      throw new CairnError('ERR_NOT_FINITE', 'JSON has no such number', { got: String(value) })
    }
    parts.push(encodeFloat(value))
  }
  return `[${parts.join(',')}]`
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

function isTagged(value: object): boolean {
  const names = Object.keys(value)
  return names.length === 1 && tags.has(names[0] ?? '')
}

/** Integers of 16 digits and more, where a number may be rounded. */
const longInteger = /(?<![\d.])\d{16,}(?![\d.eE])/
const tokens = /"[^"\\]*(?:\\[^][^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g

/**
 * Reads JSON with every integer exact.
 *
 * @throws {SyntaxError} if it is not JSON.
 */
export function parseJson(text: string): unknown {
  const exact = longInteger.test(text) ? text.replace(tokens, exactInteger) : text
  const value: unknown = JSON.parse(exact)
  return exact.includes('"$') ? decodeValue(value, 0) : value
}

function exactInteger(token: string): string {
  const isLong = /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token))
  return isLong ? `{"$int":"${token}"}` : token
}

function decodeValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth > depthMax) {
    throw new CairnError('ERR_LIMIT_EXCEEDED', 'values are nested too deeply', { limit: depthMax })
  }
  if (Array.isArray(value)) return value.map((item) => decodeValue(item, depth + 1))
  const [name = ''] = Object.keys(value)
  if (!isTagged(value)) return decodeMembers(value, depth)
  const inner = (value as Record<string, unknown>)[name]
  switch (name) {
    case '$int':
      return integerOf(inner)
    case '$date':
      return dateOf(inner)
    case '$bytes':
      return bytesOf(inner)
    default:
      if (!isObject(inner)) throw wrong('$object holds an object', 'object', inner)
      return decodeMembers(inner, depth)
  }
}

function decodeMembers(value: object, depth: number): Record<string, unknown> {
  const decoded: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    setOwn(decoded, name, decodeValue(member, depth + 1))
  }
  return decoded
}

function integerOf(value: unknown): number | bigint {
  if (typeof value !== 'string' || !/^-?\d{1,309}$/.test(value)) {
    throw wrong('$int holds decimal digits', 'string', value)
  }
  const integer = BigInt(value)
  const number = Number(integer)
  return Number.isSafeInteger(number) ? number : integer
}

/** An instant, of its text or of milliseconds since 1970. */
export function dateOf(value: unknown): Date {
  const date = new Date(
    typeof value === 'string' || typeof value === 'number' ? value : Number(value),
  )
  if (Number.isNaN(date.getTime())) throw wrong('not a date', 'ISO 8601 or milliseconds', value)
  return date
}

/** Bytes of base64. */
export function bytesOf(value: unknown): Uint8Array {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) {
    throw wrong('not bytes in base64', 'base64', value)
  }
  return new Uint8Array(Buffer.from(value, 'base64'))
}
