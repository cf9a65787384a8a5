// What records cost in memory, first in memtables and then in a segment with its graph: the formulas that the
// documentation states.

/** Components of a row are padded to a multiple of this. */
const lane = 16

/** Key (a number, or where the text of it starts), version, and its place in the key index. */
const bookkeeping = 8 + 8 + 8

/**
 * Bytes of one record in a finished segment with keys of type u64, its payload not among them.
 *
 *     vector   4 * dim, dim rounded up to a multiple of 16
 *     layer 0  4 * (1 + m0)
 *     above    4 * (1 + m) / (m - 1), because one node in m has a layer 1, one in m * m a layer 2 ...
 *     keys     24
 */
export function bytesPerRecord({ dim, m = 16, m0 = 2 * m }) {
  const vector = 4 * Math.ceil(dim / lane) * lane
  const links = 4 * (1 + m0) + (4 * (1 + m)) / (m - 1)
  return vector + links + bookkeeping
}

/** What a row of a memtable costs beside its key, vector and payload. */
const rowOverhead = 40

/**
 * Bytes that the memtables of a collection stay below, with keys of type u64, no payload and a metric that
 * keeps one copy of a vector: one is filled and two wait for their flush, and the batch that fills one may
 * pass its end.
 */
export function memtablesMost({ dim, memtableBytes, batchRows }) {
  return 3 * memtableBytes + batchRows * (4 * dim + 8 + rowOverhead)
}
