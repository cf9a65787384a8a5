//! The values that a path leads to are those that filters find there; their bytes and their order say
//! which of them are equal.

mod common;

use std::cmp::Ordering;

use cairn_filter::{Bitmap, Cursor, Filter, IndexBuilder, Key, Path, Record, Scalar, Value};
use cairn_testkit::{Rng, seed_from_env};

use common::{NAMES, map, scalar};

#[test]
fn a_value_is_among_those_of_a_path_exactly_when_a_filter_says_that_it_is_there() {
    let seed = seed_from_env("CAIRN_FILTER_SEED", 0x7a1e);
    let mut rng = Rng::new(seed);
    let paths = ["a", "b.c", "c.a.b", r"and so"];
    for round in 0..3_000 {
        let fields = map(&mut rng, 3).msgpack();
        let record = Record {
            key: Key::Number(7),
            fields: &fields,
        };
        let path = rng.choose(&paths).copied().unwrap_or("a");
        let asked = scalar(&mut rng);
        let json = format!(r#"{{{path:?}:{{"eq":{}}}}}"#, asked.json());
        let filter = Filter::parse(json.as_bytes()).expect("a filter");
        let bytes = asked.msgpack();
        let Ok(Value::Scalar(wanted)) = Cursor::new(&bytes).value() else {
            panic!("{asked:?}");
        };
        let mut found = false;
        let path = Path::parse(path).expect("a path");
        path.for_each_scalar(&record, &mut |value| found |= value.equals(&wanted));
        assert_eq!(
            found,
            filter.matches(&record),
            "seed={seed} round={round}: {json}"
        );
    }
}

#[test]
fn equal_values_have_equal_bytes_and_others_differ_in_order() {
    let mut rng = Rng::new(0x0de2);
    let bytes = |value: &Scalar<&str, &[u8]>| {
        let mut out = Vec::new();
        value.write(&mut out);
        out
    };
    for _ in 0..20_000 {
        let [a, b] = [scalar(&mut rng).msgpack(), scalar(&mut rng).msgpack()];
        let [Ok(Value::Scalar(a)), Ok(Value::Scalar(b))] =
            [Cursor::new(&a).value(), Cursor::new(&b).value()]
        else {
            panic!("values");
        };
        assert_eq!(a.order(&b) == Ordering::Equal, a.equals(&b), "{a:?} {b:?}");
        assert_eq!(a.order(&b), b.order(&a).reverse());
        assert_eq!(bytes(&a) == bytes(&b), a.equals(&b), "{a:?} {b:?}");
        let written = bytes(&a);
        let mut cursor = Cursor::new(&written);
        assert_eq!(cursor.value(), Ok(Value::Scalar(a)));
        assert_eq!(cursor.at(), written.len());
    }
}

#[test]
fn an_index_walks_its_values_in_order_and_counts_rows_as_they_are() {
    let seed = seed_from_env("CAIRN_FILTER_SEED", 0x1dc);
    let mut rng = Rng::new(seed);
    for rows in [0_u32, 1, 70, 4_000] {
        let records: Vec<Vec<u8>> = (0..rows).map(|_| map(&mut rng, 1).msgpack()).collect();
        let mut builder = IndexBuilder::new(NAMES);
        records.iter().for_each(|record| builder.push(record));
        let mut within = Bitmap::none(rows);
        (0..rows)
            .filter(|_| rng.chance(0.5))
            .for_each(|row| within.insert(row));
        for (name, index) in NAMES.into_iter().zip(builder.finish()) {
            let index = index.expect("an index");
            let path = Path::Field(vec![name.into()]);
            let mut with = Bitmap::none(rows);
            let values = |row: u32| {
                let mut values = Vec::new();
                let fields = &records[row as usize];
                let key = Key::Number(0);
                path.for_each_scalar(&Record { key, fields }, &mut |value| {
                    values.push(value.own());
                });
                values
            };
            for number in 0..index.distinct() {
                let value = index.value(number);
                assert_eq!(index.number_of(&value), Some(number));
                assert_eq!(index.below(&value), number);
                if number > 0 {
                    assert_eq!(index.value(number - 1).order(&value), Ordering::Less);
                }
                let has = |row: &u32| values(*row).iter().any(|it| it.borrow().equals(&value));
                let truth: Vec<u32> = (0..rows).filter(has).collect();
                assert_eq!(index.rows_of(number), truth, "seed={seed} {name} {value:?}");
                let counted = truth.iter().filter(|row| within.contains(**row)).count();
                assert_eq!(index.count_within(number, &within), counted);
                with.insert_all(&truth);
            }
            assert_eq!(index.with_values(), with);
        }
    }
}
