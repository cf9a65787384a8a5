//! Who asks for a compaction gets it while others write without a pause: the merges that the background
//! begins for their flushes do not come before it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{Job, KeyType, MetricName, Options, WriteKind, WriteOptions};
use cairn_env::{Clock, OsClock};

use crate::common;
use common::{Home, Row, batch, number, plain};

const COMPACTIONS: u64 = 100;
/// Each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_compaction_ends_beside_writers_that_never_pause() {
    let home = Home::memory();
    // A flush every few batches.
    let database = home.open(Options {
        wal_bytes_max: 24_000,
        ..Options::default()
    });
    let schema = plain(KeyType::U64, 8, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let (over, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    let longest = std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let (collection, schema, over) = (&collection, &schema, &over);
            scope.spawn(move || {
                for turn in 0.. {
                    let key = |n: u64| number(writer * 1_000 + (turn * 17 + n) % 500);
                    let row = |n: u64| Row::new(key(n), &[n as f32; 8]);
                    let rows: Vec<Row> = (0..30).map(row).collect();
                    let upsert = batch(schema, WriteKind::Upsert, &rows);
                    collection.write(upsert, WriteOptions::default()).unwrap();
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // The background has begun something by then.
                OsClock::new().sleep(Duration::from_millis(20));
                collection.compact(&Job::default()).unwrap();
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
        let clock = OsClock::new();
        let (mut seen, mut since, mut longest) = (0, clock.now(), Duration::ZERO);
        while seen < COMPACTIONS && longest < PATIENCE {
            clock.sleep(Duration::from_millis(1));
            longest = longest.max(clock.now() - since);
            let now = ended.load(Ordering::Relaxed);
            if now > seen {
                (seen, since) = (now, clock.now());
            }
        }
        // Without writers the one that waits ends, too.
        over.store(true, Ordering::Relaxed);
        longest
    });
    println!("{COMPACTIONS} compactions, {longest:?} at most");
    assert!(longest < PATIENCE, "one waits for writers to pause");
}
