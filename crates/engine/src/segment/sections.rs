//! Which sections a segment file has. FORMAT.md describes their bytes.

use std::ops::Range;

use cairn_storage::SectionId;

use crate::keys::KeyType;
use crate::schema::Schema;

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
    section(GRAPH_KIND, number(field))
}

/// Kind of a section that costs no record: a graph is built again.
pub(crate) const GRAPH_KIND: u32 = 5;

/// What FORMAT.md calls a section.
pub(crate) fn section_name(id: SectionId) -> String {
    const NAMES: [&str; 9] = [
        "META",
        "KEYS",
        "VERSIONS",
        "VECTORS",
        "GRAPH",
        "PAYLOAD",
        "PAYLOAD_ENDS",
        "DELETIONS",
        "OUTCOMES",
    ];
    let name = (id.kind as usize)
        .checked_sub(1)
        .and_then(|kind| NAMES.get(kind));
    match name {
        None => id.to_string(),
        Some(name) if id.field == 0 => (*name).to_owned(),
        Some(name) => format!("{name} {}", id.field),
    }
}

/// Rows of which a stretch of a section's body holds anything; `None` where only other sections
/// could tell.
pub(crate) fn rows_in(
    schema: &Schema,
    id: SectionId,
    rows: u64,
    bytes: Range<u64>,
) -> Option<Range<u64>> {
    let row_bytes = match (id, id.kind) {
        (META, _) => return Some(0..rows),
        (_, GRAPH_KIND) => return Some(0..0),
        (KEYS, _) if schema.key == KeyType::U64 => 8,
        (VERSIONS, _) => 8,
        (_, 4) => u64::from(schema.vectors.get(id.field as usize)?.dim) * 4,
        _ => return None,
    };
    let end = bytes.end.div_ceil(row_bytes).min(rows);
    Some((bytes.start / row_bytes).min(end)..end)
}

/// Kinds this version understands; any other required section refuses the file.
pub(crate) const KNOWN: [u32; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

const fn section(kind: u32, field: u32) -> SectionId {
    SectionId { kind, field }
}

fn number(field: usize) -> u32 {
    u32::try_from(field).expect("a schema has at most 1,000 fields")
}
