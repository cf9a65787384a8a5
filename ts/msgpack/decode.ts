// MessagePack, the decoder. It reads what the encoder writes, and every other spelling of the same values.
import { CairnError } from '../errors.js'

const noBytes = Buffer.alloc(0)
const noView = new DataView(noBytes.buffer, 0, 0)

/** Reads values one after another from a block of bytes. */
export class Decoder {
  #bytes: Buffer = noBytes
  #view: DataView = noView
  #at = 0

  /** Points at a block. Values are copied out of it. */
  open(bytes: Buffer): void {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Lets go of the block, which may be large. */
  close(): void {
    this.#bytes = noBytes
    this.#view = noView
  }

  /** The value at `start`. */
  value(start: number): unknown {
    this.#at = start
    return this.#value()
  }

  /** The map at `start`, or an empty one when there are no bytes. */
  fields(start: number, end: number): Record<string, unknown> {
    if (start === end) return {}
    this.#at = start
    const tag = this.#byte()
    if ((tag & 0xf0) === 0x80) return this.#map(tag & 0x0f)
    if (tag === 0xde) return this.#map(this.#uint(2))
    if (tag === 0xdf) return this.#map(this.#uint(4))
    throw damaged(tag)
  }

  #value(): unknown {
    const tag = this.#byte()
    if (tag < 0x80) return tag
    if (tag < 0x90) return this.#map(tag & 0x0f)
    if (tag < 0xa0) return this.#array(tag & 0x0f)
    if (tag < 0xc0) return this.#text(tag & 0x1f)
    if (tag >= 0xe0) return tag - 0x100
    return this.#tagged(tag)
  }

  #tagged(tag: number): unknown {
    switch (tag) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#blob(this.#uint(1 << (tag - 0xc4)))
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#uint(1 << (tag - 0xc7)))
      case 0xca:
        return this.#view.getFloat32(this.#step(4))
      case 0xcb:
        return this.#view.getFloat64(this.#step(8))
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (tag - 0xcc))
      case 0xcf:
        return exact(this.#view.getBigUint64(this.#step(8)))
      case 0xd0:
        return this.#view.getInt8(this.#step(1))
      case 0xd1:
        return this.#view.getInt16(this.#step(2))
      case 0xd2:
        return this.#view.getInt32(this.#step(4))
      case 0xd3:
        return exact(this.#view.getBigInt64(this.#step(8)))
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (tag - 0xd4))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#uint(1 << (tag - 0xd9)))
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (tag - 0xdc)))
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (tag - 0xde)))
      default:
        throw damaged(tag)
    }
  }

  #map(entries: number): Record<string, unknown> {
    const map: Record<string, unknown> = {}
    for (let entry = 0; entry < entries; entry += 1) {
      const name = this.#value()
      if (typeof name !== 'string') throw damaged(0)
      const value = this.#value()
      if (name === '__proto__') setOwn(map, name, value)
      else map[name] = value
    }
    return map
  }

  #array(length: number): unknown[] {
    const array: unknown[] = []
    for (let index = 0; index < length; index += 1) array.push(this.#value())
    return array
  }

  #text(length: number): string {
    const start = this.#step(length)
    if (length <= 16) {
      const short = this.#ascii(start, start + length)
      if (short !== undefined) return short
    }
    return this.#bytes.toString('utf8', start, start + length)
  }

  /** Short strings are mostly ASCII, and a call into the runtime costs more than they do. */
  #ascii(start: number, end: number): string | undefined {
    let text = ''
    for (let at = start; at < end; at += 1) {
      const byte = this.#bytes[at] as number
      if (byte >= 0x80) return undefined
      text += String.fromCharCode(byte)
    }
    return text
  }

  #blob(length: number): Uint8Array {
    const start = this.#step(length)
    return new Uint8Array(this.#bytes.subarray(start, start + length))
  }

  #extension(length: number): Date {
    const type = this.#view.getInt8(this.#step(1))
    const start = this.#step(length)
    if (type !== -1) throw damaged(type)
    return new Date(this.#timestamp(start, length))
  }

  #timestamp(start: number, length: number): number {
    if (length === 4) return this.#view.getUint32(start) * 1000
    if (length === 8) {
      const high = this.#view.getUint32(start)
      const seconds = (high % 4) * 2 ** 32 + this.#view.getUint32(start + 4)
      return seconds * 1000 + Math.floor(high / 4) / 1_000_000
    }
    const nanoseconds = this.#view.getUint32(start)
    return Number(this.#view.getBigInt64(start + 4)) * 1000 + nanoseconds / 1_000_000
  }

  #byte(): number {
    return this.#view.getUint8(this.#step(1))
  }

  #uint(width: number): number {
    const start = this.#step(width)
    if (width === 1) return this.#view.getUint8(start)
    return width === 2 ? this.#view.getUint16(start) : this.#view.getUint32(start)
  }

  #step(bytes: number): number {
    const start = this.#at
    this.#at += bytes
    return start
  }
}

/** Sets an own property even where plain assignment would change the prototype. */
export function setOwn(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

/** Integers that a number holds exactly are numbers, the others stay bigint. */
function exact(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function damaged(tag: number): CairnError {
  return new CairnError('ERR_CORRUPT', 'stored fields cannot be decoded', { tag })
}
