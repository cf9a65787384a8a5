// What a collection holds, as the user writes it and as the rest of the package wants it.
import {
  isObject,
  isPlainObject,
  notYet,
  numberWithin,
  oneOf,
  refuseUnknown,
  wholeNumber,
  wrong,
} from './check.js'
import { CairnError } from './errors.js'
import { nearest } from './internal/nearest.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'

/** Structure of a collection. Stored with it; a different one is refused when it is opened. */
export interface Schema {
  /** Type of the keys: `'string'` (default), or `'u64'`: bigint in, bigint out. */
  readonly key?: 'string' | 'u64' | undefined
  /** Vector fields by name, or one field's settings alone, which names it `vector`. */
  readonly vectors: VectorField | Readonly<Record<string, VectorField>>
  /** Typed fields by name. Records may lack any of them. */
  readonly fields?: Readonly<Record<string, FieldType>> | undefined
  /** Fields that are not declared: kept (`'allow'`, default) or refused. */
  readonly extra?: 'allow' | 'reject' | undefined
}

/** One vector field. */
export interface VectorField {
  /** Components of each vector. Integer 1-65 536. */
  readonly dim: number
  /** How distance is measured; see `SearchQuery`. */
  readonly metric: Metric
  /** Storage of a component. Default `'f32'`, the only one of this version. */
  readonly type?: 'f32' | 'f16' | 'i8' | 'binary' | 'sparse' | 'multi' | undefined
  /** Default `'auto'`: exact while small, a graph above. `'qg'` and `'ivf'` are not available yet. */
  readonly index?: 'auto' | 'flat' | 'hnsw' | 'qg' | 'ivf' | HnswOptions | undefined
  /** Default `'auto'`. Only `'auto'` and `'none'` in this version. */
  readonly quantize?:
    'auto' | 'none' | 'sq8' | 'sq4' | 'pq' | 'rabitq' | QuantizeOptions | undefined
}

/** How distance is measured. Smaller is nearer for each. */
export type Metric = 'cosine' | 'l2' | 'dot' | 'l1' | 'hamming'

/** Settings of an HNSW graph (Malkov & Yashunin). */
export interface HnswOptions {
  readonly kind: 'hnsw'
  /** Links a node gets per layer. Integer 2-128, default 16. More: better recall, larger, slower to build. */
  readonly m?: number | undefined
  /** Most links on layer 0. Integer 4-512, default `2 * m`. */
  readonly m0?: number | undefined
  /** Most links on the other layers. Integer 2-128, default `m`. */
  readonly mMax?: number | undefined
  /** Candidate list while building. Integer 1-10,000, default 200. More: better recall, slower to build. */
  readonly efConstruction?: number | undefined
  /** Factor of the level law. 0-4, default `1 / ln(m)`. 0: a single layer. */
  readonly levelMult?: number | undefined
}

/** Settings of a quantiser. Not available in this version. */
export type QuantizeOptions =
  | {
      readonly kind: 'pq'
      readonly subspaces?: number | undefined
      readonly bits?: 8 | 4 | undefined
    }
  | { readonly kind: 'rabitq'; readonly bits?: number | undefined }

/**
 * Type of one value.
 *
 * `'int'` holds signed 64 bits, written as a number within 2^53 or a bigint, and has one form when it is
 * read: a number within 2^53 and a bigint beyond, so that `5n` comes back as `5`. The same goes for whole
 * numbers of `'json'` and of fields that are not declared; `'float'` takes and gives numbers only.
 */
export type BaseType =
  'keyword' | 'text' | 'int' | 'float' | 'bool' | 'date' | 'geo' | 'json' | 'bytes'

/** Type of a field: of one value, or with `[]` of an array of them. */
export type FieldType = BaseType | `${BaseType}[]`

/** A schema with every default filled in, as listings show it. */
export interface StoredSchema {
  readonly key: 'string' | 'u64'
  readonly vectors: Readonly<Record<string, StoredVectorField>>
  readonly fields: Readonly<Record<string, FieldType>>
  readonly extra: 'allow' | 'reject'
}

