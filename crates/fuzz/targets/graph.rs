#![no_main]

use cairn_index::{Graph, Query, Scratch, Vectors};

// The first byte is the number of rows; what is read as a graph is searched, written and read again.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&rows, bytes)) = bytes.split_first() else {
        return;
    };
    let rows = usize::from(rows);
    let Ok(graph) = Graph::from_bytes(bytes, rows) else {
        return;
    };
    let mut vectors = Vectors::with_capacity(2, rows);
    for row in 0..rows {
        vectors.push(&[row as f32, 1.0]);
    }
    let query = Query::new(&[3.0, 0.0], vectors.stride());
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let found = graph.search(
        &vectors,
        &query,
        5,
        16,
        |_| true,
        &mut scratch,
        || false,
        &mut hits,
    );
    assert!(found.is_ok() && hits.len() <= 5);
    assert!(Graph::from_bytes(&graph.to_bytes(), rows).is_ok());
});
