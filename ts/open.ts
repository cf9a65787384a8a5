// From a directory to an open database.
import { setTimeout as delay } from 'node:timers/promises'
import { wrong } from './check.js'
import type { Database } from './database.js'
import { EmbeddedDatabase } from './embedded-database.js'
import { CairnError, checked, isCairnError, toCairnError, withDetails } from './errors.js'
import { Lifetime } from './internal/lifetime.js'
import { VersionEvents } from './internal/version-events.js'
import { keyFor } from './key-lookup.js'
import type { Binding, BindingDatabase } from './native/binding.js'
import { unwrap } from './native/from-native.js'
import { loadBinding } from './native/loader.js'
import { Writes } from './native/writes.js'
import { directoryPath, resolveOptions, type OpenOptions, type ResolvedOptions } from './options.js'
import { aborted, throwIfAborted, unlessAborted } from './signal.js'
import { SpaceWatch, SyncWatch, headroomOf, warnAbout, type Watch } from './warnings.js'

/** Waiting for a lock, it is asked for this often. */
const lockPollMs = 20

/** Options of the database, without those of its opening. */
type Settings = Omit<ResolvedOptions, 'signal'>

/**
 * Opens a database, creating it when there is none and `mode` is not `'ro'`.
 *
 * @param target - A directory, as a path or a `file:` URL; `':memory:'` for one that lives in
 * memory only.
 * @param options - See {@link OpenOptions}.
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, with `keyId` where an encrypted database needs another key;
 * `ERR_LOCKED` with `pid`, `host` and `since` of the writer that has it; `ERR_NOT_FOUND` when there is
 * nothing to read; `ERR_ABORTED`, `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`, `ERR_NO_SPACE`, `ERR_IO`;
 * `ERR_UNSUPPORTED_PLATFORM`.
 */
export async function open(target: string | URL, options?: OpenOptions): Promise<Database> {
  return openWith(loadBinding, target, options)
}

/** {@link open} over a given addon. */
export async function openWith(
  load: () => Binding,
  target: string | URL,
  options?: OpenOptions,
): Promise<Database> {
  const { path, settings, signal } = checked(() => {
    const path = directoryOf(target)
    const { signal, ...settings } = resolveOptions(options)
    if (path === null && settings.readOnly) {
      throw wrong('nobody else writes what is in memory only', 'a directory', target, 'mode')
    }
    return { path, settings, signal }
  })
  const binding = load()
  const lifetime = new Lifetime()
  const events = new VersionEvents()
  const writes = new Writes(lifetime, events)
  const native = await openNative(binding, path, settings, writes, signal)
  const watches = path === null || settings.readOnly ? undefined : watch(path, settings, native)
  const database = new EmbeddedDatabase(
    binding,
    native,
    { lifetime, writes, events, watches },
    { ...settings, path },
  )
  if (settings.readOnly) await database.follow(settings.refreshMs)
  if (signal?.aborted === true) {
    // The directory is free for others before the caller hears of it.
    await database.close()
    throw aborted(signal)
  }
  if (path !== null) void warnAbout(path, settings.onWarning)
  return database
}

/** Warns when the disk of a directory fills or syncs slowly, from now on. */
function watch(path: string, settings: Settings, native: BindingDatabase): Watch[] {
  const { onWarning, walDir = path } = settings
  const space = new SpaceWatch(path, headroomOf(settings), onWarning)
  const syncs = new SyncWatch(walDir, onWarning, () => native.takeLongestSync())
  space.start()
  syncs.start()
  return [space, syncs]
}

/** The directory that `target` names; null for none. */
function directoryOf(target: unknown): string | null {
  if (target === ':memory:') return null
  return directoryPath(target, 'target')
}

/** Waiting happens here, on a timer, so that no thread of the pool is held meanwhile. */
async function openNative(
  binding: Binding,
  path: string | null,
  settings: Settings,
  writes: Writes,
  signal: AbortSignal | undefined,
): Promise<BindingDatabase> {
  const {
    lockTimeoutMs,
    refreshMs: _,
    onWarning: __,
    slowQueryMs: _slow,
    onSlowQuery: _tell,
    encryption: keys,
    ...native
  } = settings
  const until = performance.now() + lockTimeoutMs
  try {
    throwIfAborted(signal)
    const encryption =
      keys && (await unlessAborted(signal, () => keyFor(binding, path, keys, native.threads)))
    for (;;) {
      try {
        const options = { ...native, encryption }
        return unwrap(await binding.BindingDatabase.open(path, options, writes.settle))
      } catch (error) {
        const left = until - performance.now()
        if (!isCairnError(error, 'ERR_LOCKED') || left <= 0) throw error
        await unlessAborted(signal, () => delay(Math.min(left, lockPollMs)))
      }
    }
  } catch (error) {
    throw named(toCairnError(error), path, native.walDir)
  } finally {
    keys?.forget()
  }
}

/** An error that names no file gets the directories that were to be opened. */
function named(error: unknown, directory: string | null, walDir: string | undefined): unknown {
  if (directory === null || !(error instanceof CairnError)) return error
  if (error.details['file'] !== undefined || error.details['path'] !== undefined) return error
  return withDetails(error, {}, { directory, ...(walDir === undefined ? {} : { walDir }) })
}
