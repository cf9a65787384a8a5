// Looks through the metadata of an Arrow message before the library does, which believes every length in it.
//
// A few bytes can claim a billion fields, or a tree whose branches are all the same table. What passes here has no
// list longer than its bytes, and is walked in time and memory that its bytes bound.
// Source: https://github.com/apache/arrow/tree/main/format, Message.fbs and Schema.fbs; flatbuffers, internals.
import { damaged, unsupported } from './faults.js'

/** Fields of a schema, nested ones included. */
const fieldsMax = 10_000

/** Nesting of fields. */
const depthMax = 64

/** Types of messages, as Message.fbs numbers them. */
export const messageTypes = { schema: 1, dictionary: 2, batch: 3 } as const

const unionType = 14

/** What a message says about itself. */
export interface MessageHead {
  readonly type: number
  readonly bodyLength: number
}

/**
 * Checks the metadata of a message.
 *
 * @throws {CairnError} `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`.
 */
export function checkMessage(metadata: Uint8Array): MessageHead {
  return checked(() => new Check(metadata).message())
}

/**
 * The schema in the footer of a file, as the message that begins a stream: a table of its own in front of the footer,
 * which points into it.
 *
 * @throws As {@link checkMessage}.
 */
export function schemaOfFooter(footer: Uint8Array): Buffer {
  const schema = checked(() => new Check(footer).footer())
  const metadata = Buffer.alloc(tableBytes + 8 * Math.ceil(footer.length / 8))
  const put = [
    [0, 16], // the table
    [16, 12], // from it back to its members, which begin at byte 4
    [20, tableBytes + schema - 20],
  ] as const
  for (const [at, value] of put) metadata.writeInt32LE(value, at)
  // Bytes of the list of members and of the table; then where version, type, header and length of the body are.
  for (const [at, value] of [12, 12, 8, 10, 4, 0].entries())
    metadata.writeUInt16LE(value, 4 + 2 * at)
  metadata.writeInt16LE(formatV5, 24)
  metadata.writeUInt8(messageTypes.schema, 26)
  metadata.set(footer, tableBytes)
  const length = Buffer.alloc(8, 0xff)
  length.writeInt32LE(metadata.length, 4)
  return Buffer.concat([length, metadata])
}

/** Bytes in front of the footer; a multiple of 8, so that what is aligned stays so. */
const tableBytes = 32

/** Metadata version 5, as Schema.fbs numbers it. */
const formatV5 = 4

function checked<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    // A read outside the bytes.
    if (error instanceof RangeError) throw damaged('the metadata of a message is wrong', {}, error)
    throw error
  }
}

