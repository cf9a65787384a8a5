// Another structure for an open collection, and what all of its handles know of the one it has.
import { isPlainObject, optionsOf, refuseUnknown, wrong } from './check.js'
import type { Collection } from './collection.js'
import type { CollectionContext } from './context.js'
import type { Declared } from './infer.js'
import { watchJob } from './job.js'
import type { BindingAlteration, BindingCollection, BindingFieldName } from './native/binding.js'
import type { VectorLayout } from './native/from-native.js'
import {
  fieldShapes,
  fromShape,
  wellFormed,
  type FieldType,
  type Schema,
  type SchemaShape,
  type StoredSchema,
  type TextField,
} from './schema.js'
import { BatchEncoder } from './write.js'

/**
 * What is to change in a collection. Fields get their new names first, all at once; the other names are those
 * that fields have then.
 */
export interface Alteration<S extends Schema = Schema> {
  /**
   * Fields that are declared from now on. What records have under these names is their value; a field with a
   * type that has an index gets one.
   */
  readonly addFields?: Readonly<Record<string, FieldType>> | undefined
  /**
   * New names of declared fields. Records that are there are found by them at once. The name that a field
   * gives up is no field's any more, and may be used again.
   */
  readonly renameFields?: Renames<S> | undefined
  /** Declared fields that get an index again: all that can have one begin with it. */
  readonly createIndex?: string | readonly string[] | undefined
  /** Declared fields that lose their index: filters read records instead. Their values stay. */
  readonly dropIndex?: string | readonly string[] | undefined
}

type Renames<S extends Schema> = Schema extends S
  ? Readonly<Record<string, string>>
  : { readonly [N in keyof Declared<S>]?: string | undefined }

/** How a change is ended. */
export interface AlterOptions {
  /** Ends it with `ERR_ABORTED` while nothing has changed. */
  readonly signal?: AbortSignal | undefined
}

/** Refuses what an `Alteration` that is inferred would let pass: unknown members, and names that are taken. */
type Exact<S extends Schema, A> = NoOther<A, keyof Alteration> & {
  readonly addFields?: AddedExactly<A, TakenName<S, A>>
}

type NoOther<T, Known> = { readonly [N in Exclude<keyof T, Known>]: never }

type AddedExactly<A, Taken> = A extends { readonly addFields: infer F extends object }
  ? {
      readonly [N in keyof F]: N extends Taken
        ? never
        : F[N] extends object
          ? F[N] & NoOther<F[N], keyof TextField>
          : F[N]
    }
  : unknown

/** Declared names that are given up by no renaming. */
type TakenName<S extends Schema, A> = Exclude<
  keyof Declared<S>,
  A extends { readonly renameFields: infer R } ? keyof R : never
>

/** The schema that a change makes of another one. */
export type Altered<S extends Schema, A> = Schema extends S
  ? S
  : Omit<S, 'fields' | 'expiresAt'> & {
        readonly fields: Renamed<Declared<S>, A> & Added<A>
      } extends infer T extends Schema
    ? T
    : never

type Renamed<F, A> = A extends { readonly renameFields: infer R extends object }
  ? { readonly [N in keyof F as N extends keyof R ? NewName<R[N], N> : N]: F[N] }
  : F

type NewName<To, From> = To extends string ? To : From

type Added<A> = A extends { readonly addFields: infer F extends object } ? F : {}

/** A collection that changes while it is open. */
export interface Alterable<S extends Schema = Schema> {
  /**
   * Changes the structure of this collection while it is read and written, here and for readers in other processes:
   * declares fields, gives them other names, creates and drops their indexes. All of it at once, and durably. No
   * record is rewritten: it takes as long as a write does, unless a field gets another name and records may have
   * fields that are not declared; then all are read first, to know that none has that name. Indexes of what is
   * stored are made in the background, and `explain` tells where one is not made yet.
   *
   * A write that was called before keeps the names of its time. Every handle of the collection has the new
   * structure, and `openCollection` needs no schema; one that is given must be the new one, but for indexes.
   *
   * @returns This handle, with the new types.
   * @throws {CairnError} `ERR_NOT_FOUND` for a field that is not declared or an index that is not there;
   * `ERR_ALREADY_EXISTS` for one that is, or a name that records use; `ERR_INVALID_ARGUMENT`, `ERR_INVALID_NAME`,
   * `ERR_LIMIT_EXCEEDED`; `ERR_READ_ONLY`, `ERR_ABORTED`, `ERR_NO_SPACE`: nothing has changed. `ERR_IO`: open the
   * database again to see.
   */
  alter<const A extends Alteration<S>>(
    change: A & Exact<S, A>,
    options?: AlterOptions,
  ): Promise<Collection<Altered<S, A>>>
}

