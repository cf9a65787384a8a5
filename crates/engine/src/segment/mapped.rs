//! Vectors of a segment that stay in its file.
//!
//! With [`Options::memory_map`](crate::Options::memory_map) the section of a field is mapped and not
//! copied. It was read and compared with its checksums before, at opening. From then on it serves
//! comparisons alone: what a caller is given is read through the checksums, as without. So a page that
//! comes back wrong from the disk costs a result its place, and never becomes somebody's data; and one
//! that does not come back at all, because the file was cut, fails the search that met it.

use std::ops::Range;
use std::sync::Arc;

use cairn_env::{Bug, planted};
use cairn_index::Lender;
use cairn_storage::{Mapping, SegmentReader};

use crate::error::Result;

use super::sections;

/// Lengths of vectors for which a product in single precision is as good as that of vectors of length
/// one; with others a field is copied. The square roots of what can be told apart, with room.
const LENGTHS: Range<f64> = 1e-15..1e15;

/// A section of vectors in memory that belongs to its file.
#[derive(Debug)]
pub(super) struct Mapped {
    mapping: Mapping,
    field: usize,
}

impl Mapped {
    /// Maps the vectors of a field, where that is possible. They have been verified.
    ///
    /// # Errors
    /// `ERR_CORRUPT` if there is no such section.
    pub fn new(reader: &SegmentReader, field: usize, jumps: bool) -> Result<Option<Arc<Self>>> {
        let Some(mapping) = reader.map(sections::vectors(field))? else {
            return Ok(None);
        };
        // Sections start at multiples of 64 and mappings at pages; components are aligned with that.
        if !mapping.bytes().as_ptr().addr().is_multiple_of(64) {
            return Ok(None);
        }
        mapping.will_jump(jumps);
        Ok(Some(Arc::new(Self { mapping, field })))
    }

    /// How many there are.
    pub fn length(&self) -> usize {
        self.mapping.bytes().len()
    }

    /// Asked after each use.
    ///
    /// # Errors
    /// `ERR_CORRUPT` if what was seen was not the file's.
    pub fn check(&self, reader: &SegmentReader) -> Result<()> {
        if planted(Bug::IgnoresCutMapping) {
            return Ok(());
        }
        let id = sections::vectors(self.field);
        Ok(reader.check_mapping(id, &self.mapping)?)
    }
}

impl Lender for Mapped {
    fn bytes(&self) -> &[u8] {
        self.mapping.bytes()
    }

    fn passed(&self, bytes: Range<usize>) {
        self.mapping.let_go(bytes);
    }
}

/// One over the length of `vector`, if it is one of [`LENGTHS`].
pub(super) fn scale(vector: &[f32]) -> Option<f32> {
    let squares: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let length = squares.sqrt();
    LENGTHS.contains(&length).then(|| (1.0 / length) as f32)
}

#[cfg(all(test, unix))]
mod tests {
    use cairn_env::Env;
    use cairn_index::Vectors;
    use cairn_storage::{REQUIRED, SegmentWriter};
    use cairn_testkit::TempDir;

    use super::super::sections::KNOWN;
    use super::*;

    #[test]
    fn a_row_is_read_at_the_addresses_of_the_file() {
        let (dir, env) = (TempDir::new("mapped"), Env::os(1));
        let path = dir.path().join("made.seg");
        let rows: Vec<f32> = (0..3_000 * 20).map(|n| n as f32).collect();
        let mut writer = SegmentWriter::create(&env, &path, [1; 16], 1).expect("a new file");
        writer
            .begin(sections::vectors(0), REQUIRED)
            .expect("a section");
        writer.write(bytemuck::cast_slice(&rows)).expect("room");
        writer.end().expect("an end");
        writer.finish().expect("a whole file");
        let reader = SegmentReader::open(&env, &path, None, &KNOWN).expect("what was written");
        let mapped = Mapped::new(&reader, 0, false).expect("its section");
        let mapped = mapped.expect("a file of the system can be mapped");
        let lender = Arc::clone(&mapped);
        let vectors = Vectors::<f32>::lent(20, lender, Vec::new());
        assert_eq!((vectors.len(), vectors.bytes()), (3_000, 0));
        assert_eq!(mapped.length(), 3_000 * 20 * 4);
        let at = mapped.mapping.bytes().as_ptr().addr();
        for row in [0_u32, 1, 77, 2_999] {
            let slice = vectors.row(row);
            assert_eq!(slice.as_ptr().addr(), at + row as usize * 80, "no copy");
            assert_eq!(slice, &rows[row as usize * 20..][..20]);
        }
        mapped.passed(0..mapped.length());
        assert_eq!(vectors.as_slice(), rows);
        mapped.check(&reader).expect("a whole file");
    }

    #[test]
    fn lengths_that_a_product_in_single_precision_cannot_bear_have_no_scale() {
        assert_eq!(scale(&[3.0, 4.0]), Some(0.2));
        assert_eq!(scale(&[0.0; 4]), None);
        assert_eq!(scale(&[1e-30, 0.0]), None);
        assert_eq!(scale(&[3e38, 3e38]), None);
        assert_eq!(scale(&[f32::NAN]), None);
    }
}
