//! Codebooks come back from their bytes as they were; any other bytes are refused or make a
//! codebook that works, without a panic and without memory out of proportion.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cairn_distance::Metric;
use cairn_quantize::opq::Opq;
use cairn_quantize::pq::{self, Pq};
use cairn_quantize::rabitq::{self, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
use cairn_quantize::{FormatError, SingleThread};
use common::Random;

/// Counts what is asked for.
struct Counting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
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

type Read = fn(&[u8]) -> Result<Vec<u8>, FormatError>;

/// Reads, uses, and writes again.
const READERS: [(&str, Read); 4] = [
    ("rabitq", |bytes| {
        let read = Rabitq::from_bytes(bytes)?;
        let row = vec![0.5; read.dim()];
        let code = read.encode(&row);
        let _ = read.query(&row).fine(&code.planes, code.fine);
        Ok(read.to_bytes())
    }),
    ("scalar", |bytes| {
        let read = Scalar::from_bytes(bytes)?;
        let row = vec![0.5; read.dim()];
        let code = read.encode(&row);
        let _ = read.query(&row).estimate(&code.bytes, code.factors);
        Ok(read.to_bytes())
    }),
    ("pq", |bytes| {
        let read = Pq::from_bytes(bytes)?;
        let row = vec![0.5; read.dim()];
        let code = read.encode(&row);
        let _ = read.query(&row).estimate(&code.bytes, code.error);
        Ok(read.to_bytes())
    }),
    ("opq", |bytes| {
        let read = Opq::from_bytes(bytes)?;
        let row = vec![0.5; read.dim()];
        let code = read.encode(&row);
        let _ = read.query(&row).estimate(&code.bytes, code.error);
        Ok(read.to_bytes())
    }),
];

fn written() -> [Vec<u8>; 4] {
    let mut random = Random::new(1);
    let rows = random.vector(300 * 12);
    let metric = Metric::Dot;
    let config = pq::Config {
        subspaces: 5,
        bits: 4,
        metric,
    };
    let rabitq = rabitq::Config {
        bits: 3,
        metric,
        seed: 77,
    };
    let scalar = scalar::Config { bits: 4, metric };
    [
        Rabitq::train(&rows, 12, rabitq)
            .expect("a sample")
            .to_bytes(),
        Scalar::train(&rows, 12, scalar)
            .expect("a sample")
            .to_bytes(),
        Pq::train(&rows, 12, config, 1, &SingleThread, &())
            .expect("a sample")
            .to_bytes(),
        Opq::train(&rows, 12, config, 1, &SingleThread, &())
            .expect("a sample")
            .to_bytes(),
    ]
}

/// One test, because the counter is one for the process.
#[test]
fn bytes_from_anywhere() {
    let all = written();
    for ((name, read), bytes) in READERS.iter().zip(&all) {
        assert_eq!(read(bytes).as_ref(), Ok(bytes), "{name}");
    }

    for ((name, read), bytes) in READERS.iter().zip(&all) {
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{name} length={length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(
            matches!(read(&longer), Err(FormatError::Length { .. })),
            "{name}"
        );
        for other in &all {
            if other != bytes {
                assert_eq!(read(other), Err(FormatError::Magic), "{name}");
            }
        }
    }

    // Each byte of the settings takes every value, others take some; what is read after all is what
    // the bytes say.
    LARGEST.store(0, Relaxed);
    let mut random = Random::new(2);
    let mut accepted = 0;
    for ((name, read), bytes) in READERS.iter().zip(&all) {
        for at in 0..bytes.len() {
            let values: Vec<u8> = if at < 40 {
                (0..=255).collect()
            } else {
                (0..4).map(|_| random.bits() as u8).collect()
            };
            for value in values {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Ok(again) = read(&changed) {
                    assert_eq!(again, changed, "{name} at={at} value={value}");
                    accepted += 1;
                }
            }
        }
    }
    assert!(accepted > 1000, "{accepted}: components may be any number");

    // Sizes of the largest numbers, with nothing behind them: of dims, and of subspaces.
    let sizes: [&[usize]; 4] = [&[12], &[12], &[12, 16], &[8]];
    for (((name, read), bytes), offsets) in READERS.iter().zip(&all).zip(sizes) {
        for dim in [13, 1 << 16, (1 << 16) + 1, u32::MAX / 4, u32::MAX] {
            for &at in offsets {
                let mut changed = bytes.clone();
                changed[at..at + 4].copy_from_slice(&dim.to_le_bytes());
                assert!(read(&changed).is_err(), "{name} dim={dim}");
            }
        }
    }
    let largest = LARGEST.load(Relaxed);
    let input = all.iter().map(Vec::len).max().unwrap();
    assert!(
        largest <= 16 * input,
        "{largest} bytes at once, for {input}"
    );
}
