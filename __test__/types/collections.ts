// A collection of a known schema goes where any collection goes.
import { expectTypeOf } from 'expect-type'
import type {
  CallOptions,
  Collection,
  Database,
  Hit,
  Schema,
  SearchPlan,
  VersionInfo,
} from '#ts/index.js'

declare const db: Database

const schema = {
  vectors: { body: { dim: 3, metric: 'cosine' } },
  fields: { title: 'text', year: 'int', seen: 'date', tags: 'keyword[]', more: 'json' },
} as const satisfies Schema
const strict = {
  key: 'u64',
  vectors: { a: { dim: 3, metric: 'l2' }, b: { dim: 2, metric: 'dot', type: 'sparse' } },
  fields: { title: 'text' },
  extra: 'reject',
} as const satisfies Schema

declare const typed: Collection<typeof schema>
declare const numbered: Collection<typeof strict>

const sizeOf = async (collection: Collection): Promise<number> => collection.count()
void sizeOf(typed)
void sizeOf(numbered)
void sizeOf(await db.collection('docs', schema))
const all: Collection[] = [typed, numbered]
expectTypeOf(all[0]!.name).toEqualTypeOf<string>()
expectTypeOf<Collection<typeof schema>>().toExtend<Collection>()
void sizeOf(await db.openCollection('docs'))

// Of any collection nothing is known, and nothing is refused.
declare const any: Collection
const [hit] = await any.search({ vector: [1, 2, 3], select: ['title'], vectors: true })
expectTypeOf(hit!.key).toEqualTypeOf<string | bigint>()
expectTypeOf(hit!.fields['title']).toEqualTypeOf<unknown>()
expectTypeOf((await any.get(['a', 5n]))[0]!.fields['x']).toEqualTypeOf<unknown>()
await any.count({ whatever: { gte: 5 } })
await any.aggregate('year')
await any.alter({ addFields: { pages: 'int' }, renameFields: { a: 'b' } })

// Hits are an array, and with `explain` they have a plan of the same keys.
const hits = await typed.search({ vector: [1, 2, 3], select: ['year'], explain: true })
expectTypeOf(hits).toExtend<Hit<typeof schema, readonly ['year']>[]>()
expectTypeOf(hits.plan).toEqualTypeOf<SearchPlan<typeof schema> | undefined>()
expectTypeOf(hits[0]!.fields.year).toEqualTypeOf<number | bigint | undefined>()
const listed: readonly Hit<typeof strict>[] = await numbered.search({ vector: { a: [1, 2, 3] } })
void listed
expectTypeOf(
  (await numbered.search({ vector: { a: [1, 2, 3] }, explain: true })).plan!.keys,
).toEqualTypeOf<bigint[]>()
expectTypeOf(hits.plan!.micros).toEqualTypeOf<{
  readonly filter: number
  readonly search: number
  readonly read: number
}>()
void typed.searchSync({ vector: [1, 2, 3], explain: false })
// @ts-expect-error it answers at once, with hits alone
void typed.searchSync({ vector: [1, 2, 3], explain: true })
// @ts-expect-error a batch tells no plan
void typed.searchBatch({ vectors: new Float32Array(3), explain: true })

// A signal comes last, behind what a call takes besides.
const { signal } = new AbortController()
expectTypeOf(await db.collection('docs', schema, { signal })).toEqualTypeOf<
  Collection<typeof schema>
>()
void sizeOf(await db.collection('docs', undefined, { signal }))
expectTypeOf(await typed.has('a', { signal })).toEqualTypeOf<boolean>()
expectTypeOf(await typed.has(['a', 'b'], { signal })).toEqualTypeOf<boolean[]>()
expectTypeOf(await db.snapshot(undefined, { signal })).toEqualTypeOf<VersionInfo>()
const given: CallOptions = { signal: undefined }
await db.listVersions(given)
// @ts-expect-error there is no such option
await db.stats({ sgnal: signal })
// @ts-expect-error a controller is no signal
await db.at(5n, { signal: new AbortController() })
// @ts-expect-error it ends all work itself
await db.close({ signal })

// @ts-expect-error a vector is no text
await any.search({ vector: 'abc' })
// @ts-expect-error there is no such member
await any.search({ vector: [1, 2, 3], topK: 5 })
