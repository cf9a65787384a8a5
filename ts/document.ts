// Where a chunk of a document comes from, as ordinary fields of its record.
import { isPlainObject, wrong } from './check.js'

/** Where a chunk of a document comes from. */
export interface DocumentMetadata {
  /** The file that it was cut from. */
  readonly sourceFile: string
  /** Its place in that file, from 0; -1 where there is none. */
  readonly chunkIndex: number
  /** More about it by name. */
  readonly customFields: Readonly<Record<string, string>>
}

/** The same as it is given: a place of -1 and no custom fields by default. */
export interface DocumentMetadataInput {
  readonly sourceFile: string
  readonly chunkIndex?: number | undefined
  readonly customFields?: Readonly<Record<string, string>> | undefined
}

/** The same as fields of a record. */
export interface DocumentFields {
  readonly source_file: string
  readonly chunk_index: number
  readonly [custom: string]: string | number
}

/**
 * The fields of a chunk's record: `source_file`, `chunk_index`, and each custom field under its own name.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` if a custom field has the name of one of these two, or is no text:
 * other values are fields of the record beside these, `{ ...documentFields(chunk), year: 2024 }`.
 */
export function documentFields({
  sourceFile,
  chunkIndex = -1,
  customFields = {},
}: DocumentMetadataInput): DocumentFields {
  if (typeof sourceFile !== 'string') {
    throw wrong('a chunk of a document names its file', 'string', sourceFile, 'sourceFile')
  }
  if (!Number.isSafeInteger(chunkIndex) || chunkIndex < -1) {
    throw wrong(
      'a chunk of a document has a place in it',
      'integer from -1',
      chunkIndex,
      'chunkIndex',
    )
  }
  if (!isPlainObject(customFields)) {
    throw wrong('custom fields are given by name', 'object', customFields, 'customFields')
  }
  const own = { source_file: sourceFile, chunk_index: chunkIndex }
  for (const name of Object.keys(own)) {
    if (!Object.hasOwn(customFields, name)) continue
    throw wrong('a custom field has a name that is taken', 'another name', name, 'customFields')
  }
  // What is no text would be stored, and then be left out by `documentOf`.
  for (const [name, value] of Object.entries(customFields)) {
    if (typeof value === 'string' || value === undefined) continue
    throw wrong('a custom field is a text', 'string', value, `customFields.${name}`)
  }
  return { ...own, ...customFields }
}

/**
 * What {@link documentFields} was given, from a record's fields. A field that is not text is no custom field
 * and left out.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT` if the record is no chunk: it has no `source_file`.
 */
export function documentOf(fields: { readonly [name: string]: unknown }): DocumentMetadata {
  if (!isPlainObject(fields)) throw wrong('a record has fields', 'object', fields, 'fields')
  const { source_file: sourceFile, chunk_index: chunkIndex = -1, ...rest } = fields
  if (typeof sourceFile !== 'string') {
    throw wrong('a chunk of a document names its file', 'string', sourceFile, 'source_file')
  }
  if (typeof chunkIndex !== 'number') {
    throw wrong('a chunk of a document has a place in it', 'number', chunkIndex, 'chunk_index')
  }
  const texts = Object.entries(rest).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return { sourceFile, chunkIndex, customFields: Object.fromEntries(texts) }
}
