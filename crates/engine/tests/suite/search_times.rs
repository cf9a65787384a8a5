//! What a search tells of its time: filter, search and read lie behind one another within the call, whatever is searched
//! for, and what memtables and segments tell of theirs lies within these. Who does not ask is told nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{
    By, Filter, GroupBy, Job, Key, Options, SearchRequest, Shape, Sources, Stop, Times,
    VectorSource,
};
use cairn_env::Clock;
use cairn_testkit::Rng;

use crate::common;
use crate::documents;
use common::{Home, put};
use documents::{Document, request, shape, words_of};

/// A clock by which each look is a millisecond later than the one before.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn the_parts_of_a_search_lie_behind_one_another_within_it() {
    let clock = Arc::new(Ticks::default());
    let mut home = Home::memory();
    home.env.clock = clock.clone();
    let database = home.open(Options::default());
    let collection = database.create_collection("c", shape()).unwrap();
    let rng = &mut Rng::new(0x71e5);
    let rows: Vec<_> = (0..1_600).map(|key| Document::new(rng).row(key)).collect();
    put(&collection, &rows[..1_500]);
    collection.compact(&Job::default()).unwrap();
    put(&collection, &rows[1_500..]);
    home.idle();
    let snapshot = collection.snapshot().unwrap();
    let parts = 2; // a segment and a memtable

    let near = SearchRequest::new(&[1.0; 4], 10);
    let shaped = |shape: Shape<'static>| SearchRequest {
        shape,
        ..near.clone()
    };
    let words = words_of("sea tide");
    let vector = |field, vector| VectorSource {
        field,
        vector,
        weight: 1.0,
    };
    let several = Sources {
        vectors: vec![vector(0, &[1.0; 4]), vector(1, &[1.0; 3])],
        ..words_of("sea")
    };
    let searches = [
        ("near", near.clone()),
        (
            "like",
            shaped(Shape {
                by: By::Like(Key::U64(5)),
                ..Shape::default()
            }),
        ),
        (
            "groups",
            shaped(Shape {
                group_by: Some(GroupBy {
                    field: "n",
                    size: 2,
                }),
                ..Shape::default()
            }),
        ),
        (
            "diverse",
            shaped(Shape {
                diversity: Some(0.5),
                ..Shape::default()
            }),
        ),
        (
            "list",
            shaped(Shape {
                by: By::Nothing,
                ..Shape::default()
            }),
        ),
        ("words", request(&words, 10)),
        ("several", request(&several, 10)),
    ];
    let filter = Filter::parse(br#"{"n":{"lt":50}}"#).unwrap();
    for (what, asked) in &searches {
        for filter in [None, Some(&filter)] {
            let explained = SearchRequest {
                filter,
                explain: true,
                ..asked.clone()
            };
            let since = clock.now();
            let hits = snapshot.search(&explained, &Stop::never()).unwrap();
            let whole = clock.now() - since;
            let Times {
                filter: filtered,
                search,
                read,
            } = hits.times;
            let what = format!("{what}, filter={}: {:?}", filter.is_some(), hits.times);
            assert!(filtered + search + read <= whole, "{what}, {whole:?}");
            assert_eq!(filtered > Duration::ZERO, filter.is_some(), "{what}");
            assert!(search > Duration::ZERO && read > Duration::ZERO, "{what}");

            // Each source of a fusion, and each round of a search by groups, goes by the same rows.
            assert!(hits.stages.len() >= parts, "{what}");
            let rounds = u128::try_from(hits.stages.len().div_ceil(parts)).unwrap();
            let told = hits.stages.iter().map(|stage| stage.filter_micros);
            let told = u128::from(told.sum::<u64>());
            assert!(told <= rounds * filtered.as_micros(), "{what}, {told}");
            assert_eq!(told > 0, filter.is_some(), "{what}");
            let searched = hits.stages.iter().map(|stage| stage.micros);
            let searched = u128::from(searched.sum::<u64>());
            assert!(searched <= search.as_micros(), "{what}, {searched}");

            let silent = SearchRequest {
                explain: false,
                ..explained
            };
            let same = snapshot.search(&silent, &Stop::never()).unwrap();
            assert_eq!(same.times, Times::default(), "{what}");
            assert!(same.keys.iter().eq(hits.keys.iter()), "{what}");
        }
    }
}
