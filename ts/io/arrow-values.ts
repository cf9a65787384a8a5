// Values of Arrow columns, read from their buffers. The library's own getters drop a byte order mark at the start of
// a text, replace what is not UTF-8, and make an object for each list.
//
// Layout: https://arrow.apache.org/docs/format/Columnar.html
import { isUtf8 } from 'node:buffer'
import type * as Arrow from 'apache-arrow'
import { CairnError } from '../errors.js'
import { damaged, unsupported } from './faults.js'
import { foreignRow } from './table.js'

/** A column, or a part of one, as the library decodes it. */
interface Column {
  readonly length: number
  readonly offset: number
  readonly type: Arrow.DataType
  readonly children: readonly Column[]
  readonly nullBitmap?: Uint8Array | undefined
  readonly valueOffsets?: Int32Array | BigInt64Array | undefined
  readonly values?: unknown
  readonly dictionary?: { readonly data: readonly Column[]; readonly length: number } | undefined
}

// As Schema.fbs numbers them; the library's own -1 stands for a dictionary.
const kinds = {
  null: 1,
  int: 2,
  float: 3,
  binary: 4,
  utf8: 5,
  bool: 6,
  date: 8,
  timestamp: 10,
  list: 12,
  struct: 13,
  fixedSizeBinary: 15,
  fixedSizeList: 16,
  largeBinary: 19,
  largeUtf8: 20,
  largeList: 21,
  dictionary: -1,
} as const

const known: ReadonlySet<number> = new Set(Object.values(kinds))

interface TypeFacts {
  readonly typeId: number
  readonly children?: readonly { readonly name: string; readonly type: Arrow.DataType }[] | null
  readonly listSize?: number
  readonly byteWidth?: number
  readonly unit?: number
  readonly precision?: number
  readonly dictionary?: Arrow.DataType
}

const factsOf = (type: Arrow.DataType): TypeFacts => type

/** Refuses columns whose values no field can hold. */
export function checkType(column: unknown, type: Arrow.DataType, isTop: boolean = true): void {
  const { typeId, children: own, listSize = 0, dictionary } = factsOf(type)
  const children = own ?? []
  // Values without bytes, as many as a length says: none of these within others.
  const isEmpty =
    typeId === kinds.null ||
    (typeId === kinds.struct && children.length === 0) ||
    (typeId === kinds.fixedSizeList && listSize < 1)
  if (!known.has(typeId) || (isEmpty && !isTop)) {
    throw unsupported('a column has a type that no field can hold', { column, got: typeId })
  }
  if (dictionary !== undefined) checkType(column, dictionary, false)
  for (const child of children) checkType(column, child.type, false)
}

/** Checks that the buffers of a column hold as many values as it says: they come from the file as they are. */
export function checkColumn(data: Arrow.Data): void {
  checkBuffers(data)
}

function checkBuffers(column: Column): void {
  const { length, nullBitmap, valueOffsets, children, dictionary } = column
  if (column.offset !== 0) throw damaged('a column begins in the middle of its buffers')
  if (length === 0) return
  if (nullBitmap !== undefined && nullBitmap.length > 0) need(nullBitmap.length, length / 8)
  const { typeId, listSize = 0, byteWidth = 0 } = factsOf(column.type)
  const held = (column.values as ArrayLike<unknown> | undefined)?.length ?? 0
  switch (typeId) {
    case kinds.null:
      break
    case kinds.bool:
      need(held, length / 8)
      break
    case kinds.struct:
      for (const child of children) need(child.length, length)
      break
    case kinds.fixedSizeList:
      need(children[0]?.length, length * listSize)
      break
    case kinds.fixedSizeBinary:
      if (byteWidth < 0) throw damaged('a column of bytes of no width')
      need(held, length * byteWidth)
      break
    case kinds.list:
    case kinds.largeList:
      need(children[0]?.length, lastOffset(valueOffsets, length))
      break
    case kinds.binary:
    case kinds.largeBinary:
    case kinds.utf8:
    case kinds.largeUtf8:
      need(held, lastOffset(valueOffsets, length))
      break
    default:
      need(held, length)
  }
  for (const child of children) checkBuffers(child)
  for (const part of dictionary?.data ?? []) checkBuffers(part)
}

