//! A scan in the order of a field gives every record of its version once, in that order, ties by key;
//! it can be taken up again behind any record, in another handle, and a naive sort agrees.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cairn_engine::{
    Code, Filter, Job, KeyBuf, KeyType, MetricName, OrderBy, Position, Select, SelectFields,
    Snapshot, Stop,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash;
use crate::mixed;
use common::{Fields, Home, Row, Value, decode, number, put, remove, text};
use mixed::{COPIES, Mixed, any, never, order, values};

type Ordered = Vec<(KeyBuf, Option<Value>)>;

/// The records in order, the slow way.
fn naive(mixed: &Mixed, field: &str, is_descending: bool, holds: fn(&Fields) -> bool) -> Ordered {
    let directed = |ordering: Ordering| {
        if is_descending {
            ordering.reverse()
        } else {
            ordering
        }
    };
    let mut all: Ordered = Vec::new();
    for (key, (_, fields)) in mixed
        .records
        .iter()
        .filter(|(_, (_, fields))| holds(fields))
    {
        let mut own = values(fields, field);
        own.sort_by(|a, b| directed(order(a, b)));
        all.push((key.clone(), own.into_iter().next()));
    }
    all.sort_by(|(key_a, a), (key_b, b)| match (a, b) {
        (None, None) if field == "$key" => directed(key_a.cmp(key_b)),
        (None, None) => key_a.cmp(key_b),
        (None, _) => Ordering::Greater,
        (_, None) => Ordering::Less,
        (Some(a), Some(b)) => directed(order(a, b)).then_with(|| key_a.cmp(key_b)),
    });
    all
}

/// Up to `limit` records from behind a place, in pages of `page`, and where to go on.
fn read(
    snapshot: &Snapshot,
    by: &OrderBy,
    after: Option<Position>,
    filter: Option<&Filter>,
    page: usize,
    limit: usize,
) -> (Vec<(KeyBuf, Fields)>, Option<Position>) {
    let mut scan = snapshot
        .scan_ordered(by.clone(), after, filter, &never())
        .unwrap();
    let (mut found, mut last) = (Vec::new(), None);
    while found.len() < limit {
        let rows = page.min(limit - found.len());
        let records = scan.next_page(rows, &Select::default(), &never()).unwrap();
        if records.is_empty() {
            break;
        }
        for (record, value) in records {
            let value = (!value.is_empty()).then_some(&value[..]);
            last = Some(Position::new(value, record.key.clone()).unwrap());
            found.push((record.key, decode(&record.fields)));
        }
    }
    (found, last)
}

fn check(mixed: &Mixed, seed: u64, page: usize, limit: usize) {
    let snapshot = mixed.collection.snapshot().unwrap();
    for field in [COPIES[0], COPIES[1], "$key"] {
        for is_descending in [false, true] {
            let by = OrderBy::parse(field, is_descending).unwrap();
            for (filter, holds) in &mixed.filters() {
                let expected = naive(mixed, field, is_descending, *holds);
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let (some, last) = read(&snapshot, &by, after, filter.as_ref(), page, limit);
                    let count = some.len();
                    found.extend(some);
                    assert!(
                        found.len() <= expected.len(),
                        "seed={seed:#x} {field}: some come twice"
                    );
                    after = last;
                    if count < limit {
                        break;
                    }
                }
                let what = format!("seed={seed:#x} {field} descending={is_descending} page={page}");
                let keys = |all: &[(KeyBuf, Option<Value>)]| -> Vec<KeyBuf> {
                    all.iter().map(|(key, _)| key.clone()).collect()
                };
                let found_keys: Vec<KeyBuf> = found.iter().map(|(key, _)| key.clone()).collect();
                assert_eq!(found_keys, keys(&expected), "{what}");
                for (key, fields) in &found {
                    assert_eq!(fields, &mixed.records[key].1, "{what} {key:?}");
                }
            }
        }
    }
}

#[test]
fn a_scan_in_the_order_of_a_field_is_a_naive_sort_and_resumes_exactly_behind_its_last_record() {
    let seed = seed_from_env("CAIRN_ORDER_SEED", 0x0dde);
    let mut rng = Rng::new(seed);
    println!("seed={seed:#x}");
    for key in [KeyType::String, KeyType::U64] {
        let home = Home::memory();
        let mixed = Mixed::new(&home, key, MetricName::L2, &mut rng, any);
        for (page, limit) in [(256, usize::MAX), (7, 50), (100, 1_000)] {
            check(&mixed, seed, page, limit);
        }
        check(&mixed, seed, 1, 1 + rng.below(5) as usize);
        // All in one segment.
        mixed.collection.compact(&Job::default()).unwrap();
        check(&mixed, seed, 33, 64);
    }
}