/** A vector field with every default filled in. */
export interface StoredVectorField {
  readonly dim: number
  readonly metric: Metric
  readonly type: 'f32'
  readonly index:
    'auto' | 'flat' | Readonly<Required<{ [K in keyof HnswOptions]: NonNullable<HnswOptions[K]> }>>
  readonly quantize: 'none'
}

/** A schema as the native side takes it: lists instead of records. */
export interface SchemaShape {
  readonly key: 'string' | 'u64'
  readonly vectors: readonly VectorShape[]
  readonly fields: readonly { readonly name: string; readonly kind: FieldType }[]
  readonly rejectExtra: boolean
}

/** A vector field as the native side takes it. */
export interface VectorShape {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  readonly index: 'auto' | 'flat' | 'hnsw'
  readonly hnsw?: HnswShape | undefined
}

type HnswShape = { readonly [K in Exclude<keyof HnswOptions, 'kind'>]?: number | undefined }

/** Every base type. */
export const baseTypes: readonly BaseType[] = [
  'keyword',
  'text',
  'int',
  'float',
  'bool',
  'date',
  'geo',
  'json',
  'bytes',
]

const schemaNames = new Set(['key', 'vectors', 'fields', 'extra'])
const vectorNames = new Set(['dim', 'metric', 'type', 'index', 'quantize'])
const hnswNames = new Set(['kind', 'm', 'm0', 'mMax', 'efConstruction', 'levelMult'])
const metrics: readonly Metric[] = ['cosine', 'l2', 'dot', 'l1', 'hamming']
const indexKinds = ['auto', 'flat', 'hnsw', 'qg', 'ivf'] as const
const vectorTypes = ['f32', 'f16', 'i8', 'binary', 'sparse', 'multi'] as const
const quantizers = ['auto', 'none', 'sq8', 'sq4', 'pq', 'rabitq'] as const

/**
 * Checks a schema and spells it out.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` or `ERR_LIMIT_EXCEEDED`, with the `path` within the schema.
 */
export function toShape(schema: unknown): SchemaShape {
  if (!isPlainObject(schema)) throw wrong('a schema must be a plain object', 'object', schema)
  refuseUnknown(schema, schemaNames, 'the schema')
  const { key, vectors, fields, extra } = schema
  return {
    key: key === undefined ? 'string' : oneOf(key, ['string', 'u64'], 'key'),
    vectors: vectorShapes(vectors),
    fields: fieldShapes(fields),
    rejectExtra:
      extra === undefined ? false : oneOf(extra, ['allow', 'reject'], 'extra') === 'reject',
  }
}

/** The public form of what the native side stores. */
export function fromShape(shape: SchemaShape): StoredSchema {
  return {
    key: shape.key,
    vectors: Object.fromEntries(shape.vectors.map((field) => [field.name, storedVector(field)])),
    fields: Object.fromEntries(shape.fields.map(({ name, kind }) => [name, kind])),
    extra: shape.rejectExtra ? 'reject' : 'allow',
  }
}

function vectorShapes(vectors: unknown): VectorShape[] {
  if (!isPlainObject(vectors)) {
    throw wrong(
      'a schema names its vectors',
      '{ dim, metric } or { [field]: { dim, metric } }',
      vectors,
      'vectors',
    )
  }
  if (!isObject(vectors['dim']) && ('dim' in vectors || 'metric' in vectors)) {
    return [vectorShape('vector', vectors, 'vectors')]
  }
  const names = Object.keys(vectors)
  if (names.length === 0) {
    throw wrong('a schema needs a vector field', 'at least one', vectors, 'vectors')
  }
  return names.map((name) => vectorShape(wellFormed(name), vectors[name], `vectors.${name}`))
}

