// What a user of `cairndb/io` gives and gets.
import type { Filter } from '../filter.js'
import type { Collection } from '../collection.js'
import type { Database } from '../database.js'
import type { CairnError } from '../errors.js'
import type { AnyVector, MultiInput, SparseInput } from '../infer.js'
import type { Schema } from '../schema.js'
import type { IngestOptions } from '../types.js'

/** A form in which records leave and come. */
export type Format =
  /** A line of JSON a record, with every type kept. */
  | 'jsonl'
  /** Arrow IPC, the file format. Needs the package `apache-arrow`. */
  | 'arrow'
  /** Arrow IPC, the streaming format. Needs the package `apache-arrow`. */
  | 'arrow-stream'
  /** Parquet. Needs the packages `hyparquet` and, to write, `hyparquet-writer`. */
  | 'parquet'
  /** One vector field as a matrix of NumPy. */
  | 'npy'
  /** One vector field, each vector behind its length: 32-bit floats, bytes, or 32-bit integers. */
  | 'fvecs'
  | 'bvecs'
  | 'ivecs'

/** A vector of a record on its way. */
export type TransferVector = AnyVector | MultiInput | SparseInput | readonly number[]

/** A record on its way. */
export interface TransferRecord {
  readonly key: string | bigint
  /** Vectors by the name of their field. */
  readonly vectors: { readonly [field: string]: TransferVector }
  readonly fields: { readonly [name: string]: unknown }
}

/** Changes a record on its way; `null` leaves it out. */
export type Transform = (record: TransferRecord) => TransferRecord | null

/** Where bytes go, as `node:stream` has it. */
export interface ByteTarget {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean
  end(done: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'close', listener: () => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'close', listener: () => void): unknown
}

/** Where bytes come from: a Readable, or any other stream of blocks of bytes. */
export type ByteSource = AsyncIterable<Uint8Array | string> | Iterable<Uint8Array>

/** How far an export or import has come. */
export interface TransferProgress {
  /** Records written to the target, or rows of the source that are done with. */
  readonly rows: number
  /** Bytes written or read; compressed ones where they are compressed. */
  readonly bytes: number
}

/** Wishes of `exportTo`. */
export interface ExportOptions {
  /** Default: by the name of the target, such as `docs.jsonl.gz`. */
  readonly format?: Format | undefined
  /** Names of fields, or `false` for none. Default all. */
  readonly select?: readonly string[] | false | undefined
  /** `false` for none, or the name of the one vector field to write. Default all. */
  readonly vectors?: boolean | string | undefined
  /** Leave out records that it does not hold for. */
  readonly filter?: Filter | undefined
  /** Continue behind the `cursor` of an earlier export, in a file of its own. */
  readonly after?: string | undefined
  /** Most records to read. Integer of at least 1. Default all. */
  readonly limit?: number | undefined
  /** Changes or leaves out records; see `mask` and `hash`. */
  readonly transform?: Transform | undefined
  /** Records of one Arrow batch or Parquet row group. Integer 1-100 000, default 4 096, fewer where vectors are long. */
  readonly chunkRows?: number | undefined
  /** Called after every 1 000 records, and at the end. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
  /** Ends the export with `ERR_ABORTED`; a target that is a path is then as it was before. */
  readonly signal?: AbortSignal | undefined
}

/** What an export wrote. */
export interface ExportResult {
  readonly rows: number
  readonly bytes: number
  /** Newest version among the records read; 0 when there were none. */
  readonly version: bigint
  /** Continues behind the last record as `after`; null when there are no more. */
  readonly cursor: string | null
}

/** A collection that an import opens, or creates. */
export interface ImportInto {
  readonly db: Database
  readonly name: string
  /** Its structure. Default: what the source says, where the collection is not there yet. */
  readonly schema?: Schema | undefined
}

/** Where records go: a collection, or one by name. */
export type ImportTarget<S extends Schema = Schema> = Collection<S> | ImportInto

/** Wishes of `importFrom`. */
export interface ImportOptions {
  /** Default: by the name of the source. Compression with gzip is seen by itself. */
  readonly format?: Format | undefined
  /** Default `'upsert'`. `'add'` fails for a key that exists. */
  readonly mode?: 'upsert' | 'add' | undefined
  /** The column with the key (default `key`), or what makes a key of a row. */
  readonly key?:
    string | ((row: { readonly [name: string]: unknown }) => string | bigint) | undefined
  /** The column of the one vector field, or columns by vector field. Default: columns with the names of the fields. */
  readonly vector?: string | { readonly [field: string]: string } | undefined
  /**
   * `true`: keep what is done in `<source>.cairn-resume`, begin there when it exists, and remove it at the end.
   * A token: begin where the import that gave it ended. Both need `mode: 'upsert'`.
   */
  readonly resume?: true | string | undefined
  /** Rows of one atomic batch. Integer 1-100 000, default 1 000, fewer where vectors are long. */
  readonly chunkRows?: number | undefined
  /** Instead of the database's setting. An import with `resume: true` is always `'sync'`. */
  readonly durability?: IngestOptions['durability']
  /** Changes or leaves out records before they are written; see `mask` and `hash`. */
  readonly transform?: Transform | undefined
  /** A row that is wrong ends the import (`'stop'`, default) or is left out (`'skip'`). Damage always ends it. */
  readonly onError?: 'stop' | 'skip' | undefined
  /** Told of each row that was left out because it is wrong. */
  readonly onSkip?: ((error: CairnError) => void) | undefined
  /** Called after each acknowledged batch. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined
  /** Ends the import with `ERR_ABORTED`; batches acknowledged until then stay. */
  readonly signal?: AbortSignal | undefined
}

/** What an import did. */
export interface ImportResult {
  /** Records written, without what an earlier part of a resumed import wrote. */
  readonly rows: number
  /** Rows left out: wrong ones under `onError: 'skip'`, and those for which `transform` gave null. */
  readonly skipped: number
  /** Continues here as `resume`, when the source has grown. Errors have it in `details.resumeToken`. */
  readonly resumeToken: string
}
