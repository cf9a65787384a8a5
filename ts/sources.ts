// What a search asks beside one vector: words, vectors of several fields, and how answers become one.
import { isPlainObject, numberWithin, oneOf, refuseUnknown, wrong } from './check.js'
import { CairnError, withDetails } from './errors.js'
import { nearest } from './internal/nearest.js'
import { isWellFormed } from './internal/text.js'
import { limits } from './limits.js'
import type { BindingSources } from './native/binding.js'
import { weightOf, type SchemaShape } from './schema.js'

/** Members of a query that are read here. */
export const sourceNames = ['text', 'fuse', 'highlight'] as const

const textNames = new Set(['query', 'fields'])
const fuseNames = new Set(['rrf', 'weights'])
const rrfNames = new Set(['k'])
const highlightNames = new Set(['fields'])

/** How little first ranks stand out, where nobody says (Cormack, Clarke and Buettcher 2009). */
const rrfDefault = 60

/** The source that is no vector field. */
const wordSource = 'text'

type Members = Readonly<Record<string, unknown>>

/**
 * The sources of a search; null for one vector alone.
 *
 * @param vectors - Positions of the vector fields that are asked, rising.
 * @throws {CairnError} naming the member in `details.path`.
 */
export function toNativeSources(
  { text, fuse, highlight, maxDistance }: Members,
  vectors: readonly { readonly field: number }[],
  shape: SchemaShape,
): BindingSources | null {
  const words = text === undefined ? undefined : wordsOf(text, shape)
  const names = vectors.map(({ field }) => shape.vectors[field]?.name ?? '')
  const { k, weights } = fusion(fuse, words === undefined ? names : [...names, wordSource])
  const marks = marksOf(highlight, words !== undefined, shape)
  if (words === undefined && vectors.length < 2) return null
  if (maxDistance !== undefined) {
    const what = 'maxDistance is for a search with one vector and no text'
    throw wrong(what, 'minScore, or no limit', maxDistance, 'maxDistance')
  }
  return {
    fields: vectors.map(({ field }) => field),
    weights: names.map((name) => weights.get(name) ?? 1),
    ...words,
    wordWeight: weights.get(wordSource) ?? 1,
    rrfK: k,
    ...marks,
  }
}

function wordsOf(
  text: unknown,
  shape: SchemaShape,
): { words: string; wordFields: string[] | undefined } {
  if (textFields(shape).length === 0) {
    throw wrong('the schema has no field of type text', 'no text', text, 'text')
  }
  if (typeof text === 'string') return { words: query(text, 'text'), wordFields: undefined }
  if (!isPlainObject(text)) {
    throw wrong('text is words, or words and fields', 'string | { query, fields? }', text, 'text')
  }
  refuseUnknown(text, textNames, 'text')
  const { query: words, fields } = text
  return {
    words: query(words, 'text.query'),
    wordFields: fields === undefined ? undefined : fieldNames(fields, shape, 'text.fields'),
  }
}

function query(words: unknown, path: string): string {
  if (typeof words !== 'string') throw wrong('words are a string', 'string', words, path)
  if (!isWellFormed(words)) throw wrong('a text has half a character', 'string', words, path)
  const got = Buffer.byteLength(words)
  if (got <= limits.wordsBytesMax) return words
  const details = { path, limit: limits.wordsBytesMax, got }
  throw new CairnError('ERR_LIMIT_EXCEEDED', 'too many words', details)
}

/** Names of text fields; at least one. */
function fieldNames(fields: unknown, shape: SchemaShape, path: string): string[] {
  const known = textFields(shape)
  const expected = known.join(' | ')
  if (!Array.isArray(fields) || fields.length === 0) {
    throw wrong('fields are names of text fields', `one or more of ${expected}`, fields, path)
  }
  return Array.from(fields, (name: unknown, index) => {
    const found = known.find((field) => field === name)
    if (found !== undefined) return found
    const meant = typeof name === 'string' ? nearest(name, known) : undefined
    const refused = wrong('the schema has no such text field', expected, name, `${path}[${index}]`)
    throw meant === undefined ? refused : withDetails(refused, {}, { suggestion: meant })
  })
}

function textFields({ fields }: SchemaShape): string[] {
  const texts = fields.filter(({ kind }) => kind === 'text' || kind === 'text[]')
  return texts.map(({ name }) => name)
}

function fusion(
  fuse: unknown,
  sources: readonly string[],
): { k: number; weights: ReadonlyMap<string, number> } {
  const weights = new Map<string, number>()
  if (fuse === undefined || fuse === 'rrf') return { k: rrfDefault, weights }
  if (!isPlainObject(fuse)) {
    throw wrong('fuse is a name or settings', "'rrf' | { rrf?, weights? }", fuse, 'fuse')
  }
  refuseUnknown(fuse, fuseNames, 'fuse')
  const { rrf, weights: given } = fuse
  if (given !== undefined) {
    if (!isPlainObject(given)) {
      throw wrong('weights are numbers by source', '{ [source]: number }', given, 'fuse.weights')
    }
    if (new Set(sources).size < sources.length) {
      const what = 'a vector field is called text, so that weights do not tell it from words'
      throw wrong(what, 'no weights', given, 'fuse.weights')
    }
    for (const [name, weight] of Object.entries(given)) {
      const path = `fuse.weights.${name}`
      oneOf(name, sources, path)
      if (weight !== undefined) weights.set(name, weightOf(weight, path))
    }
  }
  return { k: rrf === undefined ? rrfDefault : constant(rrf), weights }
}

function constant(rrf: unknown): number {
  if (!isPlainObject(rrf)) throw wrong('rrf is settings', '{ k }', rrf, 'fuse.rrf')
  refuseUnknown(rrf, rrfNames, 'fuse.rrf')
  return numberWithin(rrf['k'], 'fuse.rrf.k', 0, 10_000)
}

function marksOf(
  highlight: unknown,
  hasWords: boolean,
  shape: SchemaShape,
): Pick<BindingSources, 'highlight' | 'highlightFields'> {
  if (highlight === undefined || highlight === false) return { highlight: false }
  if (!hasWords) throw wrong('highlight needs text', 'text', highlight, 'highlight')
  if (highlight === true) return { highlight: true }
  if (!isPlainObject(highlight)) {
    throw wrong('highlight is a flag or fields', 'boolean | { fields }', highlight, 'highlight')
  }
  refuseUnknown(highlight, highlightNames, 'highlight')
  const fields = fieldNames(highlight['fields'], shape, 'highlight.fields')
  return { highlight: true, highlightFields: fields }
}
