#![no_main]

use cairn_index::ivf::{InMemory, Ivf, Region, Scratch};
use cairn_index::{Metric, Query, Vectors};

// Number of rows, components, metric and length of the head come first; what is read as a head is searched over the
// rest, cut into its regions, and written as it was read.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[rows, dim, metric, low, high], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let (rows, dim) = (usize::from(rows), usize::from(dim % 8) + 1);
    let metric = [Metric::Cosine, Metric::L2, Metric::Dot][usize::from(metric % 3)];
    let length = usize::from(u16::from_le_bytes([low, high]));
    let Some((head, regions)) = bytes.split_at_checked(length) else {
        return;
    };
    let Ok(read) = Ivf::read_head(head, rows, dim, metric) else {
        return;
    };
    let mut written = Vec::new();
    let put = |part: &[u8]| {
        written.extend_from_slice(part);
        Ok::<(), ()>(())
    };
    assert!(read.write_head(put).is_ok());
    assert_eq!(written, head);
    let coarse = usize::try_from(read.region_bytes(Region::Coarse)).expect("a few rows");
    let (coarse, fine) = regions.split_at(coarse.min(regions.len()));
    let row = |at: usize| -> Vec<f32> { (0..dim).map(|n| (at * 7 + n) as f32).collect() };
    let mut vectors = Vectors::with_capacity(dim, rows);
    for at in 0..rows {
        vectors.push(&row(at));
    }
    let query = Query::new(&row(3), vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    for probes in [1, rows.max(1)] {
        let found = read.search(
            &InMemory { coarse, fine },
            &vectors,
            &query,
            5,
            probes,
            |row| row != 2,
            &mut scratch,
            || false,
            &mut hits,
        );
        assert!(found.is_err() || hits.len() <= 5 && hits.iter().all(|hit| hit.row != 2));
    }
});
