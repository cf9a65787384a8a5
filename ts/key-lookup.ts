// Which of a provider's keys the database in a directory needs.
import type { KeySource, NamedKey } from './encryption.js'
import { isCairnError } from './errors.js'
import type { Binding } from './native/binding.js'
import { unwrap } from './native/from-native.js'

/** The key of the database at `path`, or the one that a new database gets. */
export async function keyFor(
  binding: Binding,
  path: string | null,
  keys: KeySource,
  threads: number,
): Promise<NamedKey> {
  const id = path === null ? null : unwrap(await binding.BindingDatabase.keyId(path, threads))
  return id === null ? keys.current() : keys.stored(id)
}

/** {@link keyFor} a database that may be damaged: where it does not say its key, the current one. */
export async function keyForDamaged(
  binding: Binding,
  path: string,
  keys: KeySource,
  threads: number,
): Promise<NamedKey> {
  try {
    return await keyFor(binding, path, keys, threads)
  } catch (error) {
    const damaged =
      isCairnError(error, 'ERR_CORRUPT') || isCairnError(error, 'ERR_UNSUPPORTED_FORMAT')
    if (!damaged) throw error
    return keys.current()
  }
}
