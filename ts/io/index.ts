// cairndb/io: records out of a collection into files of other programs, and back.
export { exportTo } from './export.js'
export { importFrom } from './import.js'
export { hash, mask } from './transform.js'
export type {
  ByteSource,
  ByteTarget,
  ExportOptions,
  ExportResult,
  Format,
  ImportInto,
  ImportOptions,
  ImportResult,
  ImportTarget,
  TransferProgress,
  TransferRecord,
  Transform,
} from './types.js'
