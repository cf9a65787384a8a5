// What a schema literal says about keys, records and queries, in types.
// One level of mapping only: nested payload stays `unknown`, so that no schema can hit the compiler's depth.
import type { BaseType, Schema, VectorField } from './schema.js'

/** A vector as it is given: components as 32-bit floats, or plain numbers that fit them. */
export type Vector = Float32Array | readonly number[]

/** Any value a JSON-like field can hold. */
export type Json =
  string | number | bigint | boolean | null | Date | Uint8Array | Json[] | { [name: string]: Json }

/** A position on Earth in degrees, latitude -90 to 90, longitude -180 to 180. */
export interface GeoPoint {
  readonly lat: number
  readonly lon: number
}

/** Type of a collection's keys. */
export type Key<S extends Schema = Schema> = Schema extends S
  ? string | bigint
  : S extends { readonly key: 'u64' }
    ? bigint
    : string

/** Names of a collection's vector fields. */
export type VectorName<S extends Schema> = Schema extends S
  ? string
  : S['vectors'] extends VectorField
    ? 'vector'
    : Extract<keyof S['vectors'], string>

/** Value of a field of that type; of `'int'` a number within 2^53 and a bigint beyond, however it was written. */
export type FieldValue<T> = T extends `${infer Base extends BaseType}[]`
  ? BaseValue<Base>[]
  : T extends BaseType
    ? BaseValue<T>
    : unknown

interface BaseValues {
  keyword: string
  text: string
  int: number | bigint
  float: number
  bool: boolean
  date: Date
  geo: GeoPoint
  json: Json
  bytes: Uint8Array
}

type BaseValue<B extends BaseType> = BaseValues[B]

type Declared<S extends Schema> = S extends { readonly fields: infer F extends object } ? F : {}

type Undeclared<S extends Schema> = S extends { readonly extra: 'reject' }
  ? {}
  : { readonly [name: string]: unknown }

/** Fields as they are read: each is there when the record has it. */
export type Fields<S extends Schema = Schema> = Schema extends S
  ? { readonly [name: string]: unknown }
  : { readonly [N in keyof Declared<S>]: FieldValue<Declared<S>[N]> } & Undeclared<S>

/** Fields as they are written: all optional, `undefined` is missing, `null` is a value. */
export type FieldsInput<S extends Schema = Schema> = Schema extends S
  ? { readonly [name: string]: unknown }
  : { readonly [N in keyof Declared<S>]?: FieldInput<FieldValue<Declared<S>[N]>> } & Undeclared<S>

type FieldInput<V> = (V extends (infer E)[] ? readonly E[] : V) | null | undefined

/** Names that can be selected: the declared ones, and any other where extra fields are allowed. */
export type FieldName<S extends Schema> = Schema extends S
  ? string
  : S extends { readonly extra: 'reject' }
    ? Extract<keyof Declared<S>, string>
    : Extract<keyof Declared<S>, string> | (string & {})

/** What `select` may be: names, or `false` for no fields. All fields without it. */
export type Selection<S extends Schema> = readonly FieldName<S>[] | false | undefined

/** Fields of a record after `select`. */
export type Selected<S extends Schema, Sel> = Sel extends false
  ? {}
  : Sel extends readonly (infer N extends string)[]
    ? { readonly [K in N]: K extends keyof Declared<S> ? FieldValue<Declared<S>[K]> : unknown }
    : Fields<S>

type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never

/** Whether the schema has exactly one vector field: then `vector` may stand for it. */
export type HasOneVector<S extends Schema> = Schema extends S
  ? true
  : IsUnion<VectorName<S>> extends true
    ? false
    : true

/** The vectors of a record, by field. */
export type Vectors<S extends Schema> = { readonly [N in VectorName<S>]: Float32Array }

/** What `vectors: true` adds to a record. */
export type WithVectors<S extends Schema, V> = V extends true
  ? { readonly vectors: Vectors<S> } & (HasOneVector<S> extends true
      ? { readonly vector: Float32Array }
      : {})
  : {}

/** The vectors of a row: `vector` where there is one field, `vectors` by name always. */
export type VectorsInput<S extends Schema> =
  | (HasOneVector<S> extends true
      ? { readonly vector: Vector; readonly vectors?: undefined }
      : never)
  | {
      readonly vector?: undefined
      readonly vectors: { readonly [N in VectorName<S>]?: Vector | undefined }
    }