const changeNames = new Set(['addFields', 'renameFields', 'createIndex', 'dropIndex'])
const optionNames = new Set(['signal'])

/** Changes a collection until it is done, the caller's signal fires, or the database begins to close. */
export async function alterWith(
  native: BindingCollection,
  change: unknown,
  options: AlterOptions | undefined,
  { binding, ending }: Pick<CollectionContext, 'binding' | 'ending'>,
): Promise<void> {
  const wanted = toNativeAlteration(change)
  const given = optionsOf<AlterOptions>(options, optionNames, 'alter options')
  await watchJob(binding, given, ending, (ticket) => native.alter(wanted, ticket))
}

/** A change, checked and spelt out. */
function toNativeAlteration(change: unknown): BindingAlteration {
  if (!isPlainObject(change)) throw wrong('a change must be a plain object', 'object', change)
  refuseUnknown(change, changeNames, 'the change')
  const { addFields, renameFields, createIndex, dropIndex } = change
  return {
    addFields: fieldShapes(addFields, 'addFields'),
    renameFields: renames(renameFields),
    createIndexes: names(createIndex, 'createIndex'),
    dropIndexes: names(dropIndex, 'dropIndex'),
  }
}

function renames(given: unknown): BindingFieldName[] {
  if (given === undefined) return []
  if (!isPlainObject(given)) {
    throw wrong('renameFields is an object of names', '{ [name]: name }', given, 'renameFields')
  }
  const pairs = Object.entries(given).filter(([, to]) => to !== undefined)
  return pairs.map(([from, to]) => {
    if (typeof to !== 'string') {
      throw wrong('a field gets a name', 'string', to, `renameFields.${from}`)
    }
    return { from: wellFormed(from), to: wellFormed(to) }
  })
}

function names(given: unknown, path: string): string[] {
  if (given === undefined) return []
  const list: unknown[] = Array.isArray(given) ? Array.from<unknown>(given) : [given]
  return list.map((name, at) => {
    if (typeof name === 'string') return wellFormed(name)
    const place = Array.isArray(given) ? `${path}[${at}]` : path
    throw wrong('an index is that of a field', 'name of a field, or several', name, place)
  })
}

/** The structure of a collection, as all of its handles know it. */
export class Structure {
  #native: BindingCollection
  #changes = -1
  #shape!: SchemaShape
  #schema!: StoredSchema
  #encoder!: BatchEncoder
  #layout!: VectorLayout

  constructor(native: BindingCollection) {
    this.#native = native
    this.look()
  }

  get shape(): SchemaShape {
    return this.#shape
  }

  /** How often it has changed, as far as is known here: a write goes by these names. */
  get changes(): number {
    return this.#changes
  }

  /** As the public types have it. */
  get schema(): StoredSchema {
    return this.#schema
  }

  get encoder(): BatchEncoder {
    return this.#encoder
  }

  get layout(): VectorLayout {
    return this.#layout
  }

  /** Goes by another handle from now on: an older one may be of a collection that is closed. */
  follow(native: BindingCollection): void {
    this.#native = native
    this.#changes = -1
    this.look()
  }

  /** Takes in what has changed. */
  look(): void {
    const { changes } = this.#native
    if (changes === this.#changes) return
    this.#changes = changes
    const shape = this.#native.schema
    this.#shape = shape
    this.#schema = fromShape(shape)
    this.#encoder = new BatchEncoder(shape)
    this.#layout = {
      names: shape.vectors.map(({ name }) => name),
      types: shape.vectors.map(({ type }) => type),
    }
  }
}

/** The structures of all collections of one open database that somebody holds. */
export class Structures {
  readonly #known = new Map<number, WeakRef<Structure>>()

  /** That of a collection that was just opened. */
  of(native: BindingCollection): Structure {
    const known = this.#known.get(native.id)?.deref()
    if (known !== undefined) {
      known.follow(native)
      return known
    }
    const structure = new Structure(native)
    this.#known.set(native.id, new WeakRef(structure))
    return structure
  }

  /** Takes in what has changed in any of them. */
  look(): void {
    for (const [id, held] of this.#known) {
      const structure = held.deref()
      if (structure === undefined) this.#known.delete(id)
      else structure.look()
    }
  }
}