function vectorShape(name: string, field: unknown, path: string): VectorShape {
  if (!isPlainObject(field))
    throw wrong('a vector field is an object', '{ dim, metric }', field, path)
  refuseUnknown(field, vectorNames, path)
  if (field['type'] !== undefined && oneOf(field['type'], vectorTypes, `${path}.type`) !== 'f32') {
    throw notYet(`${path}.type`, field['type'])
  }
  refuseQuantizer(field['quantize'], `${path}.quantize`)
  const metric = oneOf(field['metric'], metrics, `${path}.metric`)
  if (metric === 'hamming') throw notYet(`${path}.metric`, metric)
  return {
    name,
    dim: wholeNumber(field['dim'], `${path}.dim`, 1, limits.dimMax),
    metric,
    ...indexShape(field['index'], `${path}.index`),
  }
}

function indexShape(index: unknown, path: string): Pick<VectorShape, 'index' | 'hnsw'> {
  if (index === undefined) return { index: 'auto' }
  if (typeof index === 'string') {
    const kind = oneOf(index, indexKinds, path)
    if (kind === 'qg' || kind === 'ivf') throw notYet(path, kind)
    return { index: kind }
  }
  if (!isPlainObject(index))
    throw wrong('an index is a name or settings', indexKinds.join(' | '), index, path)
  refuseUnknown(index, hnswNames, path)
  oneOf(index['kind'], ['hnsw'], `${path}.kind`)
  const bounds = limits.hnsw
  const whole = (name: Exclude<keyof typeof bounds, 'levelMult'>): number | undefined => {
    const value = index[name]
    const { min, max } = bounds[name]
    return value === undefined ? undefined : wholeNumber(value, `${path}.${name}`, min, max)
  }
  const levelMult = index['levelMult']
  const { min, max } = bounds.levelMult
  return {
    index: 'hnsw',
    hnsw: {
      m: whole('m'),
      m0: whole('m0'),
      mMax: whole('mMax'),
      efConstruction: whole('efConstruction'),
      levelMult:
        levelMult === undefined
          ? undefined
          : numberWithin(levelMult, `${path}.levelMult`, min, max),
    },
  }
}

function refuseQuantizer(quantize: unknown, path: string): void {
  if (quantize === undefined || quantize === 'auto' || quantize === 'none') return
  if (isPlainObject(quantize)) {
    throw notYet(path, oneOf(quantize['kind'], ['pq', 'rabitq'], `${path}.kind`))
  }
  throw notYet(path, oneOf(quantize, quantizers, path))
}

function fieldShapes(fields: unknown): { name: string; kind: FieldType }[] {
  if (fields === undefined) return []
  if (!isPlainObject(fields))
    throw wrong('fields is an object of types', '{ [name]: type }', fields, 'fields')
  return Object.keys(fields).map((name) => ({
    name: wellFormed(name),
    kind: fieldType(fields[name], name),
  }))
}

/** A name that UTF-8 can hold: half a character would become another one on the way, and so another name. */
function wellFormed(name: string): string {
  if (isWellFormed(name)) return name
  throw new CairnError('ERR_INVALID_NAME', 'a field name has half a character', { name })
}

function fieldType(kind: unknown, name: string): FieldType {
  const base = typeof kind === 'string' && kind.endsWith('[]') ? kind.slice(0, -2) : kind
  if (baseTypes.some((type) => type === base)) return kind as FieldType
  const meant = typeof base === 'string' ? nearest(base, baseTypes) : undefined
  throw new CairnError('ERR_INVALID_ARGUMENT', 'unknown type of a field', {
    path: `fields.${name}`,
    field: name,
    expected: baseTypes.join(' | '),
    got: typeof kind === 'string' ? kind : typeof kind,
    ...(meant === undefined ? {} : { suggestion: meant }),
  })
}

function storedVector({ dim, metric, index, hnsw }: VectorShape): StoredVectorField {
  const common = { dim, metric, type: 'f32', quantize: 'none' } as const
  if (index !== 'hnsw') return { ...common, index }
  const {
    m = 16,
    m0 = 2 * m,
    mMax = m,
    efConstruction = 200,
    levelMult = 1 / Math.log(m),
  } = hnsw ?? {}
  return { ...common, index: { kind: 'hnsw', m, m0, mMax, efConstruction, levelMult } }
}
