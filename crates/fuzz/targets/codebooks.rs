#![no_main]

use cairn_quantize::opq::Opq;
use cairn_quantize::pq::Pq;
use cairn_quantize::rabitq::Rabitq;
use cairn_quantize::scalar::Scalar;

// What is read as a codebook encodes a row, compares a query with it, and is written as it was read.
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
    if let Ok(read) = Opq::from_bytes(bytes) {
        let row = row(read.dim());
        let code = read.encode(&row);
        let estimate = read.query(&row).estimate(&code.bytes, code.error);
        assert!(!estimate.lower().is_nan());
        assert_eq!(read.decode(&code.bytes).len(), read.dim());
        assert_eq!(read.to_bytes(), bytes);
    }
});
