// What a collection holds, as the user writes it and as the rest of the package wants it.
import {
  isObject,
  isPlainObject,
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
  /**
   * Name of a field of type `'date'` that ends records: from its instant on, by the clock of this machine, a
   * record is hidden from every call, and later removed. One without the field, or with `null`, stays.
   */
  readonly expiresAt?: string | undefined
}

/**
 * The schema of a collection that may have any. A collection both takes and gives what its schema says, so no one
 * schema stands for all others, and `Collection` alone has this one.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- nothing else is related to every schema in both directions
export type AnySchema = any

/** One vector field. */
export interface VectorField {
  /** Components of each vector; bits of a `'binary'` one, a multiple of 8. Integer 1-65 536. */
  readonly dim: number
  /** How distance is measured; see `SearchQuery`. `'hamming'` is that of `'binary'` fields, and their only one. */
  readonly metric: Metric
  /**
   * What a vector is made of, in memory and on disk. `'f32'` (default) and `'f16'` are given and read as
   * `Float32Array`, and of `'f16'` rounded to 16 bits (at most 65,504 either way); `'i8'` as `Int8Array`; `'binary'`
   * as `Uint8Array` of `dim / 8` bytes. Distances are those of what is stored. `'sparse'` is given and read as
   * `{ indices, values }`, indexes rising and below `dim`; its metric is `'dot'`, and records that share no index with
   * a query are not found by it. `'multi'` is one or more vectors a record, up to 4,096 (late interaction): given as
   * an array of vectors, or as one `Float32Array` of `n * dim`, and read as `Float32Array[]`. Its distance is the sum,
   * over the vectors of the query, of the smallest distance to any vector of the record; under `'dot'` that is minus
   * MaxSim. It is searched exactly.
   */
  readonly type?: VectorType | undefined
  /**
   * Default `'auto'`: exact while small, a graph above: `'qg'` from 64 components on where there can be one and it fits
   * a quarter of `memoryBudget`, else `'hnsw'`; `'ivf'` where vectors and graph would be more than all of it. `'qg'` is a quantised graph, faster to search and larger than HNSW: its nodes have codes
   * of their neighbours; of `'f32'` vectors under `'cosine'` or `'l2'`. `'ivf'` is for vectors that are more than memory: they and
   * their codes stay in the file, in lists of neighbours, of which a search reads a few; slower than a graph, and with a few
   * bytes a row in memory; of `'f32'` under `'cosine'`, `'l2'` or `'dot'`.
   */
  readonly index?: 'auto' | 'flat' | 'hnsw' | 'qg' | 'ivf' | HnswOptions | undefined
  /**
   * What searches of finished segments compare in the place of vectors, before the best are measured exactly: codes of
   * a quarter to a hundredth of the bytes. Of `'f32'` under `'cosine'`, `'l2'` and `'dot'`, with a flat or an HNSW index
   * (`'auto'` becomes `'hnsw'`). `'sq8'` loses next to nothing; `'sq4'` and `'rabitq'` (4 bits a component) little; `'pq'`
   * is the shortest. With `memoryMap` the codes alone are in memory. Default `'auto'`: none.
   */
  readonly quantize?:
    'auto' | 'none' | 'sq8' | 'sq4' | 'pq' | 'rabitq' | QuantizeOptions | undefined
}

/** What the vectors of a field are made of. */
export type VectorType = 'f32' | 'f16' | 'i8' | 'binary' | 'sparse' | 'multi'

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
      /** Parts of a vector, each with a codebook. Integer from 1 to `dim`, default a quarter of `dim`. */
      readonly subspaces?: number | undefined
      /** Of each part. Default 8. */
      readonly bits?: 8 | 4 | undefined
    }
  /** Bits a component: integer 1-8, default 4. */
  | { readonly kind: 'rabitq'; readonly bits?: number | undefined }

/** Codes with every default filled in. */
export type StoredQuantize =
  | 'none'
  | 'sq8'
  | 'sq4'
  | { readonly kind: 'pq'; readonly subspaces: number; readonly bits: 8 | 4 }
  | { readonly kind: 'rabitq'; readonly bits: number }

/**
 * Type of one value.
 *
 * `'int'` holds signed 64 bits, written as a number within 2^53 or a bigint, and has one form when it is
 * read: a number within 2^53 and a bigint beyond, so that `5n` comes back as `5`. The same goes for whole
 * numbers of `'json'` and of fields that are not declared; `'float'` takes and gives numbers only.
 */