#[test]
fn it_stays_at_its_version_and_a_resumed_one_sees_the_next() {
    let home = Home::memory();
    let mut rng = Rng::new(0x11);
    let mut mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, any);
    let by = OrderBy::parse("a", false).unwrap();
    let before = naive(&mixed, "a", false, |_| true);
    let snapshot = mixed.collection.snapshot().unwrap();
    let mut scan = snapshot
        .scan_ordered(by.clone(), None, None, &never())
        .unwrap();
    let first = scan.next_page(40, &Select::default(), &never()).unwrap();
    // Everything that is still to come changes: half goes, half moves to the very end.
    let rest: Vec<KeyBuf> = before[40..].iter().map(|(key, _)| key.clone()).collect();
    let (gone, moved) = rest.split_at(rest.len() / 2);
    remove(&mixed.collection, gone);
    gone.iter().for_each(|key| drop(mixed.records.remove(key)));
    for key in moved {
        let (vector, fields) = mixed.records.get_mut(key).unwrap();
        fields.insert("a".into(), Value::Text("zz".into()));
        let fields = Some(fields.clone());
        put(
            &mixed.collection,
            &[Row {
                fields,
                ..Row::new(key.clone(), vector)
            }],
        );
    }
    mixed.collection.compact(&Job::default()).unwrap();
    let mut found = first
        .iter()
        .map(|(record, _)| record.key.clone())
        .collect::<Vec<_>>();
    loop {
        let page = scan.next_page(100, &Select::default(), &never()).unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|(record, _)| record.key));
    }
    let expected: Vec<KeyBuf> = before.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(found, expected, "the version that was pinned");
    let (last, value) = &first[39];
    let value = (!value.is_empty()).then_some(&value[..]);
    let after = Position::new(value, last.key.clone()).unwrap();
    let newer = mixed.collection.snapshot().unwrap();
    let (resumed, _) = read(&newer, &by, Some(after), None, 100, usize::MAX);
    let now = naive(&mixed, "a", false, |_| true);
    let at = now.iter().position(|(key, _)| *key == last.key).unwrap();
    let expected: Vec<&KeyBuf> = now[at + 1..].iter().map(|(key, _)| key).collect();
    assert!(
        resumed.iter().map(|(key, _)| key).eq(expected),
        "the newest version behind the cursor"
    );
}

#[test]
fn more_records_than_a_pass_keeps_come_all_the_same() {
    let home = Home::memory();
    let database = home.open(cairn_engine::Options::default());
    let schema = mixed::schema(KeyType::U64, MetricName::L2);
    let collection = database.create_collection("many", schema).unwrap();
    let mut expected = Vec::new();
    for chunk in 0..11_u64 {
        let rows = (0..1_000).map(|at| {
            let n = (chunk * 1_000 + at).wrapping_mul(0x9e37_79b9) % 20_011;
            expected.push((n % 500, n));
            Row::new(number(n), &[1.0; 4]).with("b", (n % 500) as i64)
        });
        put(&collection, &rows.collect::<Vec<_>>());
    }
    expected.sort_unstable();
    let by = OrderBy::parse("b", false).unwrap();
    let snapshot = collection.snapshot().unwrap();
    let (found, _) = read(&snapshot, &by, None, None, 997, usize::MAX);
    let keys = expected.into_iter().map(|(_, n)| number(n));
    assert!(found.into_iter().map(|(key, _)| key).eq(keys));
}

#[test]
fn what_is_wrong_is_refused_and_what_is_stopped_ends() {
    let home = Home::memory();
    let mut rng = Rng::new(0x12);
    let mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, any);
    let snapshot = mixed.collection.snapshot().unwrap();
    for wrong in ["", "a.", ".", "$kye"] {
        let error = OrderBy::parse(wrong, false).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{wrong}");
    }
    for wrong in [
        &[][..],
        &[0x91, 0x01],
        &[0x01, 0x01],
        &[0xd3, 0x00],
        &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    ] {
        let error = Position::new(Some(wrong), number(1)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{wrong:?}");
    }
    let after = Position::new(None, text("k")).unwrap();
    let by = OrderBy::parse("b", false).unwrap();
    let other = snapshot.scan_ordered(by.clone(), Some(after), None, &never());
    assert_eq!(
        other.err().map(|error| error.code()),
        Some(Code::InvalidKey)
    );
    let stopped = Stop::never().when(Arc::new(AtomicBool::new(true)));
    let mut scan = snapshot.scan_ordered(by, None, None, &never()).unwrap();
    let select = Select {
        fields: SelectFields::None,
        vectors: false,
    };
    let page = scan.next_page(10, &select, &stopped);
    assert_eq!(page.err().map(|error| error.code()), Some(Code::Aborted));
    let page = scan.next_page(10, &select, &never()).unwrap();
    assert_eq!(page.len(), 10, "and goes on when it is asked again");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn its_planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
