// Hides what must not leave, or must not come in.
import { createHmac } from 'node:crypto'
import { wrong } from '../check.js'
import { setOwn } from '../msgpack/decode.js'
import type { TransferRecord, Transform } from './types.js'
import { encodeValue } from './values.js'

/**
 * Leaves these fields out of every record.
 *
 * @param fields - Names of fields.
 */
export function mask(fields: readonly string[]): Transform {
  const names = namesOf(fields)
  return (record) => withFields(record, (name, value) => (names.has(name) ? undefined : value))
}

/**
 * Puts a hash in the place of these fields: HMAC with SHA-256 under the salt, in hex. Equal values have equal
 * hashes, so records still join; without the salt a value that can be guessed can be found out. `null` stays.
 *
 * The result is text: a field so hashed must be of type `keyword` or `text`, or not be declared, where it is read.
 *
 * @param fields - Names of fields.
 * @param salt - A secret of at least 16 characters.
 */
export function hash(fields: readonly string[], salt: string): Transform {
  const names = namesOf(fields)
  if (typeof salt !== 'string' || salt.length < 16) {
    throw wrong('a salt is a secret', 'string of at least 16 characters', typeof salt, 'salt')
  }
  const hashed = (value: unknown): string =>
    createHmac('sha256', salt)
      .update(typeof value === 'string' ? value : encodeValue(value))
      .digest('hex')
  return (record) =>
    withFields(record, (name, value) =>
      names.has(name) && value !== null && value !== undefined ? hashed(value) : value,
    )
}

function namesOf(fields: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(fields) || !fields.every((name) => typeof name === 'string')) {
    throw wrong('fields are given by name', 'array of strings', fields, 'fields')
  }
  return new Set(fields)
}

function withFields(
  record: TransferRecord,
  change: (name: string, value: unknown) => unknown,
): TransferRecord {
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(record.fields)) {
    const changed = change(name, value)
    if (changed !== undefined) setOwn(fields, name, changed)
  }
  return { ...record, fields }
}
