//! Which sections a segment file has. FORMAT.md describes their bytes.

use std::ops::Range;

use cairn_index::ivf::Region;
use cairn_storage::SectionId;

use crate::keys::KeyType;
use crate::schema::Schema;

/// Row count, key type, dims and metrics: enough to read the file without its manifest.
pub(crate) const META: SectionId = section(1, 0);
/// The rows' keys.
pub(crate) const KEYS: SectionId = section(2, 0);
/// The version that wrote each row.
pub(crate) const VERSIONS: SectionId = section(3, 0);
/// Encoded fields of all rows end to end: as they were written before there were blocks.
pub(crate) const PAYLOAD: SectionId = section(6, 0);
/// Where each row's fields end in [`PAYLOAD`].
pub(crate) const PAYLOAD_ENDS: SectionId = section(7, 0);
/// Encoded fields of all rows, in blocks that may be compressed.
pub(crate) const BLOCKS: SectionId = section(11, 0);
/// Where each block is in [`BLOCKS`], and where each row ends in its block.
pub(crate) const BLOCK_TABLE: SectionId = section(12, 0);
/// A bitmap of deleted rows; the only section of a deletion file.
pub(crate) const DELETIONS: SectionId = section(8, 0);

/// The name and the index of one of the fields that have indexes. Optional: without it records are read.
pub(crate) fn field_index(number: u32) -> SectionId {
    section(FIELD_INDEX_KIND, number)
}

/// Kinds of sections that cost no record: the next merge builds them again.
const FIELD_INDEX_KIND: u32 = 10;
const TEXT_INDEX_KIND: u32 = 13;

/// The index of the words of all text fields. Optional: without it one is made of the records.
pub(crate) const TEXT_INDEX: SectionId = section(TEXT_INDEX_KIND, 0);

/// Vectors of a field as it stores them, row-major.
pub(crate) fn vectors(field: usize) -> SectionId {
    section(4, number(field))
}

/// The graph over a field. Optional: without it the field is searched exactly.
pub(crate) fn graph(field: usize) -> SectionId {
    section(GRAPH_KIND, number(field))
}

/// Kind of a section that costs no record: a graph is built again.
pub(crate) const GRAPH_KIND: u32 = 5;

/// The recall that searches of the graph over a field reach, by the length of their list. Optional:
/// without it a table serves that was made elsewhere.
pub(crate) fn calibration(field: usize) -> SectionId {
    section(CALIBRATION_KIND, number(field))
}

const CALIBRATION_KIND: u32 = 14;

/// Where each vector of a field ends in [`vectors`], where they differ in length.
pub(crate) fn vector_ends(field: usize) -> SectionId {
    section(VECTOR_ENDS_KIND, number(field))
}

const VECTOR_ENDS_KIND: u32 = 15;

/// The inverted index of a sparse field.
pub(crate) fn sparse_index(field: usize) -> SectionId {
    section(SPARSE_INDEX_KIND, number(field))
}

const SPARSE_INDEX_KIND: u32 = 16;

/// The quantised graph over a field. Optional: without it the field is searched exactly.
pub(crate) fn quantised_graph(field: usize) -> SectionId {
    section(QUANTISED_GRAPH_KIND, number(field))
}

const QUANTISED_GRAPH_KIND: u32 = 17;

/// Codes of the vectors of a field. Optional: without them vectors are compared.
pub(crate) fn codes(field: usize) -> SectionId {
    section(CODES_KIND, number(field))
}

const CODES_KIND: u32 = 18;

/// The head of the clustered postings of a field. Optional: without it the field is searched exactly.
pub(crate) fn clusters(field: usize) -> SectionId {
    section(CLUSTERS_KIND, number(field))
}

const CLUSTERS_KIND: u32 = 19;

/// A region of those postings. Optional, but not without the other.
pub(crate) fn postings(field: usize, region: Region) -> SectionId {
    let kind = match region {
        Region::Coarse => COARSE_POSTINGS_KIND,
        Region::Fine => FINE_POSTINGS_KIND,
    };
    section(kind, number(field))
}

const COARSE_POSTINGS_KIND: u32 = 20;
const FINE_POSTINGS_KIND: u32 = 21;

/// What FORMAT.md calls a section.
pub(crate) fn section_name(id: SectionId) -> String {
    const NAMES: [&str; 21] = [
        "META",
        "KEYS",
        "VERSIONS",
        "VECTORS",
        "GRAPH",
        "PAYLOAD",
        "PAYLOAD_ENDS",
        "DELETIONS",
        "OUTCOMES",
        "FIELD_INDEX",
        "BLOCKS",
        "BLOCK_TABLE",
        "TEXT_INDEX",
        "CALIBRATION",
        "VECTOR_ENDS",
        "SPARSE_INDEX",
        "QUANTISED_GRAPH",
        "CODES",
        "CLUSTERS",
        "COARSE_POSTINGS",
        "FINE_POSTINGS",
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
        (
            _,
            GRAPH_KIND | FIELD_INDEX_KIND | TEXT_INDEX_KIND | CALIBRATION_KIND | SPARSE_INDEX_KIND
            | QUANTISED_GRAPH_KIND | CODES_KIND | CLUSTERS_KIND | COARSE_POSTINGS_KIND
            | FINE_POSTINGS_KIND,
        ) => {
            return Some(0..0);
        }
        (KEYS, _) if schema.key == KeyType::U64 => 8,
        (VERSIONS, _) | (_, VECTOR_ENDS_KIND) => 8,
        (_, 4) => {
            let field = schema.vectors.get(id.field as usize)?;
            (!field.kind.varies()).then(|| field.row_bytes() as u64)?
        }
        _ => return None,
    };
    let end = bytes.end.div_ceil(row_bytes).min(rows);
    Some((bytes.start / row_bytes).min(end)..end)
}

/// Kinds this version understands; any other required section refuses the file.
pub(crate) const KNOWN: [u32; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
];

const fn section(kind: u32, field: u32) -> SectionId {
    SectionId { kind, field }
}

fn number(field: usize) -> u32 {
    u32::try_from(field).expect("a schema has at most 1,000 fields")
}