function need(held: number | undefined, needed: number): void {
  if ((held ?? 0) >= needed) return
  const details = { expected: Math.ceil(needed), got: held ?? 0 }
  throw damaged('a column holds fewer values than it says', details)
}

/** Where the last value ends; offsets begin at 0 or above and never go back. */
function lastOffset(offsets: Column['valueOffsets'], length: number): number {
  need(offsets?.length, length + 1)
  let before = 0
  for (let at = 0; at <= length; at += 1) {
    const offset = Number(offsets?.[at])
    if (offset < before) throw damaged('offsets of a column go back', { row: at })
    before = offset
  }
  return before
}

/** A value of a checked column as a record holds it; null where there is none. */
export function valueAt(data: Arrow.Data, index: number): unknown {
  return read(data, index)
}

function read(column: Column, index: number): unknown {
  const { type, nullBitmap, children, dictionary } = column
  if (!isValid(nullBitmap, index)) return null
  const facts = factsOf(type)
  const numbers = column.values as ArrayLike<number | bigint>
  const bytes = column.values as Uint8Array
  switch (facts.typeId) {
    case kinds.bool:
      return isValid(bytes, index)
    case kinds.int:
      return integer(numbers[index] as number | bigint)
    case kinds.float: {
      const value = numbers[index] as number
      return facts.precision === 0 ? halfOf(value) : value
    }
    case kinds.date:
      return dateIn(numbers[index], facts.unit === 0 ? 86_400_000 : 1)
    case kinds.timestamp:
      return dateIn(numbers[index], 1000 / 1000 ** (facts.unit ?? 1))
    case kinds.fixedSizeBinary: {
      const width = facts.byteWidth ?? 0
      return bytes.slice(index * width, (index + 1) * width)
    }
    case kinds.binary:
    case kinds.largeBinary:
      return bytes.slice(...range(column, index))
    case kinds.utf8:
    case kinds.largeUtf8:
      return textIn(bytes.subarray(...range(column, index)))
    case kinds.list:
    case kinds.largeList:
      return list(children[0] as Column, ...range(column, index))
    case kinds.fixedSizeList: {
      const size = facts.listSize ?? 0
      return list(children[0] as Column, index * size, (index + 1) * size)
    }
    case kinds.struct: {
      const names = facts.children?.map(({ name }) => name) ?? []
      return foreignRow(names, (name) => read(children[names.indexOf(name)] as Column, index))
    }
    case kinds.dictionary:
      return entry(dictionary?.data ?? [], Number(numbers[index]))
    default:
      return null
  }
}

function range({ valueOffsets }: Column, index: number): [number, number] {
  return [Number(valueOffsets?.[index]), Number(valueOffsets?.[index + 1])]
}

function list(items: Column, start: number, end: number): unknown {
  const { values, nullBitmap } = items
  const isWhole = nullBitmap === undefined || nullBitmap.length === 0
  if (isWhole && (values instanceof Float32Array || values instanceof Float64Array)) {
    return values.subarray(start, end)
  }
  return Array.from({ length: end - start }, (_, at) => read(items, start + at))
}

/** A value of a dictionary, which may come in several parts. */
function entry(parts: readonly Column[], at: number): unknown {
  let index = at
  for (const part of parts) {
    if (index >= 0 && index < part.length) return read(part, index)
    index -= part.length
  }
  throw damaged('a column points outside its dictionary', { got: at })
}

/** A bit, least bit first; set where there is no bitmap. */
function isValid(bitmap: Uint8Array | undefined, index: number): boolean {
  if (bitmap === undefined || bitmap.length === 0) return true
  return ((bitmap[index >> 3] as number) & (1 << (index & 7))) !== 0
}

function integer(value: number | bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function dateIn(value: number | bigint | undefined, milliseconds: number): Date {
  const date = new Date(Math.floor(Number(value) * milliseconds))
  if (!Number.isNaN(date.getTime())) return date
  throw new CairnError('ERR_INVALID_ARGUMENT', 'a date is out of range', { got: String(value) })
}

function textIn(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new CairnError('ERR_INVALID_ARGUMENT', 'a text is not UTF-8')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
}

/** A 16-bit float: 1 bit of sign, 5 of exponent, 10 of fraction. */
function halfOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
