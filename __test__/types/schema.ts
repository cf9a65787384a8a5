// What a schema literal says, in types. Compiling is the test.
import { expectTypeOf } from 'expect-type'
import { documentFields, documentOf } from '#ts/index.js'
import type {
  Collection,
  Database,
  Fields,
  GeoPoint,
  Hit,
  Json,
  Key,
  Row,
  SearchBatchResult,
  StoredRecord,
  WriteResult,
} from '#ts/index.js'

declare const db: Database

const docs = await db.collection('docs', {
  vectors: { body: { dim: 3, metric: 'cosine' } },
  fields: {
    title: 'text',
    lang: 'keyword',
    year: 'int',
    price: 'float',
    fresh: 'bool',
    seen: 'date',
    place: 'geo',
    more: 'json',
    blob: 'bytes',
    tags: 'keyword[]',
    days: 'date[]',
  },
})
const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 3, metric: 'l2' } })
const strict = await db.createCollection('strict', {
  vectors: { dim: 3, metric: 'l2' },
  fields: { title: 'text' },
  extra: 'reject',
})
const two = await db.collection('two', {
  vectors: { a: { dim: 2, metric: 'l2' }, b: { dim: 3, metric: 'dot' } },
})
const any = await db.openCollection('any')

// Fields have the types of their declarations.
const [hit] = await docs.search({ vector: { body: [1, 2, 3] } })
if (hit === undefined) throw new Error('no hit')
expectTypeOf(hit.key).toEqualTypeOf<string>()
expectTypeOf(hit.distance).toEqualTypeOf<number>()
expectTypeOf(hit.score).toEqualTypeOf<number>()
expectTypeOf(hit.version).toEqualTypeOf<bigint>()
expectTypeOf(hit.fields.title).toEqualTypeOf<string>()
expectTypeOf(hit.fields.lang).toEqualTypeOf<string>()
expectTypeOf(hit.fields.year).toEqualTypeOf<number | bigint>()
expectTypeOf(hit.fields.price).toEqualTypeOf<number>()
expectTypeOf(hit.fields.fresh).toEqualTypeOf<boolean>()
expectTypeOf(hit.fields.seen).toEqualTypeOf<Date>()
expectTypeOf(hit.fields.place).toEqualTypeOf<GeoPoint>()
expectTypeOf(hit.fields.more).toEqualTypeOf<Json>()
expectTypeOf(hit.fields.blob).toEqualTypeOf<Uint8Array>()
expectTypeOf(hit.fields.tags).toEqualTypeOf<string[]>()
expectTypeOf(hit.fields.days).toEqualTypeOf<Date[]>()
expectTypeOf(hit.fields['undeclared']).toEqualTypeOf<unknown>()
// @ts-expect-error vectors were not asked for
hit.vectors

// Vectors are there when they were asked for, by name, and alone where there is one.
const [withVectors] = await docs.search({ vector: [1, 2, 3], vectors: true })
expectTypeOf(withVectors?.vectors.body).toEqualTypeOf<Float32Array | undefined>()
expectTypeOf(withVectors?.vector).toEqualTypeOf<Float32Array | undefined>()
const record = await two.get('a', { vectors: true })
expectTypeOf(record?.vectors.a).toEqualTypeOf<Float32Array | undefined>()
// @ts-expect-error the schema has two vector fields
record?.vector

// A selection cuts fields to what it names.
const [selected] = docs.searchSync({ vector: [1, 2, 3], select: ['title', 'year'] })
expectTypeOf(selected?.fields).toEqualTypeOf<
  { readonly title: string; readonly year: number | bigint } | undefined
>()
const bare = await docs.get('a', { select: false })
expectTypeOf(bare?.fields).toEqualTypeOf<{} | undefined>()
// @ts-expect-error a field that a strict schema does not have
void strict.search({ vector: [1, 2, 3], select: ['nope'] })

// Keys have the type of the schema.
expectTypeOf<Key<{ key: 'u64'; vectors: { dim: 1; metric: 'l2' } }>>().toEqualTypeOf<bigint>()
expectTypeOf((await ids.get(5n))?.key).toEqualTypeOf<bigint | undefined>()
expectTypeOf(await ids.get([5n])).items.toEqualTypeOf<StoredRecord<{
  readonly key: 'u64'
  readonly vectors: { readonly dim: 3; readonly metric: 'l2' }
}> | null>()
void ids.upsert({ keys: new BigUint64Array(1), vectors: new Float32Array(3) })
void ids.delete(new BigUint64Array(1))
// @ts-expect-error a string is no key here
void ids.get('a')
// @ts-expect-error a number is no key here
void ids.upsert({ key: 5, vector: [1, 2, 3] })
// @ts-expect-error a bigint is no key here
void docs.delete(5n)

// Batches answer keys in the type they were declared with.
expectTypeOf(
  (await ids.searchBatch({ vectors: new Float32Array(3) })).keys,
).toEqualTypeOf<BigUint64Array>()
expectTypeOf((await docs.searchBatch({ vectors: new Float32Array(3) })).keys).toEqualTypeOf<
  string[]
