// Keys of encrypted databases: what a user hands over, and what the addon is given of it.
import { Buffer } from 'node:buffer'
import { types } from 'node:util'
import { isObject, optionsOf, ownOf, refuseUnsafeMemory, wrong } from './check.js'
import { CairnError } from './errors.js'
import { isWellFormed } from './internal/text.js'

/** A key of AES-256. */
export interface EncryptionKey {
  /** What the key is called: 1-256 bytes, stored readably beside the data. Default `'default'`. */
  readonly keyId?: string | undefined
  /** 32 bytes from a strong source. They are copied before the call returns, and the copies overwritten. */
  readonly key: Uint8Array
}

/** Fetches keys, from a key service or a vault. */
export interface KeyProvider {
  /** The key that new databases are encrypted with, and old ones after `rotateKey`. */
  current(): { id: string; key: Uint8Array } | Promise<{ id: string; key: Uint8Array }>
  /** The key of this id: the one that the database was last encrypted with. */
  get(id: string): Uint8Array | Promise<Uint8Array>
}

/** A key, or where keys come from. */
export type Encryption = EncryptionKey | KeyProvider

/** A key, and what it is called. */
export interface NamedKey {
  readonly id: string
  readonly key: Uint8Array
}

/** Keys as `open` and `rotateKey` ask for them. */
export interface KeySource {
  /** The key of a database that was encrypted with the key `id`. */
  stored(id: string): Promise<NamedKey>
  /** The key for what is new. */
  current(): Promise<NamedKey>
  /** Overwrites what was copied. */
  forget(): void
}

const KEY_BYTES = 32
const KEY_ID_BYTES_MAX = 256
const names = new Set(['keyId', 'key'])

/**
 * Checks what a user gave.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`; it shows nothing of a key, not of a wrong one either.
 */
export function keySource(value: unknown, path: string): KeySource {
  if (!isObject(value)) throw notThis(path)
  if (typeof value['current'] === 'function' || typeof value['get'] === 'function') {
    return providerSource(value as unknown as KeyProvider, path)
  }
  if (!('key' in value)) throw notThis(path)
  const given = optionsOf(value as Partial<EncryptionKey>, names, path)
  const id = idOf(given.keyId === undefined ? 'default' : given.keyId, path)
  const key = Uint8Array.from(keyOf(given.key, path))
  const it = { id, key }
  return {
    stored: async () => it,
    current: async () => it,
    forget: () => {
      key.fill(0)
    },
  }
}

function providerSource(provider: KeyProvider, path: string): KeySource {
  for (const name of ['current', 'get'] as const) {
    if (typeof provider[name] !== 'function') throw notThis(path)
  }
  return {
    stored: async (id) => {
      const key: unknown = await asked(() => provider.get(id), path, { keyId: id })
      return { id, key: keyOf(key, path) }
    },
    current: async () => {
      const answer: unknown = await asked(() => provider.current(), path, {})
      if (!isObject(answer)) throw notThis(path)
      const { id, key } = ownOf(answer)
      return { id: idOf(id, path), key: keyOf(key, path) }
    },
    forget: () => {},
  }
}

async function asked<T>(
  ask: () => T | Promise<T>,
  path: string,
  details: { keyId?: string },
): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    const what = 'the key provider failed'
    throw new CairnError('ERR_INVALID_ARGUMENT', what, { path, ...details }, error)
  }
}

function notThis(path: string): CairnError {
  return new CairnError('ERR_INVALID_ARGUMENT', `${path} must be a key or a key provider`, {
    path,
    expected: '{ key } | { current, get }',
  })
}

function keyOf(key: unknown, path: string): Uint8Array {
  // What came is not shown: it may be the key, in another form.
  if (!types.isUint8Array(key) || key.length !== KEY_BYTES) {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a key has 32 bytes', {
      path,
      expected: `Uint8Array of ${KEY_BYTES}`,
      got: types.isUint8Array(key) ? `Uint8Array of ${key.length}` : typeof key,
    })
  }
  refuseUnsafeMemory(key, { path })
  return key
}

function idOf(id: unknown, path: string): string {
  const fits =
    typeof id === 'string' &&
    id !== '' &&
    isWellFormed(id) &&
    Buffer.byteLength(id) <= KEY_ID_BYTES_MAX
  if (!fits) throw wrong("a key's id is not valid", `1 to ${KEY_ID_BYTES_MAX} bytes`, id, path)
  return id
}