export type BaseType =
  'keyword' | 'text' | 'int' | 'float' | 'bool' | 'date' | 'geo' | 'json' | 'bytes'

/** Type of values: of one, or with `[]` of an array of them. */
export type FieldKind = BaseType | `${BaseType}[]`

/** Type of a field: of its values, or of a text field with how it is searched. */
export type FieldType = FieldKind | TextField

/** A text field with how it is searched by its words. `{ type: 'text' }` is the same as `'text'`. */
export interface TextField {
  readonly type: 'text' | 'text[]'
  /**
   * Language of the texts: words are reduced to their stems, and the most common ones are left out. Default
   * `'none'`: words as they are, in lower case.
   */
  readonly language?: Language | undefined
  /** What scores in this field are multiplied by. 0.000001-1,000,000, default 1. */
  readonly weight?: number | undefined
}

/** A language that texts are written in. */
export type Language = (typeof languages)[number]

/** A schema with every default filled in, as listings show it. */
export interface StoredSchema {
  readonly key: 'string' | 'u64'
  readonly vectors: Readonly<Record<string, StoredVectorField>>
  readonly fields: Readonly<Record<string, FieldType>>
  readonly extra: 'allow' | 'reject'
  /** Absent where records stay until they are removed. */
  readonly expiresAt?: string | undefined
  /** Fields whose index was dropped (`Collection.alter`); absent where there are none. */
  readonly unindexed?: readonly string[] | undefined
}

/** A vector field with every default filled in. */
export interface StoredVectorField {
  readonly dim: number
  readonly metric: Metric
  readonly type: VectorType
  readonly index:
    | 'auto'
    | 'flat'
    | 'qg'
    | 'ivf'
    | Readonly<Required<{ [K in keyof HnswOptions]: NonNullable<HnswOptions[K]> }>>
  readonly quantize: StoredQuantize
}

/** A schema as the native side takes it: lists instead of records. */
export interface SchemaShape {
  readonly key: 'string' | 'u64'
  readonly vectors: readonly VectorShape[]
  readonly fields: readonly FieldShape[]
  readonly rejectExtra: boolean
  readonly expiresAt?: string | undefined
  /** Only of what is stored. */
  readonly unindexed?: readonly string[] | undefined
}

/** A field as the native side takes it; language and weight of a text field that has other than the defaults. */
export interface FieldShape {
  readonly name: string
  readonly kind: FieldKind
  readonly language?: Language | undefined
  readonly weight?: number | undefined
}

/** A vector field as the native side takes it. */
export interface VectorShape {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  readonly type: VectorType
  readonly index: 'auto' | 'flat' | 'hnsw' | 'qg' | 'ivf'
  readonly hnsw?: HnswShape | undefined
  readonly quantize?: QuantizeShape | undefined
}

