// What an embedder takes and gives, in types. Compiling is the test.
import { expectTypeOf } from 'expect-type'
import {
  embedder,
  hashing,
  http,
  type Embedder,
  type EmbedFunction,
  type Embeddings,
} from '#ts/embed/index.js'
import type { Database } from '#ts/index.js'

declare const db: Database

expectTypeOf(hashing()).toEqualTypeOf<Embedder>()
expectTypeOf(hashing({ dim: 64, ngrams: [3], words: false })).toEqualTypeOf<Embedder>()
const remote = http({ url: new URL('http://localhost'), model: 'm', dim: 3, key: undefined })
expectTypeOf(remote.embed('a')).toEqualTypeOf<Promise<Float32Array>>()
expectTypeOf(remote.embed(['a'] as const, { signal: AbortSignal.timeout(1) })).toEqualTypeOf<
  Promise<Float32Array>
>()

// The shapes that models give, without a word more.
declare const ollama: { embed(texts: readonly string[]): Promise<{ embeddings: number[][] }> }
declare const tensors: (texts: readonly string[]) => Promise<{ data: Float32Array }>
void embedder({
  dim: 3,
  name: 'ollama',
  embed: async (texts) => (await ollama.embed(texts)).embeddings,
})
void embedder({ dim: 3, name: 'tensors', embed: async (texts) => (await tensors(texts)).data })
void embedder({ dim: 3, name: 'rows', embed: (texts) => texts.map(() => new Float64Array(3)) })
expectTypeOf<EmbedFunction>().parameter(0).toEqualTypeOf<readonly string[]>()
expectTypeOf<EmbedFunction>().returns.toEqualTypeOf<Embeddings | PromiseLike<Embeddings>>()

// One text is a query, and many are a batch.
const notes = await db.collection('notes', { vectors: { dim: remote.dim, metric: 'cosine' } })
void notes.search({ vector: await remote.embed('a') })
void notes.upsert({ keys: ['a', 'b'], vectors: await remote.embed(['a', 'b']) })

// @ts-expect-error texts are strings
void remote.embed([1])
// @ts-expect-error nothing is embedded
void remote.embed()
// @ts-expect-error an embedder has a name
void embedder({ dim: 3, embed: () => [] })
// @ts-expect-error a flat list of numbers is no list of rows
void embedder({ dim: 3, name: 'flat', embed: () => [1, 2, 3] })
// @ts-expect-error no such option
void hashing({ dims: 64 })
// @ts-expect-error a service has an address
void http({ model: 'm', dim: 3 })
