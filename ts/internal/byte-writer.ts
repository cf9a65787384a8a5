// A growing block of bytes, kept for the next use.

/** Bytes appended at `at`. Whoever writes asks for room first. */
export class ByteWriter {
  bytes: Buffer
  view: DataView
  at = 0

  constructor(bytes = 4096) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
    this.view = viewOf(this.bytes)
  }

  /** Makes room for `more` bytes behind `at`. */
  room(more: number): void {
    const needed = this.at + more
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
    this.view = viewOf(grown)
  }

  /** What was written, not copied. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.at)
  }

  /** Forgets all; memory beyond `keep` bytes goes back. */
  clear(keep: number): void {
    this.at = 0
    if (this.bytes.length <= keep) return
    this.bytes = Buffer.allocUnsafeSlow(4096)
    this.view = viewOf(this.bytes)
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
