// A line of JSON a record. The first line is a header with the schema; lines of other programs have none.
import { isUtf8 } from 'node:buffer'
import { isObject, wrong } from '../check.js'
import { CairnError } from '../errors.js'
import { fromShape, toShape, type StoredSchema } from '../schema.js'
import { damaged, unsupported } from './faults.js'
import type { RawRow, RowBlock, RowReader } from './rows.js'
import type { Sink } from './sink.js'
import type { TransferRecord } from './types.js'
import { encodeMembers, encodeValue, encodeVector, parseJson } from './values.js'

/** Bytes of one line; the longest record takes less. */
const lineBytesMax = 256 * 1024 * 1024

/** Text collected before it goes out. */
const blockChars = 256 * 1024

/** Writes records as lines. */
export class JsonlWriter {
  readonly #sink: Sink
  readonly #single: string | undefined
  #text: string

  constructor(sink: Sink, schema: StoredSchema) {
    this.#sink = sink
    const names = Object.keys(schema.vectors)
    this.#single = names.length === 1 ? names[0] : undefined
    this.#text = `${headerOf(schema)}\n`
  }

  async write(record: TransferRecord): Promise<void> {
    this.#text += this.#line(record)
    if (this.#text.length >= blockChars) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
  }

  #line({ key, vectors, fields }: TransferRecord): string {
    // A string even where it is a number: not every reader of JSON has 64-bit integers.
    const parts = [`"key":${JSON.stringify(String(key))}`]
    const names = Object.keys(vectors)
    if (names.length === 1 && names[0] === this.#single) {
      parts.push(`"vector":${encodeVector(vectors[names[0] as string] ?? [])}`)
    } else if (names.length > 0) {
      const members = names.map(
        (name) => `${JSON.stringify(name)}:${encodeVector(vectors[name] ?? [])}`,
      )
      parts.push(`"vectors":{${members.join(',')}}`)
    }
    parts.push(`"fields":${encodeMembers(fields)}`)
    return `{${parts.join(',')}}\n`
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    if (bytes.length > 0) await this.#sink.write(bytes)
  }
}

function headerOf(schema: StoredSchema): string {
  return `{"$cairn":{"format":1,"schema":${encodeValue(schema)}}}`
}

/** Reads lines. */
export async function openJsonl(bytes: AsyncIterable<Buffer>): Promise<RowReader> {
  const lines = linesOf(bytes)
  const first = await lines.next()
  const header = first.done === true ? undefined : headerIn(first.value)
  return {
    schema: header?.schema,
    async *blocks() {
      let next = 0
      const head = header?.rest ?? (first.done === true ? [] : first.value)
      if (head.length > 0) yield new LineBlock(next, head)
      next += head.length
      for await (const block of lines) {
        yield new LineBlock(next, block)
        next += block.length
      }
    },
  }
}

/** A line and where it is. */
interface Line {
  readonly bytes: Buffer
  /** Of its first byte. */
  readonly offset: number
  /** From 1. */
  readonly line: number
}

class LineBlock implements RowBlock {
  readonly first: number
  readonly #lines: readonly Line[]

  constructor(first: number, lines: readonly Line[]) {
    this.first = first
    this.#lines = lines
  }

  get rows(): number {
    return this.#lines.length
  }

  row(index: number): RawRow {
    const row = parseLine((this.#lines[index] as Line).bytes)
    if (!isObject(row)) throw wrong('a row is a JSON object', '{"key": ..., ...}', row)
    return row
  }

  place(index: number): { line: number; offset: number } {
    const { line, offset } = this.#lines[index] as Line
    return { line, offset }
  }
}

/** A line as JSON. @throws {CairnError} `ERR_INVALID_ARGUMENT`. */
export function parseLine(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new CairnError('ERR_INVALID_ARGUMENT', 'the line is not UTF-8')
  try {
    return parseJson(bytes.toString())
  } catch (error) {
    if (error instanceof CairnError) throw error
    throw new CairnError('ERR_INVALID_ARGUMENT', 'the line is not JSON', {}, error)
  }
}

/** The header, and what stands behind it in the same block; nothing when the first line is a row. */
function headerIn(
  block: readonly Line[],
): { schema: StoredSchema; rest: readonly Line[] } | undefined {
  const [line] = block
  if (line === undefined || !line.bytes.includes('"$cairn"')) return undefined
  let row: unknown
  try {
    row = parseLine(line.bytes)
  } catch {
    return undefined
  }
  if (!isObject(row) || !Object.hasOwn(row, '$cairn') || Object.hasOwn(row, 'key')) return undefined
  return { schema: schemaOf(row['$cairn']), rest: block.slice(1) }
}

/** The schema that a source carries: `{ format: 1, schema }`. */
export function schemaOf(header: unknown): StoredSchema {
  const { format, schema } = Object(header) as { format?: unknown; schema?: unknown }
  if (format !== 1) {
    throw unsupported('this was written by a newer version', { expected: 1, got: format })
  }
  try {
    return fromShape(toShape(schema))
  } catch (error) {
    throw damaged('the schema in the header is wrong', {}, error)
  }
}

const lineFeed = 0x0a
const byteOrderMark = Buffer.from('\uFEFF')

/** Lines that are not empty, some at a time. */
export async function* linesOf(blocks: AsyncIterable<Buffer>): AsyncGenerator<Line[]> {
  let parts: Buffer[] = []
  let pending = 0
  let offset = 0
  let line = 0
  const endLine = (lines: Line[], last: Buffer): void => {
    const bytes = parts.length === 0 ? last : Buffer.concat([...parts, last])
    const start = offset
    parts = []
    pending = 0
    offset += bytes.length + 1
    line += 1
    const isMarked = line === 1 && bytes.subarray(0, 3).equals(byteOrderMark)
    const text = isMarked ? bytes.subarray(3) : bytes
    if (!isBlank(text)) lines.push({ bytes: text, offset: start, line })
  }
  for await (const block of blocks) {
    const lines: Line[] = []
    let from = 0
    for (;;) {
      const end = block.indexOf(lineFeed, from)
      if (end < 0) break
      endLine(lines, block.subarray(from, end))
      from = end + 1
    }
    const rest = block.subarray(from)
    pending += rest.length
    if (pending > lineBytesMax) {
      const details = { line: line + 1, offset, limit: lineBytesMax }
      throw new CairnError('ERR_LIMIT_EXCEEDED', 'a line is too long', details)
    }
    if (rest.length > 0) parts.push(rest)
    if (lines.length > 0) yield lines
  }
  const lines: Line[] = []
  if (pending > 0) endLine(lines, Buffer.alloc(0))
  if (lines.length > 0) yield lines
}

function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) {
    if (byte !== 0x20 && byte !== 0x0d && byte !== 0x09) return false
  }
  return true
}