>()
expectTypeOf<SearchBatchResult['keys']>().toEqualTypeOf<string[] | BigUint64Array>()

// Rows: vector or vectors, every declared field optional and nullable, others only where allowed.
void docs.upsert({
  key: 'a',
  vector: [1, 2, 3],
  fields: { title: 'x', year: 5n, tags: ['a'], other: {} },
})
void docs.upsert([{ key: 'a', vectors: { body: new Float32Array(3) }, fields: { title: null } }])
void docs.upsert({ key: 'a', vector: [1, 2, 3], fields: { title: undefined } })
void docs.upsert({ keys: ['a'], vectors: { body: new Float32Array(3) }, fields: { title: ['x'] } })
void docs.update({ key: 'a', fields: { year: 1 } }, { missing: 'skip', fieldsMode: 'replace' })
void two.upsert({ key: 'a', vectors: { a: [1, 2], b: [1, 2, 3] } })
expectTypeOf(docs.add([])).toEqualTypeOf<Promise<WriteResult>>()
// @ts-expect-error title is text
void docs.upsert({ key: 'a', vector: [1, 2, 3], fields: { title: 5 } })
// @ts-expect-error tags is an array
void docs.upsert({ key: 'a', vector: [1, 2, 3], fields: { tags: 'a' } })
// @ts-expect-error a strict schema has no such field
void strict.upsert({ key: 'a', vector: [1, 2, 3], fields: { nope: 1 } })
// @ts-expect-error vector or vectors
void docs.upsert({ key: 'a', vector: [1, 2, 3], vectors: { body: [1, 2, 3] } })
// @ts-expect-error the schema has two vector fields
void two.upsert({ key: 'a', vector: [1, 2] })
// @ts-expect-error a row has a vector
void docs.upsert({ key: 'a' })
// @ts-expect-error no such vector field
void docs.search({ vector: { title: [1, 2, 3] } })
// @ts-expect-error no such member
void docs.search({ vector: [1, 2, 3], topK: 5 })
// @ts-expect-error no such metric
void db.collection('x', { vectors: { dim: 3, metric: 'euclid' } })
// @ts-expect-error no such type
void db.collection('x', { vectors: { dim: 3, metric: 'l2' }, fields: { a: 'string' } })

// Scans give records, and a cursor.
const scan = docs.scan({ select: ['title'], limit: 5 })
expectTypeOf(scan.cursor).toEqualTypeOf<string | null>()
for await (const { fields } of scan) expectTypeOf(fields.title).toEqualTypeOf<string>()

// Without a schema everything is open.
expectTypeOf(any).toEqualTypeOf<Collection>()
void any.upsert([
  { key: 'a', vector: [1] },
  { key: 5n, vectors: { b: [1] }, fields: { c: 1 } },
])
expectTypeOf<Fields['x']>().toEqualTypeOf<unknown>()
expectTypeOf<Hit['key']>().toEqualTypeOf<string | bigint>()
expectTypeOf<Row['key']>().toEqualTypeOf<string | bigint>()

// A chunk of a document is ordinary fields, declared or not.
const chunks = await db.collection('chunks', {
  vectors: { dim: 3, metric: 'l2' },
  fields: { source_file: 'keyword', chunk_index: 'int', lang: 'keyword' },
})
const chunk = documentFields({ sourceFile: 'a.md', chunkIndex: 1, customFields: { lang: 'en' } })
expectTypeOf(chunk.source_file).toEqualTypeOf<string>()
expectTypeOf(chunk.chunk_index).toEqualTypeOf<number>()
void chunks.upsert({ key: 'a', vector: [1, 2, 3], fields: chunk })
void docs.upsert({ key: 'a', vector: [1, 2, 3], fields: chunk })
expectTypeOf(documentOf(chunk).customFields).toEqualTypeOf<Readonly<Record<string, string>>>()
const read = await chunks.get('a')
if (read !== null) expectTypeOf(documentOf(read.fields).sourceFile).toEqualTypeOf<string>()
// @ts-expect-error a file is a name
documentFields({ sourceFile: 5 })

// An ingest of updates has the wishes of an update.
void docs.ingest([], { mode: 'update', fieldsMode: 'replace', missing: 'skip' })
// @ts-expect-error no such mode
void docs.ingest([], { mode: 'update', fieldsMode: 'deep' })

// A collection of a known schema goes where any collection goes.
const counted = async (collection: Pick<Collection, 'count' | 'name'>): Promise<number> =>
  collection.count()
void counted(docs)

// Versions are told by number.
db.on('version', (version) => expectTypeOf(version).toEqualTypeOf<bigint>())
expectTypeOf(db.refresh()).toEqualTypeOf<Promise<bigint>>()
// @ts-expect-error no such event
db.on('versions', () => undefined)
