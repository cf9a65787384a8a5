// What a write is asked beside its rows: conditions, durability, a key to repeat it under, a signal.
import { checkSignal, oneOf, optionsOf } from './check.js'
import { durabilities } from './options.js'
import type { SchemaShape } from './schema.js'
import type { Durability, WriteOptions } from './types.js'
import { idempotencyKeyOf, toCondition, type NativeCondition } from './write.js'

/** Options of every write, checked. */
export interface WriteWishes {
  readonly condition: NativeCondition
  readonly idempotencyKey: string | null
  readonly durability: Durability | null
  readonly signal: AbortSignal | undefined
}

/** Names of the options that every write has. */
export const writeNames: ReadonlySet<string> = new Set([
  'if',
  'durability',
  'signal',
  'idempotencyKey',
])

/**
 * Checks the options of a write.
 *
 * @throws {CairnError} naming the option in `details.path`.
 */
export function writeOptions(options: WriteOptions | undefined, shape: SchemaShape): WriteWishes {
  const given = optionsOf<WriteOptions>(options, writeNames, 'write options')
  return {
    condition: toCondition(given.if, shape),
    idempotencyKey: idempotencyKeyOf(given.idempotencyKey),
    durability:
      given.durability === undefined ? null : oneOf(given.durability, durabilities, 'durability'),
    signal: checkSignal(given.signal),
  }
}
