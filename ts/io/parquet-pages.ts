// Looks through the pages of a Parquet column before the library decodes them: it takes memory for as many values as
// the header of a page claims, and a few bytes can claim billions.
// Source: https://github.com/apache/parquet-format, README.md and parquet.thrift.
import type { PageHeader } from 'hyparquet/src/types.js'
import type { ColumnMetaData } from 'hyparquet'
import { CairnError } from '../errors.js'
import { damaged } from './faults.js'

/** Values of one column in one row group: the library holds them all at once, with their levels. */
const valuesMax: number = 64 * 1024 * 1024

/** Bytes of one page before compression. */
export const pageBytesMax: number = 256 * 1024 * 1024

/** Reads the header of a page, and moves behind it. */
export type ReadHeader = (reader: { view: DataView; offset: number }) => PageHeader

/** Where the bytes of a column chunk are in a file of `size` bytes. */
export function chunkRange(chunk: ColumnMetaData, size: number): { start: number; length: number } {
  const start = Number(chunk.dictionary_page_offset || chunk.data_page_offset)
  const length = Number(chunk.total_compressed_size)
  if (start >= 4 && length >= 0 && start + length <= size) return { start, length }
  throw damaged('a column lies outside the file', { offset: start, got: length })
}

/** Checks how many values a column claims, by what its file says of it at the end. */
export function checkChunk({ num_values: values }: ColumnMetaData): void {
  if (values >= 0n && values <= BigInt(valuesMax)) return
  const details = { limit: valuesMax, got: String(values) }
  throw new CairnError(
    'ERR_LIMIT_EXCEEDED',
    'a row group is too large: write smaller ones',
    details,
  )
}

/** Checks the pages of a column chunk against its bytes and its number of values. */
export function checkPages(bytes: Buffer, chunk: ColumnMetaData, readHeader: ReadHeader): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const reader = { view, offset: 0 }
  let left = Number(chunk.num_values)
  while (left > 0 && reader.offset < bytes.length) {
    const at = reader.offset
    const header = readHeader(reader)
    const { compressed_page_size: size, uncompressed_page_size: full } = header
    if (!(size >= 0 && reader.offset + size <= bytes.length && full >= 0)) {
      throw damaged('a page is longer than its column', { offset: at, got: size })
    }
    if (full > pageBytesMax) {
      const details = { limit: pageBytesMax, got: full }
      throw new CairnError('ERR_LIMIT_EXCEEDED', 'a page is too large', details)
    }
    left -= valuesOf(header, left, at)
    reader.offset += size
  }
  if (left !== 0) throw damaged('a column has fewer values than it says', { got: left })
}

/** How many values of the column a page has. */
function valuesOf(header: PageHeader, left: number, offset: number): number {
  const {
    uncompressed_page_size: full,
    dictionary_page_header: dictionary,
    data_page_header: data,
    data_page_header_v2: second,
  } = header
  if (header.type === 'DICTIONARY_PAGE') {
    checkCount(dictionary?.num_values, full, offset)
    return 0
  }
  if (header.type === 'DATA_PAGE') return checkCount(data?.num_values, left, offset)
  if (header.type !== 'DATA_PAGE_V2' || second === undefined) {
    throw damaged('a page of no known kind', { offset })
  }
  const levels = second.definition_levels_byte_length + second.repetition_levels_byte_length
  checkCount(second.definition_levels_byte_length, full, offset)
  checkCount(levels, full, offset)
  checkCount(second.num_nulls, second.num_values, offset)
  checkCount(second.num_rows, second.num_values, offset)
  return checkCount(second.num_values, left, offset)
}

function checkCount(count: number | undefined, most: number, offset: number): number {
  if (count !== undefined && count >= 0 && count <= most) return count
  throw damaged('a page has more values than its column', { offset, expected: most, got: count })
}