class Check {
  readonly #view: DataView
  #fields = 0
  #text = 0

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.#view = new DataView(buffer, byteOffset, byteLength)
  }

  message(): MessageHead {
    const message = this.#indirect(0)
    const typeAt = this.#member(message, 1)
    const type = typeAt === 0 ? 0 : this.#view.getUint8(typeAt)
    const headerAt = this.#member(message, 2)
    const lengthAt = this.#member(message, 3)
    const bodyLength = lengthAt === 0 ? 0n : this.#view.getBigInt64(lengthAt, true)
    if (headerAt === 0 || bodyLength < 0n || bodyLength > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw damaged('the metadata of a message is wrong', { got: bodyLength })
    }
    this.#pairs(this.#member(message, 4))
    const header = this.#indirect(headerAt)
    if (type === messageTypes.schema) this.#schema(header)
    else if (type === messageTypes.batch) this.#batch(header, Number(bodyLength))
    else if (type === messageTypes.dictionary) {
      const dataAt = this.#member(header, 1)
      if (dataAt === 0) throw damaged('a dictionary without values')
      this.#batch(this.#indirect(dataAt), Number(bodyLength))
    } else throw unsupported('a message that is no schema, batch or dictionary', { got: type })
    return { type, bodyLength: Number(bodyLength) }
  }

  /** Where the schema of a footer is. */
  footer(): number {
    const footer = this.#indirect(0)
    const schemaAt = this.#member(footer, 1)
    if (schemaAt === 0) throw damaged('a footer without a schema')
    const schema = this.#indirect(schemaAt)
    this.#schema(schema)
    return schema
  }

  #schema(schema: number): void {
    this.#list(this.#member(schema, 1), 4, (at) => this.#field(this.#indirect(at), 0))
    this.#pairs(this.#member(schema, 2))
    this.#list(this.#member(schema, 3), 8)
  }

  #field(field: number, depth: number): void {
    this.#fields += 1
    if (this.#fields > fieldsMax || depth > depthMax) {
      throw damaged('a schema has too many fields', { limit: fieldsMax })
    }
    this.#string(this.#member(field, 0))
    const typeAt = this.#member(field, 2)
    if (typeAt !== 0 && this.#view.getUint8(typeAt) === unionType) {
      throw unsupported('a column has a type that no field can hold', { got: 'Union' })
    }
    this.#list(this.#member(field, 5), 4, (at) => this.#field(this.#indirect(at), depth + 1))
    this.#pairs(this.#member(field, 6))
  }

  #batch(batch: number, bodyLength: number): void {
    const lengthAt = this.#member(batch, 0)
    const rows = lengthAt === 0 ? 0n : this.#view.getBigInt64(lengthAt, true)
    // A row has a key, and a key at least one bit.
    if (rows < 0n || rows > 8n * BigInt(bodyLength)) {
      throw damaged('a batch says it has more rows than it has bytes for', { got: rows })
    }
    const lengths = (at: number): void => {
      for (const part of [at, at + 8]) {
        const value = this.#view.getBigInt64(part, true)
        if (value < -1n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
          throw damaged('a length in a batch is wrong', { got: value })
        }
      }
    }
    this.#list(this.#member(batch, 1), 16, lengths)
    this.#list(this.#member(batch, 2), 16, (at) => {
      lengths(at)
      const start = Number(this.#view.getBigInt64(at, true))
      const length = Number(this.#view.getBigInt64(at + 8, true))
      if (start < 0 || length < 0 || start + length > bodyLength) {
        throw damaged('a buffer lies outside its message', { got: start + length })
      }
    })
    if (this.#member(batch, 3) !== 0)
      throw unsupported('batches are compressed: write them without')
    this.#list(this.#member(batch, 4), 8)
  }

  /** A list of pairs of strings. */
  #pairs(at: number): void {
    this.#list(at, 4, (pairAt) => {
      const pair = this.#indirect(pairAt)
      this.#string(this.#member(pair, 0))
      this.#string(this.#member(pair, 1))
    })
  }

  #string(at: number): void {
    if (at === 0) return
    const start = this.#indirect(at)
    const length = this.#view.getUint32(start, true)
    // Strings may share bytes; all of them together must not be much more than there are.
    this.#text += length + 1
    if (this.#text > 4 * this.#view.byteLength || start + 4 + length > this.#view.byteLength) {
      throw damaged('a text in the metadata is too long', { got: length })
    }
  }

  /** A list of elements of `width` bytes, within the bytes. */
  #list(at: number, width: number, each?: (at: number) => void): void {
    if (at === 0) return
    const start = this.#indirect(at)
    const count = this.#view.getUint32(start, true)
    if (start + 4 + count * width > this.#view.byteLength) {
      throw damaged('a list in the metadata is too long', { got: count })
    }
    if (each === undefined) return
    for (let index = 0; index < count; index += 1) each(start + 4 + index * width)
  }

  /** Where a member of a table is; 0 when the table has none. */
  #member(table: number, index: number): number {
    const members = table - this.#view.getInt32(table, true)
    const at = 4 + 2 * index
    const offset =
      at < this.#view.getUint16(members, true) ? this.#view.getUint16(members + at, true) : 0
    return offset === 0 ? 0 : table + offset
  }

  #indirect(at: number): number {
    return at + this.#view.getUint32(at, true)
  }
}
