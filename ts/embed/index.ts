// cairndb/embed: texts in, unit vectors out.
export { embedder } from './embedder.js'
export { hashing } from './hashing.js'
export { http } from './http.js'
export type { HashingOptions } from './hashing.js'
export type { HttpOptions } from './http.js'
export type { Embedder, EmbedderOptions, EmbedFunction, Embeddings, EmbedOptions } from './types.js'
