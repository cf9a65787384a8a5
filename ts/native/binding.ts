// The addon as this package needs it; crates/napi provides it, tests may stand in for it.
import type { NamedKey } from '../encryption.js'
import type { ErrorCode } from '../errors.js'
import type { FieldShape, SchemaShape } from '../schema.js'

/** Why a call has no value. */
export interface BindingError {
  readonly code: ErrorCode
  readonly message: string
  readonly retryable: boolean
  readonly details: readonly { readonly name: string; readonly value: number | string }[]
}

/** What every call answers. */
export type Answer<T> = T | BindingError

/** Keys: UTF-8 end to end with where each ends, or numbers with no ends. */
export type BindingKeys = Uint8Array | BigUint64Array

/** Fields wanted: 0 none, 1 all, 2 those named. */
export type FieldsWanted = 0 | 1 | 2

/** Lets a caller end a running call, and watch it. */
export interface BindingTicket {
  cancel(): void
  /** Steps done and steps in all. */
  progress(): number[]
}

/** A walk over one pinned version. */
export interface BindingScan {
  next(
    rows: number,
    fields: FieldsWanted,
    names: string[] | null,
    vectors: boolean,
    deadlineMs: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<Uint8Array>>
  close(): void
}

/** How a search goes beyond the records nearest to a vector. */
export interface BindingShape {
  readonly like?: string | bigint | undefined
  /** Near to nothing: records by key. */
  readonly isList: boolean
  readonly groupField?: string | undefined
  readonly groupSize: number
  readonly diversity?: number | undefined
}

/** The order of a scan, and what the last record of an earlier one had in it. */
export interface BindingOrder {
  readonly field: string
  readonly descending: boolean
  /** MessagePack; nothing where it was missing. */
  readonly afterValue?: Uint8Array | undefined
}

/** Values, MessagePack end to end, and how many records have each. */
export interface BindingFacet {
  readonly values: Uint8Array
  readonly ends: Uint32Array
  readonly counts: Float64Array
}

/** A number or a date: decimal digits, a number, or milliseconds since 1970 UTC. */
export interface BindingNumber {
  readonly int?: string | null | undefined
  readonly float?: number | null | undefined
  readonly date?: number | null | undefined
}

/** One question about a field. */
export interface BindingQuestion {
  readonly field: string
  readonly op: string
  readonly buckets?: number | undefined
  readonly bounds?: readonly BindingNumber[] | undefined
}

/** One answer; nothing where there are no values. */
export interface BindingFigure {
  readonly value?: BindingNumber | null
  readonly count?: number | null
  readonly bounds?: readonly BindingNumber[] | null
  readonly counts?: readonly number[] | null
}

/** A write that failed. */
export interface BindingFailedWrite {
  readonly id: number
  readonly error: BindingError
}

/** Takes answers: of writes that succeeded four counts each, and those that failed. */
export type OnWrites = (
  ids: Uint32Array,
  versions: BigUint64Array,
  counts: Float64Array,
  failed: readonly BindingFailedWrite[],
) => void

/** What a write to the records of a filter did. */
export interface BindingWriteResult {
  readonly version: bigint
  readonly updated: number
  readonly deleted: number
  readonly skipped: number
}

/** What a search did. */
export interface BindingPlan {
  readonly version: bigint
  readonly hits: Uint8Array
  readonly stages: readonly BindingStage[]
  /** Microseconds. */
  readonly micros: { readonly filter: number; readonly search: number; readonly read: number }
}

/** Words, several vectors, or both; the vectors stand end to end in another argument. */
export interface BindingSources {
  /** Positions of vector fields, rising. */
  readonly fields: readonly number[]
  readonly weights: readonly number[]
  readonly words?: string | undefined
  readonly wordFields?: readonly string[] | undefined
  readonly wordWeight: number
  readonly rrfK: number
  readonly highlight: boolean
  readonly highlightFields?: readonly string[] | undefined
}

/** What is to change in a collection. */
export interface BindingAlteration {
  readonly addFields: readonly FieldShape[]
  readonly renameFields: readonly BindingFieldName[]
  readonly createIndexes: readonly string[]
  readonly dropIndexes: readonly string[]
}

/** The name of a field, and the one it gets. */
export interface BindingFieldName {
  readonly from: string
  readonly to: string
}

/** What a search did in one place. */
export interface BindingStage {
  readonly source: string
  readonly asked: string
  readonly path: string
  readonly rows: number
  readonly estimate: number
  readonly matches: number
  readonly ef: number
  readonly hops: number
  readonly distances: number
  readonly filterMicros: number
  readonly filterKeys: number
  readonly filterRecords: number
  readonly indexPending: readonly string[]
  readonly micros: number
}

/** Figures of a collection. */
export interface BindingCollectionStats {
  readonly count: number
  readonly version: bigint
  readonly memtableRows: number
  readonly memtableBytes: number
  readonly memtableBytesMax: number
  readonly frozenMemtables: number
  readonly walBytes: number
  readonly walFiles: number
  readonly walSyncedVersion: bigint
  readonly walSyncs: number
  readonly segments: readonly BindingSegmentStats[]
  readonly liveBytes: number
  readonly deadBytes: number
  readonly keyIndexBytes: number
  readonly vectorBytes: number
  readonly mappedBytes: number
  readonly graphBytes: number
  readonly codeBytes: number
  readonly textBytes: number
  readonly fieldIndexBytes: readonly { readonly field: string; readonly bytes: number }[]
  readonly lastBackgroundError?: string | null
  readonly lastBackgroundErrorAt?: number | null
  readonly poisoned: boolean
}

/** Figures of a segment. */
export interface BindingSegmentStats {
  readonly id: string
  readonly rows: number
  readonly live: number
  readonly bytesDisk: number
  readonly bytesMemory: number
  readonly index: string
  readonly calibration: readonly { readonly ef: number; readonly recall: number }[]
  readonly level: number
  readonly health: string
  readonly versionMin: bigint
  readonly versionMax: bigint
}

/** Figures of the cache of stored fields. */
export interface BindingBlockCacheStats {
  readonly hits: number
  readonly misses: number
  readonly bytes: number
  readonly bytesMax: number
}

/** Figures of a database. */
export interface BindingDatabaseStats {
  readonly version: bigint
  readonly lastVersionError?: string | null
  readonly pid: number
  readonly host: string
  readonly since: number
  readonly recordedVersions: number
  readonly storedBytes: number
  readonly freeBytes?: number | null
  readonly headroomBytes: number
  readonly blockCache: BindingBlockCacheStats
  readonly longestSyncMs: number
  readonly collections: readonly { readonly name: string; readonly stats: BindingCollectionStats }[]
}

/** A collection. All arguments are copied before a call returns. */
export interface BindingCollection {
  readonly name: string
  /** Another for every collection of a database. */
  readonly id: number
  readonly schema: SchemaShape
  /** How often the schema has changed. */
  readonly changes: number
  alter(change: BindingAlteration, ticket: BindingTicket | null): Promise<Answer<undefined>>
  /** The answer comes under `id`, to what was given to `open`. True: `start` must follow. */
  write(
    id: number,
    kind: string,
    keys: BindingKeys,
    keyEnds: Uint32Array,
    vectors: readonly (Float32Array | null)[],
    present: readonly (Uint8Array | null)[],
    payload: Uint8Array | null,
    payloadEnds: Uint32Array | null,
    ifVersion: bigint | null,
    ifFilter: string | null,
    idempotencyKey: string | null,
    durability: string | null,
    changes: number,
    ticket: BindingTicket | null,
  ): boolean
  start(): void
  /** Updates records with fields, and removes them without. */
  writeMatching(
    filter: string,
    fields: Uint8Array | null,
    replaceFields: boolean,
    asOf: bigint | null,
    ifVersion: bigint | null,
    ifFilter: string | null,
    idempotencyKey: string | null,
    durability: string | null,
    changes: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingWriteResult>>
  get(
    keys: BindingKeys,
    keyEnds: Uint32Array,
    fields: FieldsWanted,
    names: string[] | null,
    vectors: boolean,
    deadlineMs: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<Uint8Array>>
  has(keys: BindingKeys, keyEnds: Uint32Array): Promise<Answer<Uint8Array>>
  count(): Answer<number>
  countMatching(
    filter: string,
    deadlineMs: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<number>>
  search(
    vector: Float32Array,
    numbers: Float64Array,
    names: string[] | null,
    filter: string | null,
    shape: BindingShape | null,
    sources: BindingSources | null,
    ticket: BindingTicket | null,
  ): Promise<Answer<Uint8Array>>
  /** Length of the block, which is in `out` unless `out` is shorter. */
  searchSync(
    vector: Float32Array,
    numbers: Float64Array,
    names: string[] | null,
    filter: string | null,
    shape: BindingShape | null,
    sources: BindingSources | null,
    out: Buffer,
  ): Answer<number>
  searchBatch(
    vectors: Float32Array,
    numbers: Float64Array,
    filter: string | null,
    ticket: BindingTicket | null,
  ): Promise<Answer<Uint8Array>>
  explain(
    vector: Float32Array,
    numbers: Float64Array,
    names: string[] | null,
    filter: string | null,
    shape: BindingShape | null,
    sources: BindingSources | null,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingPlan>>
  facet(
    field: string,
    k: number,
    filter: string | null,
    deadlineMs: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingFacet>>
  aggregate(
    questions: readonly BindingQuestion[],
    filter: string | null,
    deadlineMs: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingFigure[]>>
  recall(
    measurement: BindingMeasurement,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingQuality>>
  tune(
    measurement: BindingMeasurement,
    apply: boolean,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingTuned>>
  scan(
    after: string | bigint | null,
    filter: string | null,
    order: BindingOrder | null,
    deadlineMs: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingScan>>
  commit(): Promise<Answer<bigint>>
  tidy(): Promise<Answer<undefined>>
  compact(ticket: BindingTicket | null): Promise<Answer<undefined>>
  stats(): Promise<Answer<BindingCollectionStats>>
}

/** What is asked for when recall is measured: `sample` records, or the queries. */
export interface BindingMeasurement {
  readonly field: number
  readonly k: number
  readonly recall: number
  readonly efSearch?: number
  readonly sample: number
  readonly queries?: Float32Array
  /** JSON. */
  readonly filter?: string
}

/** What was measured. */
export interface BindingQuality {
  readonly recall: number
  readonly low: number
  readonly high: number
  readonly queries: number
  readonly searchMicros: number
  readonly exactMicros: number
}

/** Factors of the candidate lists, and what was measured with them. */
export interface BindingTuned {
  readonly factorBefore: number
  readonly before: BindingQuality
  readonly factor: number
  readonly after: BindingQuality
  readonly applied: boolean
}

/** Something that a check found. */
export interface BindingProblem {
  readonly kind: 'damaged' | 'unsupported' | 'missing' | 'foreign' | 'torn' | 'leftover'
  readonly file: string
  readonly section?: string | null
  readonly offset: number
  readonly bytes: number
  readonly what: string
  readonly records?: number | null
}

/** What a check came to. */
export interface BindingReport {
  readonly files: number
  readonly bytes: number
  readonly problems: readonly BindingProblem[]
  readonly notes: readonly BindingProblem[]
  /** `none`, `decrypted` or `checksums`. */
  readonly encryption: string
}

/** What a doctor found. */
export interface BindingFinding {
  readonly code: string
  readonly severity: 'info' | 'warning' | 'error'
  readonly what: string
  readonly where: string
  readonly remedy: string
}

/** What a repair came to. */
export interface BindingRepairReport {
  readonly collections: readonly {
    readonly name: string
    readonly records: number
    readonly lost: number
    readonly doubtful: number
  }[]
  readonly problems: readonly BindingProblem[]
  readonly lost: readonly {
    readonly file: string
    readonly firstRow: number
    readonly rows: number
    readonly keys: readonly string[]
    readonly doubtful: boolean
  }[]
  readonly versions: readonly {
    readonly version: bigint
    readonly name?: string | null
    readonly isReadable: boolean
  }[]
}

/** Settings of an open database. */
export interface BindingOptions {
  readonly readOnly: boolean
  readonly durability: string
  readonly memoryBudget: number
  readonly memtableBytes: number
  readonly blockCacheBytes: number
  readonly memoryMap: boolean
  /** `lz4` or `none`. */
  readonly compression: string
  readonly walDir?: string | undefined
  readonly walBytesMax: number
  /** `size-tiered`, `leveled` or `none`. */
  readonly compaction: string
  /** Bytes a second; 0 for no limit. */
  readonly compactionRateMax: number
  readonly idempotencyWindowMs: number
  readonly threads: number
  readonly retainVersions: number
  readonly retainMs: number
  readonly host: string
  readonly pid: number
  readonly encryption?: NamedKey | undefined
}

/** A database. */
export interface BindingDatabase {
  createCollection(name: string, schema: SchemaShape): Promise<Answer<BindingCollection>>
  openCollection(name: string): Promise<Answer<BindingCollection>>
  collection(name: string, schema: SchemaShape | null): Promise<Answer<BindingCollection>>
  dropCollection(name: string): Promise<Answer<undefined>>
  renameCollection(from: string, to: string): Promise<Answer<undefined>>
  listCollections(): Promise<Answer<BindingCollectionInfo[]>>
  commit(): Promise<Answer<bigint>>
  compact(ticket: BindingTicket | null): Promise<Answer<undefined>>
  verify(ticket: BindingTicket | null): Promise<Answer<BindingReport>>
  doctor(walBytesMax: number, ticket: BindingTicket | null): Promise<Answer<BindingFinding[]>>
  stats(): Promise<Answer<BindingDatabaseStats>>
  /** Milliseconds; of those that have ended since the last call or still run. */
  takeLongestSync(): number
  /** What nobody awaits runs with low priority. */
  refresh(isAwaited: boolean): Promise<Answer<bigint>>
  rotateKey(key: NamedKey): Promise<Answer<undefined>>
  snapshot(name: string | null): Promise<Answer<BindingVersion>>
  listVersions(): Promise<Answer<BindingVersion[]>>
  /** By number, name, or time in milliseconds since 1970 UTC. */
  at(version: bigint | string | number, onWrites: OnWrites): Promise<Answer<BindingDatabase>>
  dropVersion(version: bigint | string | number): Promise<Answer<undefined>>
  recordWhenDue(): Promise<Answer<boolean>>
  backup(
    target: string,
    name: string | null,
    version: bigint | string | number | null,
    verify: boolean,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingBackup>>
  archive(version: bigint | string | number | null): Promise<Answer<BindingArchive>>
  close(): Promise<Answer<undefined>>
}

/** A recorded version. */
export interface BindingVersion {
  readonly version: bigint
  readonly name?: string | null
  /** Milliseconds since 1970 UTC. */
  readonly created: number
  readonly error?: BindingError | null
}

/** One backup. */
export interface BindingBackup {
  readonly id: number
  readonly name?: string | null
  readonly version: bigint
  /** Milliseconds since 1970 UTC. */
  readonly created: number
  readonly files: number
  readonly bytesTotal: number
  readonly filesCopied: number
  readonly bytesCopied: number
  readonly error?: BindingError | null
}

/** What was restored or archived. */
export interface BindingRestored {
  readonly version: bigint
  readonly files: number
  readonly bytes: number
}

/** What was verified. */
export interface BindingVerified {
  readonly backups: number
  readonly files: number
  readonly bytes: number
}

/** What is restored. */
export interface BindingWanted {
  readonly id?: number | undefined
  readonly version?: bigint | string | number | undefined
  readonly keys: readonly NamedKey[]
}

/** Who works in a directory of backups. */
export interface BindingWorker {
  readonly threads: number
  readonly host: string
  readonly pid: number
}

/** An archive that is being written. */
export interface BindingArchive {
  info(): BindingRestored | null
  /** Nothing at the end. */
  next(bytesMax: number): Promise<Answer<Uint8Array>>
  close(): Promise<Answer<undefined>>
}

/** An archive that is being read. */
export interface BindingUnarchive {
  write(bytes: Uint8Array): Promise<Answer<undefined>>
  /** Id of the key that it needs, once all of it was taken; null when it is not encrypted. */
  keyId(): Promise<Answer<string | null>>
  finish(key: NamedKey | null): Promise<Answer<BindingRestored>>
  close(): Promise<Answer<undefined>>
}

/** A collection in a listing. */
export interface BindingCollectionInfo {
  readonly name: string
  readonly schema: SchemaShape
  readonly count: number
  readonly error?: BindingError | null
}

/** The addon. */
export interface Binding {
  readonly BindingDatabase: {
    open(
      path: string | null,
      options: BindingOptions,
      onWrites: OnWrites,
    ): Promise<Answer<BindingDatabase>>
    /** Id of the key that the database at `path` was encrypted with; null when it was not. */
    keyId(path: string, threads: number): Promise<Answer<string | null>>
  }
  readonly BindingTicket: new () => BindingTicket
  readonly BindingUnarchive: {
    open(target: string, worker: BindingWorker): Promise<Answer<BindingUnarchive>>
  }
  readonly BindingBackups: {
    list(target: string, worker: BindingWorker): Promise<Answer<BindingBackup[]>>
    verify(
      target: string,
      id: number | null,
      worker: BindingWorker,
      ticket: BindingTicket | null,
    ): Promise<Answer<BindingVerified>>
    prune(target: string, keep: number, worker: BindingWorker): Promise<Answer<number[]>>
    restore(
      source: string,
      target: string,
      wanted: BindingWanted,
      worker: BindingWorker,
      ticket: BindingTicket | null,
    ): Promise<Answer<BindingRestored>>
    /** Ids of the keys that a directory of backups needs, or a database; none where nothing is encrypted. */
    keyIds(source: string, worker: BindingWorker): Promise<Answer<string[]>>
  }
  /** Checks a directory that nobody has open. */
  verify(
    path: string,
    key: NamedKey | null,
    threads: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingReport>>
  /** Looks at a directory, which need not open. */
  doctor(
    path: string,
    key: NamedKey | null,
    walBytesMax: number,
    threads: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingFinding[]>>
  /** Saves what is left of `source` into a new database. */
  repair(
    source: string,
    target: string,
    options: {
      readonly keepDoubtful: boolean
      readonly key?: NamedKey | undefined
      readonly newKey?: NamedKey | undefined
    },
    threads: number,
    ticket: BindingTicket | null,
  ): Promise<Answer<BindingRepairReport>>
  simdLevel(): string
}
