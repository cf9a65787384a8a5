// What the collections of one open database share.
import type { Structures } from './alter.js'
import type { AtRest } from './at-rest.js'
import type { Lifetime } from './internal/lifetime.js'
import type { Binding, BindingCollection } from './native/binding.js'
import type { Writes } from './native/writes.js'
import type { SlowQueries } from './slow-query.js'
import type { Durability } from './types.js'

/** What collections of one database share. */
export interface CollectionContext {
  readonly binding: Binding
  readonly lifetime: Lifetime
  readonly writes: Writes
  readonly structures: Structures
  /** Fires when the database begins to close. */
  readonly ending: AbortSignal
  /** Of writes that do not say. */
  readonly durability: Durability
  /** Whether another process writes. */
  readonly readOnly: boolean
  /** Measures searches, where that was asked for. */
  readonly slowQueries?: SlowQueries | undefined
  /** Told of writes that were not synced; nobody where there is nothing to sync. */
  readonly commits: AtRest<BindingCollection> | undefined
  readonly tidies: AtRest<{ readonly name: string }> | undefined
}
