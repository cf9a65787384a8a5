// What a schema literal says about keys, records and queries, in types.
// One level of mapping only: nested payload stays `unknown`, so that no schema can hit the compiler's depth.
import type { BaseType, Schema, VectorField, VectorType } from './schema.js'

/** A vector of floats as it is given: components as 32-bit floats, or plain numbers that fit them. */
export type Vector = Float32Array | readonly number[]

/** A sparse vector as it is read: indexes that rise, and a value for each. */
export interface SparseVector {
  readonly indices: Uint32Array
  readonly values: Float32Array
}

/** A sparse vector as it is given: at least one index, rising and below `dim`, and a finite value for each. */
export interface SparseInput {
  readonly indices: Uint32Array | readonly number[]
  readonly values: Float32Array | readonly number[]
}

/** Several vectors as they are given, at least one: each by itself, or all of them row by row. */
export type MultiInput = Float32Array | readonly Vector[]

/** What vectors are read as, by the type of their field. */
interface VectorArrays {
  f32: Float32Array
  f16: Float32Array
  i8: Int8Array
  binary: Uint8Array
  sparse: SparseVector
  multi: Float32Array[]
}

/** A vector of any field, as it is read. */
export type AnyVector = VectorArrays[VectorType]

/** A vector of a field, as it is read. */
export type VectorOf<S extends Schema, N> = Schema extends S
  ? AnyVector
  : S['vectors'] extends VectorField
    ? ArrayOf<S['vectors']>
    : N extends keyof S['vectors']
      ? ArrayOf<S['vectors'][N]>
      : never

type ArrayOf<F> = F extends { readonly type: infer T extends VectorType }
  ? VectorArrays[T]
  : Float32Array

/** A vector of a field, as it is given: of `i8` and `binary` numbers are whole. */
export type VectorInput<S extends Schema, N> = InputOf<VectorOf<S, N>>

type InputOf<V> = V extends SparseVector
  ? SparseInput
  : V extends readonly Float32Array[]
    ? MultiInput
    : V | readonly number[]

/** Vectors of a field end to end; of a field of type `sparse` or `multi` an array with one entry for each row. */
export type Matrix<S extends Schema, N = VectorName<S>> = N extends unknown
  ? MatrixOf<VectorOf<S, N>>
  : never

type MatrixOf<V> = V extends SparseVector
  ? readonly SparseInput[]
  : V extends readonly Float32Array[]
    ? readonly MultiInput[]
    : V

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
export type FieldValue<T> = T extends { readonly type: infer K } ? KindValue<K> : KindValue<T>

type KindValue<T> = T extends `${infer Base extends BaseType}[]`
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

/** Declared fields and their types. */
export type Declared<S extends Schema> = Schema extends S
  ? {}
  : S extends { readonly fields: infer F extends object }
    ? F
    : {}

/** Names of the fields that are searched by their words. */
export type TextName<S extends Schema> = Schema extends S
  ? string
  : {
      [N in keyof Declared<S>]: Declared<S>[N] extends
        'text' | 'text[]' | { readonly type: 'text' | 'text[]' }
        ? N
        : never
    }[keyof Declared<S>] &
      string

/** Whether the schema refuses fields that it does not declare. */
export type RejectsExtra<S extends Schema> = Schema extends S
  ? false
  : S extends { readonly extra: 'reject' }
    ? true
    : false

type Undeclared<S extends Schema> =
  RejectsExtra<S> extends true ? {} : { readonly [name: string]: unknown }

/** Fields as they are read: each is there when the record has it, and `null` where that was written. */
export type Fields<S extends Schema = Schema> = Schema extends S
  ? { readonly [name: string]: unknown }
  : { readonly [N in keyof Declared<S>]?: FieldValue<Declared<S>[N]> } & Undeclared<S>

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

/** A field, or what is nested in one by a dotted path as filters spell it. */
export type FieldPath<S extends Schema> = FieldName<S> | `${string}.${string}`

type MeasuredType = 'int' | 'float' | 'date' | 'int[]' | 'float[]' | 'date[]'

/** A declared field of numbers or dates, or what is nested in a field by a dotted path; any name without a schema. */
export type MeasuredField<S extends Schema> = Schema extends S
  ? string
  : | Extract<
        {
          [N in keyof Declared<S>]: Declared<S>[N] extends MeasuredType ? N : never
        }[keyof Declared<S>],
        string
      >
    | `${string}.${string}`

/** One value of a field: of an array an element. */
export type FieldElement<S extends Schema, F> = F extends keyof Declared<S>
  ? Declared<S>[F] extends `${infer B extends BaseType}[]`
    ? BaseValue<B>
    : FieldValue<Declared<S>[F]>
  : unknown

/** What `select` may be: names, or `false` for no fields. All fields without it. */
export type Selection<S extends Schema> = readonly FieldName<S>[] | false | undefined

/** Fields of a record after `select`. */
export type Selected<S extends Schema, Sel> = Sel extends false
  ? {}
  : Sel extends readonly (infer N extends string)[]
    ? { readonly [K in N]?: K extends keyof Declared<S> ? FieldValue<Declared<S>[K]> : unknown }
    : Fields<S>

type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never

/** Whether the schema has exactly one vector field: then `vector` may stand for it. */
export type HasOneVector<S extends Schema> = Schema extends S
  ? true
  : IsUnion<VectorName<S>> extends true
    ? false
    : true

/** The vectors of a record, by field. */
export type Vectors<S extends Schema> = { readonly [N in VectorName<S>]: VectorOf<S, N> }

/** What `vectors: true` adds to a record. */
export type WithVectors<S extends Schema, V> = V extends true
  ? { readonly vectors: Vectors<S> } & (HasOneVector<S> extends true
      ? { readonly vector: VectorOf<S, VectorName<S>> }
      : {})
  : {}

/** The vectors of a row: `vector` where there is one field, `vectors` by name always. */
export type VectorsInput<S extends Schema> =
  | (HasOneVector<S> extends true
      ? { readonly vector: VectorInput<S, VectorName<S>>; readonly vectors?: undefined }
      : never)
  | {
      readonly vector?: undefined
      readonly vectors: { readonly [N in VectorName<S>]?: VectorInput<S, N> | undefined }
    }
