#![no_main]

use cairn_index::flat::TopK;
use cairn_index::{Coded, CodedSpace, Query, Vectors};
use cairn_quantize::opq::Opq;
use cairn_quantize::pq::Pq;
use cairn_quantize::rabitq::Rabitq;
use cairn_quantize::scalar::Scalar;

/// Rows of more components take all the time there is.
const DIM_MAX: usize = 64;

// What is read as a codebook encodes a row, compares a query with it, and is written as it was read. With the number of
// rows before them, codes of rows are scanned.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let row = |dim: usize| -> Vec<f32> { (0..dim).map(|at| at as f32 - 1.5).collect() };
    if let Ok(read) = Rabitq::from_bytes(bytes) {
        let row = row(read.dim());
        let code = read.encode(&row);
        let query = read.query(&row);
        assert!(!query.fine(&code.planes, code.fine).lower().is_nan());
        let signs = &code.planes[..read.plane_words()];
        assert!(!query.coarse(signs, code.coarse).lower().is_nan());
        assert_eq!(read.decode(&code).len(), read.dim());
        assert_eq!(read.to_bytes(), bytes);
    }
    if let Ok(read) = Scalar::from_bytes(bytes) {
        let row = row(read.dim());
        let code = read.encode(&row);
        let estimate = read.query(&row).estimate(&code.bytes, code.factors);
        assert!(!estimate.lower().is_nan());
        assert_eq!(read.decode(&code.bytes, code.factors).len(), read.dim());
        assert_eq!(read.to_bytes(), bytes);
    }
    if let Ok(read) = Pq::from_bytes(bytes) {
        let row = row(read.dim());
        let code = read.encode(&row);
        let estimate = read.query(&row).estimate(&code.bytes, code.error);
        assert!(!estimate.lower().is_nan());
        assert_eq!(read.decode(&code.bytes).len(), read.dim());
        assert_eq!(read.to_bytes(), bytes);
    }
    let coded = bytes.split_first().map(|(&rows, bytes)| (rows, bytes));
    if let Some((rows, bytes)) = coded
        && let Ok(read) = Coded::from_bytes(bytes, rows.into())
    {
        if read.dim() <= DIM_MAX {
            let mut vectors = Vectors::with_capacity(read.dim(), rows.into());
            for _ in 0..rows {
                vectors.push(&row(read.dim()));
            }
            let query = Query::new(&row(read.dim()), vectors.stride());
            let (mut space, mut top) = (CodedSpace::default(), TopK::new(3));
            let (all, tie, never) = (0..rows.into(), |a: u32, b: u32| a.cmp(&b), || false);
            let scanned = read.scan(&vectors, &query, 3.3, all, tie, never, &mut space, &mut top);
            assert!(scanned.is_ok());
        }
        let mut written = Vec::new();
        let put = |part: &[u8]| {
            written.extend_from_slice(part);
            Ok::<(), ()>(())
        };
        assert!(read.write(put).is_ok());
        assert_eq!(written, bytes);
    }
    if let Ok(read) = Opq::from_bytes(bytes) {
        let row = row(read.dim());
        let code = read.encode(&row);
        let estimate = read.query(&row).estimate(&code.bytes, code.error);
        assert!(!estimate.lower().is_nan());
        assert_eq!(read.decode(&code.bytes).len(), read.dim());
        assert_eq!(read.to_bytes(), bytes);
    }
});
