// How values appear in messages. Nothing here runs code of the value's owner.
import { types } from 'node:util'

const textMax = 80

/** A fact as it stands in a message. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shorten(value))
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'bigint') return `${value}n`
  return describe(value)
}

/** A short description of any value: `3.5`, `"text"`, `Float64Array`, `null`. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'string':
      return JSON.stringify(shorten(value))
    case 'bigint':
      return shorten(`${value}n`)
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'object':
      return value === null ? 'null' : describeObject(value)
    default:
      return typeof value
  }
}

function describeObject(value: object): string {
  if (types.isProxy(value)) return 'proxy'
  if (Array.isArray(value)) return 'array'
  if (types.isTypedArray(value)) return value[Symbol.toStringTag]
  if (types.isDataView(value)) return 'DataView'
  if (types.isDate(value)) return 'Date'
  if (types.isAnyArrayBuffer(value)) return 'ArrayBuffer'
  if (types.isPromise(value)) return 'promise'
  return 'object'
}

function shorten(text: string): string {
  return text.length <= textMax ? text : `${text.slice(0, textMax)}...`
}
