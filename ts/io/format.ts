// Which format a name stands for.
import { oneOf, wrong } from '../check.js'
import type { Format } from './types.js'

const formats: readonly Format[] = [
  'jsonl',
  'arrow',
  'arrow-stream',
  'parquet',
  'npy',
  'fvecs',
  'bvecs',
  'ivecs',
]

const extensions: ReadonlyMap<string, Format> = new Map([
  ['jsonl', 'jsonl'],
  ['ndjson', 'jsonl'],
  ['arrow', 'arrow'],
  ['feather', 'arrow'],
  ['ipc', 'arrow'],
  ['arrows', 'arrow-stream'],
  ['parquet', 'parquet'],
  ['npy', 'npy'],
  ['fvecs', 'fvecs'],
  ['bvecs', 'bvecs'],
  ['ivecs', 'ivecs'],
])

/** The format that was asked for, or that the name of the file stands for. */
export function formatOf(given: unknown, path: string | undefined): Format {
  if (given !== undefined) return oneOf(given, formats, 'format')
  const name = path?.replace(/\.gz$/i, '') ?? ''
  const format = extensions.get(/\.([a-z]+)$/i.exec(name)?.[1]?.toLowerCase() ?? '')
  if (format === undefined) {
    throw wrong('the name does not tell the format', formats.join(' | '), path, 'format')
  }
  return format
}

/** Whether the name asks for gzip. */
export function isGzipName(path: string | undefined): boolean {
  return path !== undefined && /\.gz$/i.test(path)
}
