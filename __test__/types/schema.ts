// What a schema literal says, in types. Compiling is the test.
import { expectTypeOf } from 'expect-type'
import { documentFields, documentOf } from '#ts/index.js'
import type {
  Bucket,
  Collection,
  Database,
  Fields,
  GeoPoint,
  Hit,
  Json,
  Key,
  Mark,
  Row,
  SearchBatchResult,
  SparseVector,
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
await db.collection('coded', { vectors: { dim: 3, metric: 'cosine', index: 'qg' } })
// @ts-expect-error settings are those of hnsw
await db.collection('coded', { vectors: { dim: 3, metric: 'cosine', index: { kind: 'qg' } } })

// Fields have the types of their declarations, and any may be missing.
const [hit] = await docs.search({ vector: { body: [1, 2, 3] } })
if (hit === undefined) throw new Error('no hit')
expectTypeOf(hit.key).toEqualTypeOf<string>()
expectTypeOf(hit.distance).toEqualTypeOf<number>()
expectTypeOf(hit.score).toEqualTypeOf<number>()
expectTypeOf(hit.version).toEqualTypeOf<bigint>()
expectTypeOf(hit.fields.title).toEqualTypeOf<string | undefined>()
expectTypeOf(hit.fields.lang).toEqualTypeOf<string | undefined>()
expectTypeOf(hit.fields.year).toEqualTypeOf<number | bigint | undefined>()
expectTypeOf(hit.fields.price).toEqualTypeOf<number | undefined>()
expectTypeOf(hit.fields.fresh).toEqualTypeOf<boolean | undefined>()
expectTypeOf(hit.fields.seen).toEqualTypeOf<Date | undefined>()
expectTypeOf(hit.fields.place).toEqualTypeOf<GeoPoint | undefined>()
expectTypeOf(hit.fields.more).toEqualTypeOf<Json | undefined>()
expectTypeOf(hit.fields.blob).toEqualTypeOf<Uint8Array | undefined>()
expectTypeOf(hit.fields.tags).toEqualTypeOf<string[] | undefined>()
expectTypeOf(hit.fields.days).toEqualTypeOf<Date[] | undefined>()
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

// A function of the caller's gets what a record has.
await docs.count(({ year, title }) => {
  expectTypeOf(year).toEqualTypeOf<number | bigint | undefined>()
  // @ts-expect-error a record may lack it
  return title.length > 3
})

// A selection cuts fields to what it names.
const [selected] = docs.searchSync({ vector: [1, 2, 3], select: ['title', 'year'] })
expectTypeOf(selected?.fields).toEqualTypeOf<
  { readonly title?: string; readonly year?: number | bigint } | undefined
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

// Vectors are read, and given, in the array of their field's type.
const short = await db.collection('short', {
  vectors: {
    halves: { dim: 2, metric: 'l2', type: 'f16' },
    bytes: { dim: 2, metric: 'cosine', type: 'i8' },
    bits: { dim: 16, metric: 'hamming', type: 'binary' },
  },
})
const [shortHit] = await short.search({ vector: { bits: new Uint8Array(2) }, vectors: true })
expectTypeOf(shortHit?.vectors.halves).toEqualTypeOf<Float32Array | undefined>()
expectTypeOf(shortHit?.vectors.bytes).toEqualTypeOf<Int8Array | undefined>()
expectTypeOf(shortHit?.vectors.bits).toEqualTypeOf<Uint8Array | undefined>()
void short.upsert({
  key: 'a',
  vectors: { halves: [1, 2], bytes: new Int8Array(2), bits: new Uint8Array(2) },
})
void short.upsert({ keys: ['a'], vectors: { bytes: new Int8Array(2) } })
const bytesAlone = await db.collection('bytes', { vectors: { dim: 2, metric: 'l2', type: 'i8' } })
void bytesAlone.upsert({ key: 'a', vector: new Int8Array(2) })
void bytesAlone.upsert({ key: 'a', vector: [1, 2] })
void bytesAlone.searchBatch({ vectors: new Int8Array(4) })
expectTypeOf((await bytesAlone.get('a', { vectors: true }))?.vector).toEqualTypeOf<
  Int8Array | undefined
>()
// @ts-expect-error floats are no vector of bytes
void bytesAlone.upsert({ key: 'a', vector: new Float32Array(2) })
// @ts-expect-error floats are no vector of bytes
void bytesAlone.search({ vector: new Float32Array(2) })
// @ts-expect-error floats are no matrix of bytes
void bytesAlone.upsert({ keys: ['a'], vectors: new Float32Array(2) })
// @ts-expect-error floats are no matrix of bytes
void bytesAlone.searchBatch({ vectors: new Float32Array(2) })
// @ts-expect-error floats are no vector of bits
void short.search({ vector: { bits: new Float32Array(2) } })
// @ts-expect-error bits are no vector of halves
void short.update({ key: 'a', vectors: { halves: new Uint8Array(2) } })
// @ts-expect-error no such type of vectors
void db.collection('x', { vectors: { dim: 3, metric: 'l2', type: 'f64' } })

// Text fields with settings hold texts, and words are asked of text fields alone.
const texts = await db.collection('texts', {
  vectors: { dim: 3, metric: 'l2' },
  fields: {
    title: { type: 'text', language: 'english', weight: 2 },
    notes: { type: 'text[]' },
    body: 'text',
    lang: 'keyword',
  },
  extra: 'reject',
})
const [found] = await texts.search({
  text: { query: 'sea', fields: ['title', 'notes'] },
  highlight: { fields: ['title', 'notes'] },
  filter: { title: { match: 'sea' }, notes: { contains: 'x' } },
})
expectTypeOf(found?.fields.title).toEqualTypeOf<string | undefined>()
expectTypeOf(found?.fields.notes).toEqualTypeOf<string[] | undefined>()
expectTypeOf(found?.highlights?.title).toEqualTypeOf<readonly Mark[] | undefined>()
expectTypeOf(found?.highlights?.notes).toEqualTypeOf<readonly (readonly Mark[])[] | undefined>()
void texts.upsert({ key: 'a', vector: [1, 2, 3], fields: { title: 'x', notes: ['y'] } })
// @ts-expect-error a text
void texts.upsert({ key: 'a', vector: [1, 2, 3], fields: { title: 5 } })
// @ts-expect-error a keyword is not searched by words
void texts.search({ text: { query: 'sea', fields: ['lang'] } })
// @ts-expect-error a keyword has no marks
void texts.search({ text: 'sea', highlight: { fields: ['lang'] } })
const unspoken = { a: { type: 'text', language: 'x' } } as const
// @ts-expect-error no such language
void db.collection('x', { vectors: { dim: 3, metric: 'l2' }, fields: unspoken })
void two.search({ vector: { a: [1, 2], b: [1, 2, 3] }, fuse: { weights: { a: 2, b: 1, text: 3 } } })
// @ts-expect-error no such source
void two.search({ vector: { a: [1, 2] }, fuse: { weights: { c: 2 } } })
void docs.search({
  vector: [1, 2, 3],
  select: ['title'],
  rerank: async (hits) => {
    expectTypeOf(hits[0]?.fields).toEqualTypeOf<{ readonly title?: string } | undefined>()
    return hits.map(({ fields }) => fields.title?.length ?? 0)
  },
})
// @ts-expect-error nothing waits for a function
docs.searchSync({ vector: [1, 2, 3], rerank: (hits) => hits })

// Scans give records, and a cursor.
const scan = docs.scan({ select: ['title'], limit: 5 })
expectTypeOf(scan.cursor).toEqualTypeOf<string | null>()
for await (const { fields } of scan) expectTypeOf(fields.title).toEqualTypeOf<string | undefined>()

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

// Filters take the operators and values of the fields' types.
await docs.count({ lang: 'en', year: { gte: 2020, $lt: 2n ** 60n }, tags: { contains: 'sea' } })
await docs.count({ seen: { gt: new Date() }, fresh: true, title: { match: 'sea', not: 'Tides' } })
await docs.count({ place: { geoRadius: { center: { lat: 0, lon: 0 }, radius: 5 } } })
await docs.count({ or: [{ year: [2020, null] }, { not: { price: { lt: 0.5 } } }], $key: 'a' })
await docs.count({ 'more.deep': { gt: 5 }, undeclared: { anything: 1 } })
await ids.count({ $key: { in: [1n, 2n] } })
await strict.count({ title: { startsWith: 'T' } })
await any.count({ whatever: 5 })
// @ts-expect-error a year is a number
await docs.count({ year: '2020' })
// @ts-expect-error a year has no words
await docs.count({ year: { match: '2020' } })
// @ts-expect-error booleans have no order
await docs.count({ fresh: { gt: false } })
// @ts-expect-error a date is a Date
await docs.count({ seen: { gt: 5 } })
// @ts-expect-error wrong inside
await docs.count({ and: [{ or: [{ lang: 5 }] }] })
// @ts-expect-error keys are numbers
await ids.count({ $key: 'a' })
// @ts-expect-error no such field in a strict schema
await strict.count({ titel: 'Tides' })
// @ts-expect-error places are not compared
await docs.search({ vector: [1, 2, 3], filter: { place: { lt: 5 } } })

// Groups, orders and likeness are of fields and keys that there are.
await docs.search({ vector: [1, 2, 3], groupBy: { field: 'lang', size: 2 }, diversity: 0.5 })
await docs.search({ like: 'a' })
await ids.search({ like: 5n, k: 3 })
await two.search({ like: { key: 'a', field: 'b' } })
await docs.search({ filter: { lang: 'en' } })
await strict.search({ vector: [1, 2, 3], groupBy: { field: 'title' } })
await strict.scan({ orderBy: { field: 'title', order: 'desc' } }).next()
await strict.scan({ orderBy: '$key' }).next()
await any.search({ like: 5n, groupBy: { field: 'whatever' } })
// @ts-expect-error a vector that is there is one
await docs.search({ vector: undefined })
// @ts-expect-error a number is no key here
await docs.search({ like: 5n })
// @ts-expect-error no such vector field
await two.search({ like: { key: 'a', field: 'c' } })
// @ts-expect-error no such field in a strict schema
await strict.search({ vector: [1, 2, 3], groupBy: { field: 'titel' } })
// @ts-expect-error no such field in a strict schema
strict.scan({ orderBy: 'titel' })
// @ts-expect-error no such direction
docs.scan({ orderBy: { field: 'year', order: 'down' } })
// @ts-expect-error a batch is by vectors
void docs.searchBatch({ vectors: new Float32Array(3), groupBy: { field: 'lang' } })

// Facets give values of the field, elements of arrays.
const [tag] = await docs.facet('tags', { filter: { year: 2020 }, k: 5 })
expectTypeOf(tag?.value).toEqualTypeOf<string | null | undefined>()
expectTypeOf(tag?.count).toEqualTypeOf<number | undefined>()
expectTypeOf((await docs.facet('seen'))[0]?.value).toEqualTypeOf<Date | null | undefined>()
expectTypeOf((await any.facet('x'))[0]?.value).toEqualTypeOf<unknown>()
// @ts-expect-error no such field in a strict schema
await strict.facet('titel')
// @ts-expect-error a year is a number
await docs.facet('tags', { filter: { year: '2020' } })

// Figures are of numbers and dates, and answer in their type.
const years = await docs.aggregate('year')
expectTypeOf(years.count).toEqualTypeOf<number>()
expectTypeOf(years.min).toEqualTypeOf<number | bigint | null>()
expectTypeOf(years.sum).toEqualTypeOf<number | bigint | null>()
expectTypeOf(years.mean).toEqualTypeOf<number | null>()
expectTypeOf((await docs.aggregate('days')).max).toEqualTypeOf<Date | null>()
expectTypeOf((await docs.aggregate('days')).sum).toEqualTypeOf<null>()
expectTypeOf((await docs.aggregate('price')).sum).toEqualTypeOf<number | null>()
const figures = await docs.aggregate({
  first: { op: 'min', field: 'seen' },
  all: { op: 'sum', field: 'price' },
  mid: { op: 'mean', field: 'year' },
  titles: { op: 'count', field: 'title' },
  spread: { op: 'histogram', field: 'price', buckets: 10 },
})
expectTypeOf(figures.first).toEqualTypeOf<Date | null>()
expectTypeOf(figures.all).toEqualTypeOf<number | null>()
expectTypeOf(figures.mid).toEqualTypeOf<number | null>()
expectTypeOf(figures.titles).toEqualTypeOf<number>()
expectTypeOf(figures.spread).toEqualTypeOf<readonly Bucket<number>[] | null>()
await any.aggregate({ a: { op: 'max', field: 'whatever' } })
await docs.aggregate('more.deep')
// @ts-expect-error a title is no number
await docs.aggregate('title')
// @ts-expect-error no such field
await docs.aggregate('yaer')
// @ts-expect-error a language is no number
await docs.aggregate({ a: { op: 'sum', field: 'lang' } })
// @ts-expect-error no such operation
await docs.aggregate({ a: { op: 'median', field: 'year' } })
// @ts-expect-error a histogram has buckets
await docs.aggregate({ a: { op: 'histogram', field: 'year' } })

// Sparse vectors are read as typed arrays, and given as numbers as well.
const sparse = await db.collection('sparse', {
  vectors: { s: { dim: 100, metric: 'dot', type: 'sparse' }, d: { dim: 2, metric: 'l2' } },
})
const sparseHits = await sparse.search({
  vector: { s: { indices: [1], values: new Float32Array(1) }, d: [1, 2] },
  vectors: true,
})
expectTypeOf(sparseHits[0]!.vectors.s).toEqualTypeOf<SparseVector>()
expectTypeOf(sparseHits[0]!.vectors.d).toEqualTypeOf<Float32Array>()
await sparse.upsert({
  keys: ['a'],
  vectors: { s: [{ indices: new Uint32Array(1), values: [1] }], d: new Float32Array(2) },
})
await sparse.searchBatch({ vectors: { s: [{ indices: [1], values: [1] }] } })
// @ts-expect-error a sparse vector is no array
await sparse.search({ vector: { s: [1, 2] } })
// @ts-expect-error nor is a dense one sparse
await sparse.search({ vector: { d: { indices: [1], values: [1] } } })

// Several vectors are read as an array of them, and given so, as numbers, or row by row.
const several = await db.collection('several', {
  vectors: { m: { dim: 2, metric: 'dot', type: 'multi' }, d: { dim: 2, metric: 'l2' } },
})
const severalHits = await several.search({
  vector: { m: [[1, 2], new Float32Array(2)], d: [1, 2] },
  vectors: true,
})
expectTypeOf(severalHits[0]!.vectors.m).toEqualTypeOf<Float32Array[]>()
expectTypeOf(severalHits[0]!.vectors.d).toEqualTypeOf<Float32Array>()
await several.upsert({
  keys: ['a'],
  vectors: { m: [new Float32Array(4)], d: new Float32Array(2) },
})
await several.searchBatch({ vectors: { m: [[[1, 2]], new Float32Array(4)] } })
// @ts-expect-error numbers are no array of vectors
await several.search({ vector: { m: [1, 2] } })
// @ts-expect-error nor are several vectors one
await several.search({ vector: { d: [[1, 2]] } })

// A change of a schema changes the types.
const changed = await docs.alter({
  addFields: { pages: 'int', notes: 'text[]' },
  renameFields: { year: 'published', tags: 'labels' },
  dropIndex: 'lang',
})
const [later] = await changed.search({ vector: [1, 2, 3] })
expectTypeOf(later?.fields.pages).toEqualTypeOf<number | bigint | undefined>()
expectTypeOf(later?.fields.notes).toEqualTypeOf<string[] | undefined>()
expectTypeOf(later?.fields.published).toEqualTypeOf<number | bigint | undefined>()
expectTypeOf(later?.fields.labels).toEqualTypeOf<string[] | undefined>()
expectTypeOf(later?.fields.title).toEqualTypeOf<string | undefined>()
expectTypeOf(later?.fields['year']).toEqualTypeOf<unknown>()
await changed.count({ published: { gte: 2020 }, labels: 'sea' })
// @ts-expect-error a number is asked for
await changed.count({ published: { gte: '2020' } })
// @ts-expect-error only declared fields get other names
await docs.alter({ renameFields: { undeclared: 'other' } })
// @ts-expect-error there is no such type
await docs.alter({ addFields: { pages: 'integer' } })
// @ts-expect-error the field is declared
await docs.alter({ addFields: { title: 'text' } })
await docs.alter({ addFields: { year: 'int' }, renameFields: { year: 'published' } })
await docs.alter({ addFields: { notes: { type: 'text', language: 'english', weight: 2 } } })
// @ts-expect-error there is no such member of a text field
await docs.alter({ addFields: { notes: { type: 'text', lang: 'english' } } })
// @ts-expect-error there is no such change
await docs.alter({ addFields: { notes: 'text' }, dropIndx: 'lang' })
// @ts-expect-error there is no such type
await any.alter({ addFields: { pages: 'integer' } })
const strictly = await strict.alter({ renameFields: { title: 'name' } })
// @ts-expect-error the old name is no field any more
await strictly.upsert({ key: 'a', vector: [1, 2, 3], fields: { title: 'x' } })
expectTypeOf(await any.alter({ addFields: { a: 'int' } })).toEqualTypeOf<Collection>()
