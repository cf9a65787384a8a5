//! Once warm, encoding and searching take no memory: not for a query, not for its table, not for a
//! block.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cairn_distance::Metric;
use cairn_quantize::fastscan::{BlockEstimates, BlockFactors, Blocks, Lut, ROWS, estimates};
use cairn_quantize::pq::{self, Pq};
use cairn_quantize::rabitq::{self, Code, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
use cairn_quantize::{Isa, SingleThread};
use common::Random;

/// Counts the calls.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: same contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn assert_none(what: &str, mut work: impl FnMut()) {
    work();
    let before = CALLS.load(Relaxed);
    for _ in 0..3 {
        work();
    }
    assert_eq!(CALLS.load(Relaxed), before, "{what}");
}

/// One test, because the counter is one for the process.
#[test]
fn warm_searches_and_encoders() {
    let mut random = Random::new(1);
    let (dim, metric) = (100, Metric::L2);
    let rows = random.vector(64 * dim);
    let config = rabitq::Config {
        bits: 4,
        metric,
        seed: 1,
    };
    let quantiser = Rabitq::train(&rows, dim, config).expect("a sample");
    let (mut encoder, mut code) = (quantiser.encoder(), Code::default());
    let mut turn = rows.chunks_exact(dim).cycle();
    let mut next = || turn.next().expect("rows come round");
    assert_none("rabitq encode", || encoder.encode(next(), &mut code));

    let mut blocks = Blocks::new(16 * quantiser.plane_words());
    let mut factors = BlockFactors::default();
    for row in 0..ROWS {
        encoder.encode(next(), &mut code);
        blocks.push_signs(&code.planes[..quantiser.plane_words()]);
        factors.set(row, code.coarse);
    }
    let (mut query, mut lut) = (quantiser.query(next()), Lut::new());
    let mut out = BlockEstimates::default();
    assert_none("rabitq search", || {
        quantiser.fill_query(next(), &mut query);
        lut.fill_signs(query.rotated());
        estimates(
            Isa::active(),
            &lut,
            query.base(),
            blocks.block(0),
            &factors,
            &mut out,
        );
        assert!(query.fine(&code.planes, code.fine).error >= 0.0);
    });

    for bits in [4, 8] {
        let quantiser = Scalar::new(vec![0.1; dim], scalar::Config { bits, metric });
        let quantiser = quantiser.expect("settings");
        let code = quantiser.encode(next());
        let mut query = quantiser.query(next());
        assert_none("scalar search", || {
            quantiser.fill_query(next(), &mut query);
            assert!(query.estimate(&code.bytes, code.factors).error >= 0.0);
        });
    }

    let config = pq::Config {
        subspaces: 20,
        bits: 4,
        metric,
    };
    let quantiser = Pq::train(&rows, dim, config, 1, &SingleThread, &()).expect("a sample");
    let code = quantiser.encode(next());
    let mut query = quantiser.query(next());
    assert_none("pq search", || {
        quantiser.fill_query(next(), &mut query);
        query.fill(&mut lut);
        assert!(query.estimate(&code.bytes, code.error).error >= 0.0);
    });
}
