// MessagePack, the encoder: what the fields of a record need and no more.
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md
import type { ByteWriter } from '../internal/byte-writer.js'

const int64Min = -(2n ** 63n)
const int64Max = 2n ** 63n - 1n

/** Whether a bigint fits the signed 64-bit range. */
export function fitsInt64(value: bigint): boolean {
  return value >= int64Min && value <= int64Max
}

/** `nil`. */
export function writeNil(out: ByteWriter): void {
  tag(out, 0xc0)
}

/** A boolean. */
export function writeBoolean(out: ByteWriter, value: boolean): void {
  tag(out, value ? 0xc3 : 0xc2)
}

/** A 64-bit float, whatever its value. */
export function writeFloat(out: ByteWriter, value: number): void {
  tag(out, 0xcb, 8)
  out.view.setFloat64(out.at, value)
  out.at += 8
}

/** A safe integer, in as few bytes as it takes. */
export function writeInteger(out: ByteWriter, value: number): void {
  if (value >= 0) writePositive(out, value)
  else writeNegative(out, value)
}

/** A bigint within the signed 64-bit range. */
export function writeBigInt(out: ByteWriter, value: bigint): void {
  const number = Number(value)
  if (Number.isSafeInteger(number)) {
    writeInteger(out, number)
    return
  }
  tag(out, 0xd3, 8)
  out.view.setBigInt64(out.at, value)
  out.at += 8
}

/** A well-formed string of `byteLength` bytes in UTF-8. */
export function writeText(out: ByteWriter, value: string, byteLength: number): void {
  if (byteLength < 32) tag(out, 0xa0 | byteLength, byteLength)
  else header(out, byteLength, 0xd9, 0xda, 0xdb)
  out.room(byteLength)
  if (byteLength === value.length && byteLength < 24) writeAscii(out, value)
  else out.at += out.bytes.write(value, out.at, 'utf8')
}

/** Bytes. */
export function writeBytes(out: ByteWriter, value: Uint8Array): void {
  header(out, value.byteLength, 0xc4, 0xc5, 0xc6)
  out.room(value.byteLength)
  out.bytes.set(value, out.at)
  out.at += value.byteLength
}

/** The start of an array of `length` values. */
export function writeArrayHeader(out: ByteWriter, length: number): void {
  if (length < 16) tag(out, 0x90 | length)
  else header(out, length, undefined, 0xdc, 0xdd)
}

/** A date, by the format's own timestamp extension. Milliseconds since 1970, which may be negative. */
export function writeDate(out: ByteWriter, milliseconds: number): void {
  const seconds = Math.floor(milliseconds / 1000)
  const nanoseconds = (milliseconds - seconds * 1000) * 1_000_000
  if (seconds >= 0 && seconds < 2 ** 34) {
    const high = nanoseconds * 4 + Math.floor(seconds / 2 ** 32)
    if (high === 0) {
      tag(out, 0xd6, 5)
      out.view.setUint8(out.at, 0xff)
      out.view.setUint32(out.at + 1, seconds)
      out.at += 5
      return
    }
    tag(out, 0xd7, 9)
    out.view.setUint8(out.at, 0xff)
    out.view.setUint32(out.at + 1, high)
    out.view.setUint32(out.at + 5, seconds % 2 ** 32)
    out.at += 9
    return
  }
  tag(out, 0xc7, 14)
  out.view.setUint8(out.at, 12)
  out.view.setUint8(out.at + 1, 0xff)
  out.view.setUint32(out.at + 2, nanoseconds)
  out.view.setBigInt64(out.at + 6, BigInt(seconds))
  out.at += 14
}

/** Starts a map of at most `most` entries whose number is not known yet; see {@link endMap}. */
export function beginMap(out: ByteWriter, most: number): number {
  const start = out.at
  const width = most < 16 ? 1 : most < 65_536 ? 3 : 5
  out.room(width)
  out.at += width
  return start
}

/** Ends the map begun at `start`, with the same `most`. */
export function endMap(out: ByteWriter, start: number, most: number, entries: number): void {
  if (most < 16) {
    out.view.setUint8(start, 0x80 | entries)
  } else if (most < 65_536) {
    out.view.setUint8(start, 0xde)
    out.view.setUint16(start + 1, entries)
  } else {
    out.view.setUint8(start, 0xdf)
    out.view.setUint32(start + 1, entries)
  }
}

function writePositive(out: ByteWriter, value: number): void {
  if (value < 0x80) {
    tag(out, value)
  } else if (value < 0x100) {
    tag(out, 0xcc, 1)
    out.view.setUint8(out.at, value)
    out.at += 1
  } else if (value < 0x1_0000) {
    tag(out, 0xcd, 2)
    out.view.setUint16(out.at, value)
    out.at += 2
  } else if (value < 0x1_0000_0000) {
    tag(out, 0xce, 4)
    out.view.setUint32(out.at, value)
    out.at += 4
  } else {
    tag(out, 0xcf, 8)
    out.view.setUint32(out.at, Math.floor(value / 2 ** 32))
    out.view.setUint32(out.at + 4, value % 2 ** 32)
    out.at += 8
  }
}

function writeNegative(out: ByteWriter, value: number): void {
  if (value >= -32) {
    tag(out, value & 0xff)
  } else if (value >= -0x80) {
    tag(out, 0xd0, 1)
    out.view.setInt8(out.at, value)
    out.at += 1
  } else if (value >= -0x8000) {
    tag(out, 0xd1, 2)
    out.view.setInt16(out.at, value)
    out.at += 2
  } else if (value >= -0x8000_0000) {
    tag(out, 0xd2, 4)
    out.view.setInt32(out.at, value)
    out.at += 4
  } else {
    tag(out, 0xd3, 8)
    out.view.setInt32(out.at, Math.floor(value / 2 ** 32))
    out.view.setUint32(out.at + 4, value - Math.floor(value / 2 ** 32) * 2 ** 32)
    out.at += 8
  }
}

function writeAscii(out: ByteWriter, value: string): void {
  const { bytes } = out
  let { at } = out
  for (let index = 0; index < value.length; index += 1) {
    bytes[at] = value.charCodeAt(index)
    at += 1
  }
  out.at = at
}

function tag(out: ByteWriter, byte: number, more = 0): void {
  out.room(1 + more)
  out.bytes[out.at] = byte
  out.at += 1
}

/** A length in one, two or four bytes behind the tag of that width. */
function header(
  out: ByteWriter,
  length: number,
  tag8: number | undefined,
  tag16: number,
  tag32: number,
): void {
  if (tag8 !== undefined && length < 0x100) {
    tag(out, tag8, 1)
    out.view.setUint8(out.at, length)
    out.at += 1
  } else if (length < 0x1_0000) {
    tag(out, tag16, 2)
    out.view.setUint16(out.at, length)
    out.at += 2
  } else {
    tag(out, tag32, 4)
    out.view.setUint32(out.at, length)
    out.at += 4
  }
}
