// Searches on the thread of JavaScript, whose hits are read from a block that is used again.
import type { BindingCollection } from './native/binding.js'
import { Block, unwrap, type HitObject, type VectorLayout } from './native/from-native.js'
import type { NativeQuery } from './search.js'
import { throwIfAborted } from './signal.js'
import type { SlowQueries } from './slow-query.js'

/** Rows of a search fit this block at first; it grows as it must. */
const bytesMin = 16 * 1024

/** An answer above this many bytes has a block of its own, which goes with it. */
const bytesMax = 1024 * 1024

/** The synchronous searches of one collection. */
export class SyncSearch {
  readonly #native: BindingCollection
  readonly #layout: VectorLayout
  readonly #slowQueries: SlowQueries | undefined
  #block: Block | undefined

  constructor(
    native: BindingCollection,
    layout: VectorLayout,
    slowQueries: SlowQueries | undefined,
  ) {
    this.#native = native
    this.#layout = layout
    this.#slowQueries = slowQueries
  }

  /** The hits of a search. */
  search(given: NativeQuery): HitObject[] {
    const { vector, numbers, names, filter, shape, sources, signal } = given
    throwIfAborted(signal)
    const answered = this.#slowQueries?.begin(this.#native, given)
    let block = (this.#block ??= new Block(new Uint8Array(bytesMin)))
    for (;;) {
      const { bytes } = block
      const length = unwrap(
        this.#native.searchSync(vector, numbers, names, filter, shape, sources, bytes),
      )
      if (length <= bytes.length) {
        answered?.()
        return block.hits(this.#layout)
      }
      // A large one is for this call alone, so that a rare answer takes no memory afterwards.
      const isKept = length <= bytesMax
      block = new Block(new Uint8Array(isKept ? 2 * length : length))
      if (isKept) this.#block = block
    }
  }
}
