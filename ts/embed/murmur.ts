// MurmurHash3, 32 bits for x86: Appleby 2011, public domain.

/**
 * Hash of blocks of 32 bits; of code points it is that of their text in UTF-32, little-endian.
 *
 * @param blocks - Whole numbers of 32 bits, from `start` to before `end`.
 * @returns 0 to 2^32 - 1.
 */
export function murmur3(
  blocks: readonly number[],
  seed: number,
  start: number = 0,
  end: number = blocks.length,
): number {
  let hash = seed
  for (let at = start; at < end; at += 1) {
    let block = Math.imul(blocks[at] ?? 0, 0xcc9e2d51)
    block = (block << 15) | (block >>> 17)
    hash ^= Math.imul(block, 0x1b873593)
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  hash ^= (end - start) * 4
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