interface QuantizeShape {
  readonly kind: 'sq8' | 'sq4' | 'pq' | 'rabitq'
  readonly subspaces?: number | undefined
  readonly bits?: number | undefined
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

/** Every language. */
const languages = [
  'none',
  'arabic',
  'danish',
  'dutch',
  'english',
  'finnish',
  'french',
  'german',
  'greek',
  'hungarian',
  'italian',
  'norwegian',
  'portuguese',
  'romanian',
  'russian',
  'spanish',
  'swedish',
  'tamil',
  'turkish',
] as const

const schemaNames = new Set(['key', 'vectors', 'fields', 'extra', 'expiresAt'])
const vectorNames = new Set(['dim', 'metric', 'type', 'index', 'quantize'])
const quantizeNames = new Set(['kind', 'subspaces', 'bits'])
const textNames = new Set(['type', 'language', 'weight'])
const hnswNames = new Set(['kind', 'm', 'm0', 'mMax', 'efConstruction', 'levelMult'])
const metrics: readonly Metric[] = ['cosine', 'l2', 'dot', 'l1', 'hamming']
const indexKinds = ['auto', 'flat', 'hnsw', 'qg', 'ivf'] as const
const vectorTypes: readonly VectorType[] = ['f32', 'f16', 'i8', 'binary', 'sparse', 'multi']
const quantizers = ['auto', 'none', 'sq8', 'sq4', 'pq', 'rabitq'] as const

/**
 * Checks a schema and spells it out.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` or `ERR_LIMIT_EXCEEDED`, with the `path` within the schema.
 */
export function toShape(schema: unknown): SchemaShape {
  if (!isPlainObject(schema)) throw wrong('a schema must be a plain object', 'object', schema)
  refuseUnknown(schema, schemaNames, 'the schema')
  const { key, vectors, fields, extra, expiresAt } = schema
  const shape: SchemaShape = {
    key: key === undefined ? 'string' : oneOf(key, ['string', 'u64'], 'key'),
    vectors: vectorShapes(vectors),
    fields: fieldShapes(fields),
    rejectExtra:
      extra === undefined ? false : oneOf(extra, ['allow', 'reject'], 'extra') === 'reject',
  }
  if (expiresAt === undefined) return shape
  return { ...shape, expiresAt: dateOf(expiresAt, shape.fields) }
}

/** The name of a field that holds one date. */
function dateOf(name: unknown, fields: readonly FieldShape[]): string {
  const dates = fields.filter(({ kind }) => kind === 'date').map((field) => field.name)
  const found = dates.find((date) => date === name)
  if (found !== undefined) return found
  const expected = dates.length === 0 ? 'a field declared as date' : dates.join(' | ')
  throw wrong('records expire at a field that is declared as a date', expected, name, 'expiresAt')
}

/** The public form of what the native side stores. */
export function fromShape(shape: SchemaShape): StoredSchema {
  return {
    key: shape.key,
    vectors: Object.fromEntries(shape.vectors.map((field) => [field.name, storedVector(field)])),
    fields: Object.fromEntries(shape.fields.map((field) => [field.name, storedField(field)])),
    extra: shape.rejectExtra ? 'reject' : 'allow',
    ...(shape.expiresAt === undefined ? {} : { expiresAt: shape.expiresAt }),
    ...(shape.unindexed === undefined ? {} : { unindexed: shape.unindexed }),
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
  const type = vectorType(field['type'], `${path}.type`)
  const metric = oneOf(field['metric'], metrics, `${path}.metric`)
  if ((metric === 'hamming') !== (type === 'binary')) {
    const expected = type === 'binary' ? 'hamming' : 'cosine | l2 | dot | l1'
    throw wrong(
      'hamming is for binary fields, and they have no other',
      expected,
      metric,
      `${path}.metric`,
    )
  }
  const dim = wholeNumber(field['dim'], `${path}.dim`, 1, limits.dimMax)
  if (type === 'binary' && dim % 8 !== 0) {
    throw wrong('a binary field has whole bytes', 'a multiple of 8', dim, `${path}.dim`)
  }
  const index = indexShape(field['index'], `${path}.index`)
  if (type === 'sparse' && metric !== 'dot')
    throw wrong('a sparse field has the metric dot', 'dot', metric, `${path}.metric`)
  if (varies(type) && index.index !== 'auto' && index.index !== 'flat')
    throw wrong(`a ${type} field has no graph`, 'auto | flat', index.index, `${path}.index`)
  if (index.index === 'qg' && (type !== 'f32' || (metric !== 'cosine' && metric !== 'l2'))) {
    throw wrong(
      'a quantised graph is over f32 vectors under cosine or l2',
      'auto | flat | hnsw',
      index.index,
      `${path}.index`,
    )
  }
  if (index.index === 'ivf' && (type !== 'f32' || metric === 'l1')) {
    throw wrong(
      'an ivf index is over f32 vectors under cosine, l2 or dot',
      'auto | flat | hnsw',
      index.index,
      `${path}.index`,
    )
  }
  const quantize = quantizeShape(field['quantize'], dim, `${path}.quantize`)
  if (quantize === undefined) return { name, dim, metric, type, ...index }
  const hasOwnCodes = index.index === 'qg' || index.index === 'ivf'
  const isCoded = type === 'f32' && metric !== 'l1' && !hasOwnCodes
  if (isCoded) return { name, dim, metric, type, ...index, quantize }
  throw wrong(
    'f32 vectors under cosine, l2 or dot are quantised, with an index that has no codes of its own',
    'auto | none',
    quantize.kind,
    `${path}.quantize`,
  )
}

function vectorType(type: unknown, path: string): VectorType {
  if (type === undefined) return 'f32'
  return oneOf(type, vectorTypes, path)
}

/** Whether the vectors of a field differ in length as they cross over. */
export function varies(type: VectorType): boolean {
  return type === 'sparse' || type === 'multi'
}

/** Numbers of a vector as it crosses over: its components, and of bits the bytes. Not where they {@link varies | vary}. */
export function widthOf({ dim, type }: Pick<VectorShape, 'dim' | 'type'>): number {
  return type === 'binary' ? dim / 8 : dim
}

function indexShape(index: unknown, path: string): Pick<VectorShape, 'index' | 'hnsw'> {
  if (index === undefined) return { index: 'auto' }
  if (typeof index === 'string') {
    return { index: oneOf(index, indexKinds, path) }
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

function quantizeShape(quantize: unknown, dim: number, path: string): QuantizeShape | undefined {
  if (quantize === undefined) return undefined
  const given = isPlainObject(quantize) ? quantize : { kind: oneOf(quantize, quantizers, path) }
  refuseUnknown(given, quantizeNames, path)
  const { kind, subspaces, bits } = given
  if (kind === 'auto' || kind === 'none') return undefined
  if (kind === 'sq8' || kind === 'sq4') return { kind }
  const found = oneOf(kind, ['pq', 'rabitq'] as const, `${path}.kind`)
  if (found === 'rabitq') {
    if (subspaces !== undefined)
      throw wrong('rabitq has no subspaces', 'no such member', subspaces, `${path}.subspaces`)
    return { kind: found, bits: wholeNumber(bits ?? 4, `${path}.bits`, 1, 8) }
  }
  const ofEach = wholeNumber(bits ?? 8, `${path}.bits`, 4, 8)
  if (ofEach !== 4 && ofEach !== 8)
    throw wrong('a codebook has 16 or 256 entries', '8 | 4', bits, `${path}.bits`)
  const parts = wholeNumber(subspaces ?? Math.ceil(dim / 4), `${path}.subspaces`, 1, dim)
  return { kind: found, subspaces: parts, bits: ofEach }
}

/** Fields with their types, which stand at `at`. */
export function fieldShapes(fields: unknown, at = 'fields'): FieldShape[] {
  if (fields === undefined) return []
  if (!isPlainObject(fields))
    throw wrong(`${at} is an object of types`, '{ [name]: type }', fields, at)
  return Object.keys(fields).map((name) => ({
    name: wellFormed(name),
    ...fieldShape(fields[name], name, `${at}.${name}`),
  }))
}

function fieldShape(field: unknown, name: string, path: string): Omit<FieldShape, 'name'> {
  if (!isPlainObject(field)) return { kind: fieldKind(field, name, path) }
  refuseUnknown(field, textNames, path)
  const { type, language, weight } = field
  const kind = oneOf(type, ['text', 'text[]'], `${path}.type`)
  const spoken = language === undefined ? 'none' : oneOf(language, languages, `${path}.language`)
  const share = weight === undefined ? 1 : weightOf(weight, `${path}.weight`)
  return spoken === 'none' && share === 1 ? { kind } : { kind, language: spoken, weight: share }
}

/** What scores are multiplied by. */
export function weightOf(value: unknown, path: string): number {
  return numberWithin(value, path, 1e-6, 1e6)
}

function storedField({ kind, language, weight }: FieldShape): FieldType {
  if (typeof language !== 'string' || typeof weight !== 'number') return kind
  return { type: kind as TextField['type'], language, weight }
}

/** A name that UTF-8 can hold: half a character would become another one on the way, and so another name. */
export function wellFormed(name: string): string {
  if (isWellFormed(name)) return name
  throw new CairnError('ERR_INVALID_NAME', 'a field name has half a character', { name })
}

function fieldKind(kind: unknown, name: string, path: string): FieldKind {
  const base = typeof kind === 'string' && kind.endsWith('[]') ? kind.slice(0, -2) : kind
  if (baseTypes.some((type) => type === base)) return kind as FieldKind
  const meant = typeof base === 'string' ? nearest(base, baseTypes) : undefined
  throw new CairnError('ERR_INVALID_ARGUMENT', 'unknown type of a field', {
    path,
    field: name,
    expected: baseTypes.join(' | '),
    got: typeof kind === 'string' ? kind : typeof kind,
    ...(meant === undefined ? {} : { suggestion: meant }),
  })
}

function storedQuantize(quantize: QuantizeShape | undefined): StoredQuantize {
  const { kind, subspaces = 0, bits = 0 } = quantize ?? { kind: 'none' as const }
  if (kind === 'pq') return { kind, subspaces, bits: bits === 4 ? 4 : 8 }
  return kind === 'rabitq' ? { kind, bits } : kind
}

function storedVector({
  dim,
  metric,
  type,
  index,
  hnsw,
  quantize,
}: VectorShape): StoredVectorField {
  const common = { dim, metric, type, quantize: storedQuantize(quantize) }
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
