// The images of demo/data with their labels; demo/data/README.md has the format.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** Pixels of an image: 28 rows of 28. */
export const side = 28
export const dim = side * side

/** All images as one matrix of numbers from 0 to 1, row by row, and the digit of each. */
export function readImages() {
  const pixels = readMatrix('mnist-784.query.u8bin.gz', dim)
  const labels = readMatrix('mnist-784.query.labels.u8bin.gz', 1)
  if (pixels.count !== labels.count) throw new Error('demo/data: as many labels as images')
  const matrix = Float32Array.from(pixels.bytes, (pixel) => pixel / 255)
  return { count: pixels.count, matrix, labels: [...labels.bytes] }
}

/** Rows `from` up to `to` of a matrix, sharing its memory. */
export function rows(matrix, from, to) {
  return matrix.subarray(from * dim, to * dim)
}

/**
 * The record that the writer of the second step makes with this number: an image moved by up to two
 * pixels. Who checks makes the same one again.
 */
export function streamRecord({ count, matrix, labels }, number) {
  const image = number % count
  const step = Math.floor(number / count) + number
  const [down, right] = [(step % 5) - 2, (Math.floor(step / 5) % 5) - 2]
  const from = rows(matrix, image, image + 1)
  const vector = new Float32Array(dim)
  for (let row = 0; row < side; row += 1) {
    for (let column = 0; column < side; column += 1) {
      const [y, x] = [row - down, column - right]
      const inside = y >= 0 && y < side && x >= 0 && x < side
      vector[row * side + column] = inside ? from[y * side + x] : 0
    }
  }
  return { vector, label: labels[image] }
}

function readMatrix(name, width) {
  const file = new URL(`data/${name}`, import.meta.url)
  const bytes = gunzipSync(readFileSync(file))
  const [count, found] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
  if (found !== width || bytes.length !== 8 + count * width) {
    throw new Error(`demo/data/${name} is not ${width} bytes a row`)
  }
  return { count, bytes: bytes.subarray(8) }
}
