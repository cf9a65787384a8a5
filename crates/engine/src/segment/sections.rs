//! Which sections a segment file has. FORMAT.md describes their bytes.

use cairn_storage::SectionId;

/// Row count, key type, dims and metrics: enough to read the file without its manifest.
pub(crate) const META: SectionId = section(1, 0);
/// The rows' keys.
pub(crate) const KEYS: SectionId = section(2, 0);
/// The version that wrote each row.
pub(crate) const VERSIONS: SectionId = section(3, 0);
/// Encoded fields of all rows end to end.
pub(crate) const PAYLOAD: SectionId = section(6, 0);
/// Where each row's fields end in [`PAYLOAD`].
pub(crate) const PAYLOAD_ENDS: SectionId = section(7, 0);
/// A bitmap of deleted rows; the only section of a deletion file.
pub(crate) const DELETIONS: SectionId = section(8, 0);

/// Vectors of a field as they were given, row-major `f32`.
pub(crate) fn vectors(field: usize) -> SectionId {
    section(4, number(field))
}

/// The graph over a field. Optional: without it the field is searched exactly.
pub(crate) fn graph(field: usize) -> SectionId {
    section(5, number(field))
}

/// Kinds this version understands; any other required section refuses the file.
pub(crate) const KNOWN: [u32; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

const fn section(kind: u32, field: u32) -> SectionId {
    SectionId { kind, field }
}

fn number(field: usize) -> u32 {
    u32::try_from(field).expect("a schema has at most 1,000 fields")
}
