// Archives: a version as one stream of bytes, a tar of a database directory.
import { createReadStream } from 'node:fs'
import { Readable, Writable, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { types } from 'node:util'
import * as zlib from 'node:zlib'
import { callback, checkSignal, oneOf, optionsOf, wrong } from './check.js'
import type { CollectionContext } from './context.js'
import type { KeySource } from './encryption.js'
import { CairnError, isCairnError } from './errors.js'
import type { JobOptions } from './job.js'
import type {
  Binding,
  BindingDatabase,
  BindingRestored,
  BindingUnarchive,
  BindingWorker,
} from './native/binding.js'
import { unwrap } from './native/from-native.js'
import { aborted, closedMeanwhile, listen, throwIfAborted, unlessAborted } from './signal.js'
import { toNativeVersion, type VersionId } from './versions.js'

/** An archive as a stream of bytes. */
export type ArchiveSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** Wishes of an archive. */
export interface ArchiveOptions extends JobOptions {
  /** A recorded version instead of the state of this moment. */
  readonly version?: VersionId | undefined
  /** Default `'none'`. `'zstd'` needs a Node whose `node:zlib` has it, from 22.15. */
  readonly compress?: 'none' | 'gzip' | 'zstd' | undefined
}

/** What was archived. */
export interface ArchiveResult {
  readonly version: bigint
  /** Segments and deletion files, and their bytes before compression. */
  readonly files: number
  readonly bytes: number
}

type Compression = NonNullable<ArchiveOptions['compress']>

const names = new Set(['version', 'compress', 'onProgress', 'signal'])
const compressions: readonly Compression[] = ['none', 'gzip', 'zstd']

/** Bytes that are read from the engine at a time. */
const partBytes = 256 * 1024

/** Newer Nodes have these. */
interface Zstd {
  readonly createZstdCompress?: () => Duplex
  readonly createZstdDecompress?: () => Duplex
}

/** Streams an archive of a database into a writable, as fast as that takes it, and ends it. */
export async function archiveInto(
  native: BindingDatabase,
  writable: unknown,
  options: ArchiveOptions | undefined,
  { ending, lifetime }: Pick<CollectionContext, 'ending' | 'lifetime'>,
): Promise<ArchiveResult> {
  const given = optionsOf<ArchiveOptions>(options, names, 'archive options')
  const compress =
    given.compress === undefined ? 'none' : oneOf(given.compress, compressions, 'compress')
  const packer = packerOf(compress)
  const of = given.version === undefined ? null : toNativeVersion(given.version)
  const onProgress = callback(given.onProgress, 'onProgress')
  const signal = checkSignal(given.signal)
  const out = writableOf(writable)
  const archive = await unlessAborted(signal, async () => unwrap(await native.archive(of)), {
    lifetime,
    drop: (late) => late.close(),
  })
  try {
    const { version, files, bytes } = archive.info() as BindingRestored
    const parts = async function* (): AsyncGenerator<Uint8Array> {
      let done = 0
      for (;;) {
        const part = unwrap(await archive.next(partBytes))
        if (part.length === 0) return
        yield part
        done = Math.min(done + part.length, bytes)
        onProgress?.({ done, total: bytes })
      }
    }
    const stages = [Readable.from(parts(), { objectMode: false }), ...packer, out] as const
    await under([ending, signal], (stop) => pipeline(stages, { signal: stop }))
    return { version, files, bytes }
  } catch (error) {
    throw reason(error, signal, ending, onProgress !== undefined)
  } finally {
    await archive.close()
  }
}

/** Makes a database in `target` of an archive. */
export async function readArchive(
  { BindingUnarchive: Unarchive }: Binding,
  source: string | ArchiveSource,
  target: string,
  worker: BindingWorker,
  { onProgress, signal, keys }: JobOptions & { readonly keys: KeySource | undefined },
): Promise<BindingRestored> {
  throwIfAborted(signal)
  const given = typeof source === 'string' ? undefined : iterableOf(source)
  // A stream may fail before anybody reads it, and has nobody else who listens.
  const stream = given instanceof Readable ? given.on('error', ignore) : undefined
  let reader: BindingUnarchive
  try {
    reader = unwrap(await Unarchive.open(target, worker))
  } catch (error) {
    stream?.off('error', ignore)
    throw error
  }
  const bytes = given ?? createReadStream(source as string)
  let done = 0
  const write = async (part: Uint8Array): Promise<void> => {
    unwrap(await reader.write(part))
    done += part.length
    onProgress?.({ done, total: done })
  }
  const sink = new Writable({
    write: (part: Uint8Array, _, then) => void write(part).then(() => then(), then),
  })
  try {
    const { start, all } = await unlessAborted(signal, () => peek(bytes))
    const stages = [Readable.from(all, { objectMode: false }), ...unpackerOf(start), sink] as const
    await under([signal], (stop) => pipeline(stages, { signal: stop }))
    throwIfAborted(signal)
    const id = unwrap(await reader.keyId())
    const key =
      keys && (await unlessAborted(signal, () => (id === null ? keys.current() : keys.stored(id))))
    return unwrap(await reader.finish(key ?? null))
  } catch (error) {
    throw reason(error, signal, undefined, onProgress !== undefined)
  } finally {
    stream?.off('error', ignore)
    // A file that was not read to its end stays open otherwise.
    if (given === undefined && bytes instanceof Readable) bytes.destroy()
    // Whatever was not finished leaves nothing behind.
    await reader.close()
  }
}

function ignore(): void {}

/** Runs `work` under a signal that fires with the first of `signals`. */
async function under(
  signals: readonly (AbortSignal | undefined)[],
  work: (stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const all = signals.filter((signal) => signal !== undefined)
  const unlisten = all.map((signal) => listen(signal, () => controller.abort()))
  if (all.some((signal) => signal.aborted)) controller.abort()
  try {
    await work(controller.signal)
  } finally {
    for (const leave of unlisten) leave()
  }
}

function packerOf(compress: Compression): Duplex[] {
  if (compress === 'none') return []
  if (compress === 'gzip') return [zlib.createGzip()]
  const { createZstdCompress } = zlib as Zstd
  if (createZstdCompress === undefined) throw noZstd()
  return [createZstdCompress()]
}

/** What undoes the compression that an archive begins with. */
function unpackerOf(start: Buffer): Duplex[] {
  if (start.subarray(0, 2).equals(Buffer.of(0x1f, 0x8b))) return [zlib.createGunzip()]
  if (!start.subarray(0, 4).equals(Buffer.of(0x28, 0xb5, 0x2f, 0xfd))) return []
  const { createZstdDecompress } = zlib as Zstd
  if (createZstdDecompress === undefined) throw noZstd()
  return [createZstdDecompress()]
}

function noZstd(): CairnError {
  const { version: node } = process
  return new CairnError('ERR_UNSUPPORTED_PLATFORM', 'this Node has no zstd', { node })
}

/** The first bytes of a stream, and all of it. */
async function peek(
  source: ArchiveSource,
): Promise<{ start: Buffer; all: AsyncGenerator<Uint8Array> }> {
  const rest = checked(source)
  let start = Buffer.alloc(0)
  while (start.length < 4) {
    const { done, value } = await rest.next()
    if (done === true) break
    start = Buffer.concat([start, value])
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    yield start
    yield* rest
  }
  return { start, all: all() }
}

async function* checked(source: ArchiveSource): AsyncGenerator<Uint8Array> {
  for await (const part of source) {
    if (!types.isUint8Array(part)) {
      throw wrong('an archive is a stream of bytes', 'Uint8Array', part, 'source')
    }
    if (part.length > 0) yield part
  }
}

function iterableOf(source: unknown): ArchiveSource {
  const given = Object(source) as Partial<AsyncIterable<unknown> & Iterable<unknown>>
  if (typeof source !== 'object' || (!given[Symbol.asyncIterator] && !given[Symbol.iterator])) {
    throw wrong('an archive is a path or a stream of bytes', 'path or stream', source, 'source')
  }
  return source as ArchiveSource
}

function writableOf(value: unknown): Writable {
  const { write, end, on } = Object(value) as Partial<Writable>
  if (typeof write !== 'function' || typeof end !== 'function' || typeof on !== 'function') {
    throw wrong('an archive goes into a stream', 'Writable', value, 'writable')
  }
  return value as Writable
}

/** Whose wish or fault it was that a stream ended. */
function reason(
  error: unknown,
  signal: AbortSignal | undefined,
  ending: AbortSignal | undefined,
  hasCallback: boolean,
): unknown {
  if (signal?.aborted === true) return aborted(signal)
  if (ending?.aborted === true) return closedMeanwhile()
  if (isCairnError(error)) return error
  const { code, message } = Object(error) as { code?: unknown; message?: unknown }
  if (typeof code === 'string') {
    const details = { reason: String(message) }
    if (code.startsWith('Z_') || code.startsWith('ZSTD_')) {
      return new CairnError('ERR_CORRUPT', 'the archive is damaged', details, error)
    }
    const kind = code === 'ENOSPC' || code === 'EDQUOT' ? 'ERR_NO_SPACE' : 'ERR_IO'
    return new CairnError(kind, 'the stream failed', details, error)
  }
  // What the callback threw is the caller's own.
  if (hasCallback) return error
  return new CairnError('ERR_IO', 'the stream failed', { reason: String(message) }, error)
}
